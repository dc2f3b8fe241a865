package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"fencepost/spool/vfs"
)

// onMount is a program on a machine whose file systems are all of one mount.
func onMount(typ, options string) *globals {
	g := newGlobals()
	g.machine = fstest.MapFS{"proc/self/mountinfo": {Data: fmt.Appendf(nil, "999999 1 0:52 / / rw - %s nas:/x %s\n", typ, options)}}
	return g
}

// serve starts on no unsafe mount, unless the check is named; nothing is taken
// before.
func TestServeRefusesUnsafeMount(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	if code, _, stderr := inProcess(t, newGlobals(), "init", "--spool", dir, "--host", "a"); code != 0 {
		t.Fatal(stderr)
	}
	for _, c := range []struct {
		typ, options, named string
		want                int
		says                string
	}{
		{"nfs4", "rw,vers=4.2,soft", "", exitUnsafe, "FP003"},
		{"nfs", "rw,vers=3,hard,nolock", "", exitUnsafe, "FP004"},
		{"nfs", "rw,vers=3,soft,nolock", "FP003", exitUnsafe, "FP004"},
		{"cifs", "rw", "", exitUnsafe, "FP001"},
		// b isn't enrolled: as far as that, the mount was taken.
		{"nfs", "rw,vers=3,soft,nolock", "FP003,FP004", exitFenced, "not on the roster"},
		{"nfs4", "rw,vers=4.2,hard", "", exitFenced, "not on the roster"},
		{"ext4", "rw", "", exitFenced, "not on the roster"},
	} {
		args := []string{"serve", "--spool", dir, "--host", "b", "--listen", "127.0.0.1:0"}
		if c.named != "" {
			args = append(args, "--unsafe-mount", c.named)
		}
		code, stdout, stderr := inProcess(t, onMount(c.typ, c.options), args...)
		if code != c.want || stdout != "" || !strings.Contains(stderr, c.says) {
			t.Errorf("%+v: got exit %d, %q, %q", c, code, stdout, stderr)
		}
		if c.want == exitUnsafe && (!strings.Contains(stderr, "unsafe mount: "+c.says) || !strings.Contains(stderr, "--unsafe-mount "+c.says)) {
			t.Errorf("%+v: the message lacks its check or the way around: %q", c, stderr)
		}
	}
}

// The fix is in what doctor prints, and the exit code says unsafe.
func TestDoctorOnBadMounts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	if code, _, stderr := inProcess(t, newGlobals(), "init", "--spool", dir, "--host", "a", "--machine-id", "m-1"); code != 0 {
		t.Fatal(stderr)
	}
	args := []string{"doctor", "--spool", dir, "--host", "a", "--machine-id", "m-1", "--ignore", "FP024,FP033,FP034"}
	for _, c := range []struct {
		typ, options string
		want         int
		line         string
	}{
		{"nfs4", "rw,vers=4.2,hard,proto=tcp", exitOK, "ok\tFP003\thard mount: mounted hard"},
		{"nfs4", "rw,vers=4.2,soft,proto=tcp", exitUnsafe, "refuse\tFP003\thard mount: mounted soft or softerr"},
		{"nfs", "rw,vers=3,hard,local_lock=all", exitUnsafe, "refuse\tFP004\tlocks at the server: mounted with local_lock=all"},
		{"nfs4", "rw,vers=4.0,hard", exitDegraded, "warn\tFP002\tNFS version: version 4.0"},
	} {
		code, stdout, stderr := inProcess(t, onMount(c.typ, c.options), args...)
		if code != c.want || !strings.Contains(stdout, c.line) || stderr != "" {
			t.Errorf("%+v: got exit %d, %q\n%s", c, code, stderr, stdout)
		}
		if c.want != exitOK && !strings.Contains(stdout, "\tfix\ton every host set in /etc/fstab: nas:/x / nfs4 vers=4.2,hard,proto=tcp") {
			t.Errorf("%+v: no fix:\n%s", c, stdout)
		}
	}
}

// A share that stops answering ends doctor with 8, like every command.
func TestDoctorOnDeadShare(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	if code, _, stderr := inProcess(t, newGlobals(), "init", "--spool", dir, "--host", "a"); code != 0 {
		t.Fatal(stderr)
	}
	g := onMount("nfs4", "rw,vers=4.2,hard")
	dead := make(chan struct{})
	t.Cleanup(func() { close(dead) })
	g.openFS = func(dir string) (vfs.FS, error) {
		fsys, err := vfs.OpenOS(dir)
		return deadLink{fsys, dead}, err
	}
	start := time.Now()
	code, _, stderr := inProcess(t, g, "doctor", "--spool", dir, "--host", "a", "--timeout", "1s")
	if code != exitTimeout || !strings.Contains(stderr, "link .fencepost-doctor~") {
		t.Errorf("got exit %d after %s: %s", code, time.Since(start), stderr)
	}
}

// deadLink never returns from Link.
type deadLink struct {
	vfs.FS
	dead chan struct{}
}

func (d deadLink) Link(from, to string) error {
	<-d.dead
	return d.FS.Link(from, to)
}
