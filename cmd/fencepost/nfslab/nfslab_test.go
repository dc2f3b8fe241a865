package nfslab_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fencepost/cmd/fencepost/nfslab"
	"fencepost/spool/vfs/nfsfacts"
)

// boot boots a laboratory for a test, or skips it.
func boot(t *testing.T) *nfslab.Lab {
	t.Helper()
	if missing := nfslab.Missing(); len(missing) > 0 {
		why := "not installed: " + strings.Join(missing, " ")
		if os.Getenv("CI") != "" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	if testing.Short() {
		t.Skip("boots a kernel and takes minutes")
	}
	began := time.Now()
	l, err := nfslab.Boot(t.Context(), nfslab.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("booted in %v", time.Since(began).Round(time.Millisecond))
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the kernel said:\n%s", l.Log())
		}
		leavesNothing(t, filepath.Dir(l.Share()))
	})
	return l
}

// leavesNothing: neither files nor a process that was started with them.
func leavesNothing(t *testing.T, dir string) {
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s is still there", dir)
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range lines {
		if text, err := os.ReadFile(f); err == nil && strings.Contains(string(text), dir+"/ramdisk") {
			t.Errorf("a process is left: %s", f)
		}
	}
}

// long are the experiments that only the command runs: on version 4.2 they
// observe least, for the time that they take. reply-lost-restart and grace need
// a quiet machine: on a busy one an answer may be late for the restart, and the
// ten seconds of grace be over before all has been tried. Trials lose replies and
// restart the server, too.
func long() []string {
	return []string{"nolock", "local-lock", "reply-lost", "reply-lost-port", "reply-lost-restart", "grace", "late-rename"}
}

