package main

import (
	"strings"
	"testing"
	"time"

	"fencepost/spool/vfs"
)

// stuck is a share that answers until a record is written or a name linked: then
// never again.
type stuck struct {
	vfs.FS
	dead chan struct{}
}

func (s stuck) OpenRecord(name string) (vfs.Record, error) {
	r, err := s.FS.OpenRecord(name)
	return stuckRecord{r, s.dead}, err
}

type stuckRecord struct {
	vfs.Record
	dead chan struct{}
}

func (s stuckRecord) Write(data []byte) error {
	<-s.dead
	return s.Record.Write(data)
}

// A write that never ends is a dead share, too: exit 8, for fstest and doctor.
func TestStuckRecord(t *testing.T) {
	dir := t.TempDir() + "/s"
	if code, _, stderr := inProcess(t, newGlobals(), "init", "--spool", dir, "--host", "a"); code != 0 {
		t.Fatal(stderr)
	}
	for _, args := range [][]string{{"fstest", "--peer"}, {"fstest"}, {"doctor", "--ignore", "FP024"}} {
		g := newGlobals()
		dead := make(chan struct{})
		t.Cleanup(func() { close(dead) })
		g.openFS = func(dir string) (vfs.FS, error) {
			fsys, err := vfs.OpenOS(dir)
			return stuck{fsys, dead}, err
		}
		start := time.Now()
		code, stdout, stderr := inProcess(t, g, append(args, "--spool", dir, "--host", "a", "--timeout", "1s")...)
		if code != exitTimeout || stdout != "" || !strings.Contains(stderr, "write and sync .fencepost-") {
			t.Errorf("%q: got exit %d after %s: %s%s", args, code, time.Since(start), stdout, stderr)
		}
	}
}
