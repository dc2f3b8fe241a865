package trial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	"fencepost/cmd/fencepost/nfslab"
	"fencepost/cmd/fencepost/nfslab/line"
)

// Member is a host of a site, with a machine id of its own.
type Member struct {
	*nfslab.Host
	site *Site
	args []string // of each serve, besides the usual ones

	daemon *line.Cmd
	ready  *readyLine
}

// identity gives the host a machine id and a boot id of its own, as a machine
// has them. $1 = 32 hexadecimal digits.
const identity = `set -e
mkdir -p /run/identity
echo "$1" >/run/identity/machine
mount --bind /run/identity/machine /etc/machine-id
cut -c1-36 /proc/sys/kernel/random/uuid >/run/identity/boot
mount --bind /run/identity/boot /proc/sys/kernel/random/boot_id`

// add adds a host that isn't enrolled.
func (s *Site) add(ctx context.Context, name string, lossy bool) (*Member, error) {
	h, err := s.lab.AddHost(ctx, s.hostConfig(name, lossy))
	if err != nil {
		return nil, err
	}
	m := &Member{Host: h, site: s}
	// The address is part of it: twins are two machines.
	machine := fmt.Sprintf("%032x", []byte(h.Addr))
	if _, err := h.Command("sh", "-c", identity, "sh", machine).Output(ctx); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return m, nil
}

func (m *Member) listen() string { return m.Addr + ":7433" }

func (m *Member) logFile() string {
	return nfslab.Shared + "/" + m.site.Name + "/" + m.Host.Name + "-" + m.Addr + ".log"
}

func (m *Member) serve() *line.Cmd {
	args := append([]string{m.site.binary, "serve", "--listen", m.listen(), "--insecure-listen",
		"--log-file", m.logFile()}, m.args...)
	c := m.Command(args...)
	c.Env = m.site.env()
	return c
}

// startTime is how long a daemon may take until it is ready: twice the lease,
// while a watcher holds its lock, a server's grace, and a slow machine.
const startTime = 2 * time.Minute

// Start starts the daemon and waits until it is ready. One that ends with 1 or 6
// is started again, as a service manager does: on a machine that stands still
// for longer than the server's lease, a lock may be lost before it was of use.
func (m *Member) Start(ctx context.Context) error {
	end := time.Now().Add(startTime)
	for {
		err := m.startOnce(ctx)
		var exit *line.ExitError
		if !errors.As(err, &exit) || exit.Exit.Code != 1 && exit.Exit.Code != 6 || time.Now().After(end) {
			return err
		}
		m.site.say("  started again: %v", err)
	}
}

func (m *Member) startOnce(ctx context.Context) error {
	m.daemon = m.serve()
	m.ready = &readyLine{ready: make(chan struct{})}
	m.daemon.Stdout, m.daemon.Stderr = m.ready, m.ready
	if err := m.daemon.Start(); err != nil {
		return err
	}
	select {
	case <-m.ready.ready:
		return nil
	case <-m.daemon.Ended():
		return fmt.Errorf("host %s: %w before it was ready: %s", m.Host.Name, m.daemon.Wait(), m.ready)
	case <-ctx.Done():
		return fmt.Errorf("host %s: not ready: %w", m.Host.Name, context.Cause(ctx))
	case <-time.After(startTime):
		return fmt.Errorf("host %s: not ready after %s: %s", m.Host.Name, startTime, m.ready)
	}
}

// Refused starts the daemon where it must not start, and returns its exit code
// and what it said.
func (m *Member) Refused(ctx context.Context) (code int, said string, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	c := m.serve()
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err = c.Run(ctx)
	var exit *line.ExitError
	if errors.As(err, &exit) && exit.Exit.Signal == 0 {
		return exit.Exit.Code, out.String(), nil
	}
	if err == nil {
		err = errors.New("it ended well")
	}
	return 0, "", fmt.Errorf("host %s, which must be refused: %w", m.Host.Name, err)
}

// Stop ends the daemon as an administrator would.
func (m *Member) Stop(ctx context.Context) error {
	if m.daemon == nil {
		return nil
	}
	if err := m.daemon.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-m.daemon.Ended():
		return m.daemon.Wait()
	case <-ctx.Done():
		return fmt.Errorf("stop host %s: %w", m.Host.Name, context.Cause(ctx))
	case <-time.After(startTime):
		return fmt.Errorf("host %s: not stopped after %s", m.Host.Name, startTime)
	}
}

// runs says whether the daemon still runs.
func (m *Member) runs() bool {
	if m.daemon == nil {
		return false
	}
	select {
	case <-m.daemon.Ended():
		return false
	default:
		return true
	}
}

// readyLine waits for a line that begins with "ready ".
type readyLine struct {
	ready chan struct{} // closed then

	mu   sync.Mutex
	text strings.Builder // guarded by mu
	seen bool            // guarded by mu
}

func (r *readyLine) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text.Write(b)
	if !r.seen && strings.Contains("\n"+r.text.String(), "\nready ") {
		r.seen = true
		close(r.ready)
	}
	return len(b), nil
}

func (r *readyLine) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}