// TestLab is the laboratory's short form: the table on version 4.2, and what
// the table doesn't need.
func TestLab(t *testing.T) {
	l := boot(t)
	t.Run("commands", func(t *testing.T) { testCommands(t, l) })
	t.Run("turns", func(t *testing.T) { testTurns(t, l) })
	t.Run("space", func(t *testing.T) { testSpace(t, l) })
	t.Run("conformance", func(t *testing.T) {
		out, err := l.Conformance(t.Context(), addHost(t, l))
		if err != nil || !strings.Contains(out, "--- PASS: TestOSMount/rename-race") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	seen := 0
	err := l.RunFacts(t.Context(), nfslab.Run{
		Mount: nfslab.HostConfig{Version: "4.2"},
		Want:  func(e nfsfacts.Experiment) bool { return !slices.Contains(long(), e.Name) },
		Done: func(r nfsfacts.Result, took time.Duration) {
			seen++
			t.Run(r.Experiment.Name, func(t *testing.T) {
				t.Logf("%v: %v", took.Round(time.Millisecond), r.Seen)
				if why, skipped := r.Skipped(); skipped {
					t.Skip(why)
				}
				for _, d := range r.Differs() {
					t.Error(d)
				}
			})
		},
	})
	if err != nil {
		t.Error(err)
	}
	if want := len(nfsfacts.Table()) - len(long()); seen != want {
		t.Errorf("ran %d experiments, want %d", seen, want)
	}
}

func addHost(t *testing.T, l *nfslab.Lab) *nfslab.Host {
	t.Helper()
	h, err := l.AddHost(t.Context(), nfslab.HostConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// testCommands: what others build on.
func testCommands(t *testing.T, l *nfslab.Lab) {
	h := addHost(t, l)
	run := func(script string) string {
		t.Helper()
		out, err := h.Command("sh", "-c", script).Output(t.Context())
		if err != nil {
			t.Error(err)
		}
		return strings.TrimSpace(string(out))
	}
	if got := run("hostname"); got != h.Name {
		t.Errorf("hostname: got %q, want %q", got, h.Name)
	}
	if got := run("grep ' " + nfslab.Mount + " ' /proc/self/mountinfo"); !strings.Contains(got, "vers=4.2") || !strings.Contains(got, "hard") {
		t.Errorf("mounted as %q", got)
	}
	if err := os.WriteFile(filepath.Join(l.Share(), "in"), []byte("from outside"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := run("cat " + nfslab.Shared + "/in; echo back >" + nfslab.Shared + "/out"); got != "from outside" {
		t.Errorf("got %q", got)
	}
	if got, err := os.ReadFile(filepath.Join(l.Share(), "out")); err != nil || string(got) != "back\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if got := run("touch /usr/bin/of-the-machine /etc/of-the-machine 2>&1 || true"); strings.Count(got, "Read-only") != 2 {
		t.Errorf("the machine's files can be written: %q", got)
	}
	// A process that runs on is cut off from the server and joined.
	r, w := io.Pipe()
	cmd := h.Command("sh", "-c", "touch "+nfslab.Mount+"/a && echo done")
	cmd.Stdout = w
	if err := h.Cut(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-cmd.Ended():
		t.Errorf("a host that is cut off writes: %v", cmd.Wait())
	case <-time.After(2 * time.Second):
	}
	if err := h.Join(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { w.Close() })
	defer stop()
	if got, _ := io.ReadAll(r); string(got) != "done\n" {
		t.Errorf("after the join: got %q", got)
	}
}

// testTurns: renames from one directory to another a client's kernel makes one at
// a time, whichever directories they are; within directories it makes several at
// once. The model of package nfssim does the same, and docs/scaling.md leans on it.
func testTurns(t *testing.T, l *nfslab.Lab) {
	h, err := l.AddHost(t.Context(), nfslab.HostConfig{Lossy: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	run := func(script string) string {
		t.Helper()
		out, err := h.Command("sh", "-c", "cd "+nfslab.Mount+" && "+script).Output(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	slow := func(wait time.Duration) {
		t.Helper()
		if err := h.Slow(wait, "rename"); err != nil {
			t.Fatal(err)
		}
	}
	const each = "for i in 1 2 3 4 5 6; do "
	run(each + "mkdir -p turns/a$i turns/b$i; touch turns/a$i/x; done")
	// Processes that rename at the same time, each in directories of its own.
	most := func(from, to string) int {
		t.Helper()
		slow(100 * time.Millisecond)
		run(each + "(mv " + from + " " + to + "; mv " + to + " " + from + ") & done; wait")
		n, err := h.Most()
		if err != nil {
			t.Fatal(err)
		}
		slow(0)
		if got := run("ls -d turns/a*/x"); strings.Count(got, "\n") != 6 {
			t.Fatalf("files are gone: %s", got)
		}
		return n
	}
	if got := most("turns/a$i/x", "turns/b$i/x"); got != 1 {
		t.Errorf("between directories: %d renames at a time, want 1", got)
	}
	got := 0
	for range 5 { // on a busy machine the processes may not meet
		if got = most("turns/a$i/x", "turns/a$i/y"); got > 1 {
			break
		}
	}
	if got < 2 {
		t.Errorf("within directories: %d rename at a time, want several", got)
	}
	t.Logf("within directories: %d renames at a time", got)
}

func testSpace(t *testing.T, l *nfslab.Lab) {
	h := addHost(t, l)
	write := func() error {
		_, err := h.Command("sh", "-c", "echo something >"+nfslab.Mount+"/new && sync "+nfslab.Mount+"/new").Output(t.Context())
		return err
	}
	if err := write(); err != nil {
		t.Fatal(err)
	}
	if err := l.FillDisk(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Command("rm", nfslab.Mount+"/new").Output(t.Context()); err != nil {
		t.Error(err)
	}
	if err := l.FillDisk(); err != nil { // what the file had
		t.Fatal(err)
	}
	if err := write(); err == nil || !strings.Contains(err.Error(), unix.ENOSPC.Error()) && !strings.Contains(err.Error(), "No space left") {
		t.Errorf("on a full disk: %v", err)
	}
	if err := l.FreeDisk(); err != nil {
		t.Fatal(err)
	}
	if err := write(); err != nil {
		t.Error(err)
	}
}

// TestDocs: the page on NFS has the table as it is.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../../docs/nfs.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range nfsfacts.Table() {
		if !strings.Contains(string(page), "\n"+e.Row()+"\n") {
			t.Errorf("docs/nfs.md lacks the line\n%s", e.Row())
		}
	}
}
