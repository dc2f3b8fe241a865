package main_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo terminal, and what was written to it.
type terminal struct {
	master, slave *os.File
	mu            sync.Mutex
	text          bytes.Buffer
}

func openTerminal(t *testing.T, width, height uint16) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: height, Col: width}); err != nil {
		t.Fatal(err)
	}
	p := &terminal{master: master, slave: slave}
	read := make(chan struct{})
	go func() {
		defer close(read)
		var buf [4096]byte
		for {
			n, err := master.Read(buf[:])
			p.mu.Lock()
			p.text.Write(buf[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		slave.Close() // ends the reader: nobody has the other end any more
		<-read
		master.Close()
	})
	return p
}

func (p *terminal) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// until waits until what was written satisfies ok.
func (p *terminal) until(t *testing.T, ok func(string) bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(p.String()); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("got %q", p.String())
		}
	}
}

// On a terminal a live view redraws in place, looks again at a key, ends at q or
// Ctrl-C with exit 0, and leaves the terminal as it was, the last frame on it.
func TestLiveViewsOnATerminal(t *testing.T) {
	s := newSite(t, []string{"a"})
	s.start("a")
	for _, c := range []struct {
		args []string
		end  string
	}{{[]string{"status", "--watch"}, "q"}, {[]string{"top"}, "q"}, {[]string{"top"}, "\x03"}} {
		t.Run(fmt.Sprintf("%s %q", strings.Join(c.args, " "), c.end), func(t *testing.T) {
			p := openTerminal(t, 100, 12)
			before, err := unix.IoctlGetTermios(int(p.slave.Fd()), unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, s.bin, append(c.args, "--interval", "1h", "--spool", s.spool)...)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = p.slave, p.slave, p.slave
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			frames := func(n int) func(string) bool {
				return func(text string) bool { return strings.Count(text, "\x1b[H") >= n && strings.HasSuffix(text, "\x1b[J") }
			}
			p.until(t, frames(1))
			_, _ = p.master.WriteString(" ") // the next look is an hour away
			p.until(t, frames(2))
			_, _ = p.master.WriteString(c.end)
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%v\n%q", err, p.String())
			}
			p.until(t, func(text string) bool {
				_, left, ended := strings.Cut(text, "\x1b[?1049l")
				return ended && strings.Contains(left, "HOST") // the last frame is left behind
			})
			text := p.String()
			_, first, _ := strings.Cut(text, "\x1b[H")
			first, _, _ = strings.Cut(first, "\x1b[H")
			if n := strings.Count(first, "\n"); n > 11 || !strings.Contains(first, "q ends it") {
				t.Errorf("a frame has %d lines in a window of 12:\n%q", n+1, first)
			}
			after, err := unix.IoctlGetTermios(int(p.slave.Fd()), unix.TCGETS)
			if err != nil || after.Lflag != before.Lflag {
				t.Errorf("the terminal has flags %x, %v, had %x", after.Lflag, err, before.Lflag)
			}
		})
	}
}
