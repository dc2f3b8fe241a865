package main

import (
	"context"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fencepost/spool/vfs"
)

// deadFS answers some operations never.
type deadFS struct {
	vfs.FS
	dead func(op, name string) bool
	stop chan struct{}
}

func (d deadFS) List(dir string) ([]string, error) {
	if d.dead("list", dir) {
		<-d.stop
	}
	return d.FS.List(dir)
}

func (d deadFS) Read(name string, limit int64) ([]byte, vfs.ID, error) {
	if d.dead("read", name) {
		<-d.stop
	}
	return d.FS.Read(name, limit)
}

func (d deadFS) Create(name string, data []byte) (vfs.ID, error) {
	if d.dead("create", name) {
		<-d.stop
	}
	return d.FS.Create(name, data)
}

// Who waits for longer than a second is told for what.
func TestTalk(t *testing.T) {
	w, said := newWatch(time.Minute), make(chan string, 1000)
	w.talk = func(text string) { said <- text }
	_, err := underWatch(context.Background(), w, func(context.Context) (none struct{}, err error) {
		for _, want := range []string{"list done/0190000", "between two looks"} {
			end := func() {}
			if want != "between two looks" {
				end = w.begin("list", "done/0190000")
			}
			for text := ""; !strings.HasSuffix(text, "s: "+want); {
				select {
				case text = <-said:
				case <-time.After(time.Minute):
					t.Errorf("nobody says %q", want)
					return none, nil
				}
			}
			end()
		}
		return none, nil
	})
	if err != nil {
		t.Error(err)
	}
	if g := newGlobals(); g.talk() != nil && !isTerminal(g.stderr) {
		t.Error("talks to what is no terminal")
	}
}

// A share that stops answering, at once or in the middle, ends every command
// that touches it: exit 8, and the message says what didn't answer.
func TestDeadShare(t *testing.T) {
	sample := t.TempDir()
	if err := unpack(sample); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := inProcess(t, newGlobals(), "init", "--no-enroll", "--spool", sample); code != exitOK {
		t.Fatal(stderr)
	}
	commands := [][]string{{"status"}, {"hosts"}, {"jobs"}, {"trace", "01900000-0000-7000-8000-00000000001c"}, {"audit"},
		{"depth"}, {"intruders"}, {"why", "01900000-0000-7000-8000-00000000000c"}, {"events"}, {"top"}, {"status", "--watch"}, {"config", "check"}, {"enroll", "z"}, {"revoke", "z"}, {"init"}}
	for _, c := range commands {
		t.Run(c[0]+" open", func(t *testing.T) {
			g, stop := newGlobals(), make(chan struct{})
			defer close(stop)
			g.openFS = func(string) (vfs.FS, error) { <-stop; return nil, syscall.EIO }
			wantTimeout(t, g, "open ", append(c, "--spool", sample, "--timeout", "30ms"))
		})
		t.Run(c[0]+" later", func(t *testing.T) {
			g, stop := newGlobals(), make(chan struct{})
			defer close(stop)
			var first atomic.Bool // the abandoned look goes on beside the next
			first.Store(true)
			g.openFS = func(dir string) (vfs.FS, error) {
				fs, err := vfs.OpenOS(dir)
				return deadFS{fs, func(string, string) bool {
					stay := c[0] == "config"
					was := first.Swap(stay)
					return !was || stay
				}, stop}, err
			}
			wantTimeout(t, g, "", append(c, "--spool", sample, "--timeout", "30ms"))
		})
	}
}

func wantTimeout(t *testing.T, g *globals, op string, args []string) {
	t.Helper()
	start := time.Now()
	code, stdout, stderr := inProcess(t, g, args...)
	if code != exitTimeout || stdout != "" {
		t.Errorf("%v: exit %d, stdout %q, want exit %d and nothing", args, code, stdout, exitTimeout)
	}
	for _, want := range []string{op, "the share did not answer in time (30ms)", "host ", "findmnt"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%v: stderr %q lacks %q", args, stderr, want)
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("%v: took %s", args, took)
	}
}
