package realrun

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// host is one member of the spool, whatever process it is at the moment.
type host struct {
	name, addr, log string

	mu   sync.Mutex
	proc *process // nil before the first start
}

// process is one serve.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it was waited for
}

func (h *host) process() *process {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.proc
}

// errNotReady: it ran, and didn't get ready.
var errNotReady = errors.New("not ready in time")

// start starts the host and waits until it is ready. A process that doesn't get
// ready is ended.
func (r *run) start(ctx context.Context, h *host) error {
	cmd := exec.Command(r.o.Self, "serve", "--config", r.config(), "--spool", r.dir, "--host", h.name, "--listen", h.addr,
		"--heartbeat", r.o.heartbeat().String(), "--lease", r.o.Lease.String())
	cmd.Args[0] = os.Args[0]
	cmd.Env = hostEnv(os.Environ())
	// A group of its own: a terminal's ^C is for this process, which ends the
	// others. If it can't, because it was killed, the kernel does.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	log, err := os.OpenFile(h.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start host %s: %w", h.name, err)
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	h.mu.Lock()
	h.proc = p
	h.mu.Unlock()
	ready := make(chan struct{})
	go func() {
		defer close(p.ended)
		said := false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "ready ") && !said {
				said = true
				close(ready)
			}
		}
		_ = cmd.Wait()
	}()
	limit := time.NewTimer(readyLimit)
	defer limit.Stop()
	select {
	case <-ready:
		return nil
	case <-p.ended:
		err = fmt.Errorf("host %s ended with %s before it was ready: %s", h.name, cmd.ProcessState, lastLines(h.log))
	case <-limit.C:
		err = fmt.Errorf("host %s: %w (%s): %s", h.name, errNotReady, readyLimit, lastLines(h.log))
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.end(0)
	return err
}

// hostEnv is the environment without this program's settings, but for those that
// say what is known of the machine's mounts.
func hostEnv(environ []string) (out []string) {
	for _, e := range environ {
		if !strings.HasPrefix(e, "FENCEPOST_") || strings.HasPrefix(e, "FENCEPOST_UNSAFE_MOUNT=") {
			out = append(out, e)
		}
	}
	return out
}

// lastLines is the end of a log, in one line.
func lastLines(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], " | ")
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// running says whether the process hasn't ended.
func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// end ends the process, in order if it takes no longer than grace; it says
// whether it is gone. One that waits for a dead share can't be ended.
func (p *process) end(grace time.Duration) bool {
	p.signal(syscall.SIGCONT)
	if grace > 0 {
		p.signal(syscall.SIGTERM)
		select {
		case <-p.ended:
			return true
		case <-time.After(grace):
		}
	}
	p.signal(syscall.SIGKILL)
	select {
	case <-p.ended:
		return true
	case <-time.After(stopLimit):
		return false
	}
}

// endHosts ends all, and names those that can't be ended.
func (r *run) endHosts(grace time.Duration) (left []string) {
	var all sync.WaitGroup
	var mu sync.Mutex
	for _, h := range r.hosts {
		if p := h.process(); p != nil {
			all.Go(func() {
				if !p.end(grace) {
					mu.Lock()
					left = append(left, fmt.Sprintf("%s (pid %d)", h.name, p.cmd.Process.Pid))
					mu.Unlock()
				}
			})
		}
	}
	all.Wait()
	return left
}

func (r *run) config() string { return filepath.Join(r.base, "fencepost.toml") }

// writeConfig writes what all hosts are told.
func (r *run) writeConfig() error {
	var b strings.Builder
	fmt.Fprintf(&b, "[cluster]\nname = \"command\"\nsweep_every = %q\n[cluster.command]\nconfirm_after = \"1s\"\n", sweepEvery)
	for _, what := range []string{"submit", "release", "cancel", "find"} {
		fmt.Fprintf(&b, "%s_timeout = %q\n%s = [%q, %q, %q, %q, %q]\n", what, programLimit, what, r.o.Self, ClusterCommand, r.base, what, string(r.o.Bug))
	}
	return os.WriteFile(r.config(), []byte(b.String()), 0o600)
}

// freeAddr is a loopback address that no other host of the run has. It is below
// the ports that clients get: a host comes back under its address, which must
// not be in use as the near end of a connection by then.
func (r *run) freeAddr() (string, error) {
	var last error
	for range 200 {
		addr := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000))
		taken := false
		for _, h := range r.hosts {
			taken = taken || h.addr == addr
		}
		if taken {
			continue
		}
		ln, err := net.Listen("tcp", addr)
		if err == nil {
			return addr, ln.Close()
		}
		last = err
	}
	return "", fmt.Errorf("find a free port: %w", last)
}
