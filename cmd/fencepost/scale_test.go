package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"fencepost/spool"
	"fencepost/spool/vfs"
)

// countingFS counts what a command asks of the share, by operation and directory.
type countingFS struct {
	vfs.FS
	mu  sync.Mutex
	ops map[string]int
}

func (f *countingFS) note(op, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, _, _ := strings.Cut(name, "/")
	f.ops[op+" "+dir]++
}

func (f *countingFS) List(dir string) ([]string, error) {
	f.note("list", dir)
	return f.FS.List(dir)
}

func (f *countingFS) Read(name string, limit int64) ([]byte, vfs.ID, error) {
	f.note("read", name)
	return f.FS.Read(name, limit)
}

func (f *countingFS) Identify(name string) (vfs.ID, error) {
	f.note("open", name)
	return f.FS.Identify(name)
}

// opsOf runs a command and counts.
func opsOf(t *testing.T, dir string, args ...string) map[string]int {
	t.Helper()
	g := newGlobals()
	ops := &countingFS{ops: map[string]int{}}
	g.openFS = func(dir string) (vfs.FS, error) {
		fs, err := vfs.OpenOS(dir)
		ops.FS = fs
		return ops, err
	}
	code, _, stderr := inProcess(t, g, append(args, "--spool", dir)...)
	if code != exitOK && code != exitDegraded && code != exitUnsafe {
		t.Fatalf("%v: exit %d: %s", args, code, stderr)
	}
	return ops.ops
}

// crowd makes a spool with so many jobs: most are done, others wait, are parked
// or failed. The buckets are the same whatever the number.
func crowd(t testing.TB, jobs int) (dir string, ids []string) {
	t.Helper()
	dir = t.TempDir()
	if code := run(context.Background(), quiet(), []string{"init", "--no-enroll", "--spool", dir}); code != exitOK {
		t.Fatalf("init: got exit %d", code)
	}
	for i := range jobs {
		id := fmt.Sprintf("0190%03x0-%04x-7000-8000-%012x", i%16, i/16, i)
		ids = append(ids, id)
		place := filepath.Join(spool.DirDone, spool.Bucket(id), fmt.Sprintf("submit~a~1.%d~%s=%d.json", i+1, id, i))
		switch i % 10 {
		case 0:
			place = "json/" + id + ".json"
		case 1:
			place = "xml/" + id + ".xml"
		case 2:
			place = "parked/submit~" + id + "+1.0.json"
		}
		for _, f := range []string{spool.GatePath(id), place} {
			f = filepath.Join(dir, f)
			if err := os.MkdirAll(filepath.Dir(f), 0o750); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(f, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir, ids
}

// What the commands ask of the share grows with its directories, not with its
// files: no file is opened for being there.
func TestCommandsListAndDoNotOpen(t *testing.T) {
	small, ids := crowd(t, 160)
	large, _ := crowd(t, 1600)
	for _, args := range [][]string{{"status"}, {"depth"}, {"jobs"}, {"jobs", "--state", "parked"}, {"hosts"}, {"intruders"}, {"top", "--count", "1"},
		{"why", ids[10]}, {"trace", ids[15]}, {"why", ids[10][:14]}, {"audit", "--wait", "1ms"}} {
		few, many := opsOf(t, small, args...), opsOf(t, large, args...)
		if fmt.Sprint(few) != fmt.Sprint(many) {
			t.Errorf("%v: with 160 jobs %v, with 1600 jobs %v", args, few, many)
		}
		if n := few["list done"]; n > 2*17 {
			t.Errorf("%v: done is listed %d times", args, n)
		}
	}
	if ops := opsOf(t, large, "jobs", "--state", "parked"); ops["list done"]+ops["list gate"] > 0 || ops["list parked"] != 1 {
		t.Errorf("jobs --state parked lists %v", ops)
	}
	if ops := opsOf(t, large, "why", ids[10]); ops["list gate"] > 0 || ops["list done"] > 4 {
		t.Errorf("why of a whole id lists %v", ops)
	}
	if ops := opsOf(t, large, "why", ids[10][:14]); ops["list gate"] > 2 {
		t.Errorf("why of a prefix lists %v: only one bucket can hold it", ops)
	}
}
