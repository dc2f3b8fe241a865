package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"fencepost/spool"
)

// demoHost is one daemon.
type demoHost struct {
	cmd   *exec.Cmd
	addr  string
	ended chan struct{}
}

// fencepost runs this program as a newcomer would, and shows how.
func (d *demo) fencepost(ctx context.Context, out io.Writer, args ...string) (string, error) {
	fmt.Fprintf(d.g.stdout, "   $ fencepost %s\n", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, d.self, args...)
	var captured, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &captured, &talk
	if out != nil {
		cmd.Stdout = io.MultiWriter(&captured, indented(out))
	}
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("fencepost %s: %w\n%s", strings.Join(args, " "), err, strings.TrimSpace(talk.String()))
	}
	return captured.String(), nil
}

// indented writes lines a bit to the right.
func indented(w io.Writer) io.Writer { return &indenter{w: w, start: true} }

type indenter struct {
	w     io.Writer
	start bool
}

func (i *indenter) Write(p []byte) (int, error) {
	for _, line := range bytes.SplitAfter(p, []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		if i.start {
			if _, err := io.WriteString(i.w, "   "); err != nil {
				return 0, err
			}
		}
		if _, err := i.w.Write(line); err != nil {
			return 0, err
		}
		i.start = line[len(line)-1] == '\n'
	}
	return len(p), nil
}

// start starts a host and waits until it is ready.
func (d *demo) start(ctx context.Context, host string) error {
	args := []string{"serve", "--spool", d.spool, "--host", host, "--listen", "127.0.0.1:0"}
	fmt.Fprintf(d.g.stdout, "   $ fencepost %s &\n", strings.Join(args, " "))
	log, err := os.Create(filepath.Join(d.dir, host+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(d.self, args...)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start host %s: %w", host, err)
	}
	h := &demoHost{cmd: cmd, ended: make(chan struct{})}
	d.hosts[host] = h
	ready := make(chan string, 1)
	go func() {
		defer close(h.ended)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "ready ") {
				ready <- lines.Text()
			}
		}
		_ = cmd.Wait()
	}()
	select {
	case line := <-ready:
		fmt.Fprintf(d.g.stdout, "   %s\n", line)
		for _, w := range strings.Fields(line) {
			if addr, ok := strings.CutPrefix(w, "listen="); ok {
				h.addr = addr
			}
		}
		return nil
	case <-h.ended:
	case <-ctx.Done():
	}
	said, _ := os.ReadFile(log.Name())
	return fmt.Errorf("host %s did not get ready:\n%s", host, strings.TrimSpace(string(said)))
}

// untilBusy waits a while for the host to have work in its hands, so that there
// is something to take over.
func (d *demo) untilBusy(ctx context.Context, host string) {
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(time.Millisecond) {
		busy := false
		_ = d.sp.ScanOwned(func(f spool.Found) { busy = busy || f.Name.Host == host })
		if busy {
			return
		}
	}
}

func (d *demo) kill(host string) {
	h := d.hosts[host]
	fmt.Fprintf(d.g.stdout, "   $ kill -9 %d    # host %s\n", h.cmd.Process.Pid, host)
	_ = h.cmd.Process.Kill()
	<-h.ended
}

// stopAll asks the hosts to stop, and makes them.
func (d *demo) stopAll() {
	for _, h := range d.hosts {
		_ = h.cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, h := range d.hosts {
		select {
		case <-h.ended:
		case <-time.After(5 * time.Second):
			_ = h.cmd.Process.Kill()
			<-h.ended
		}
	}
}
