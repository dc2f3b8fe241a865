package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallShare puts the spool onto a file system of its own with so little room.
func smallShare(t *testing.T, options string, hosts []string, serveArgs ...string) *site {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("to mount a small file system needs root")
	}
	s := &site{t: t, bin: binary(t), dir: t.TempDir(), args: serveArgs, own: map[string][]string{}, hosts: map[string]*proc{}}
	s.spool = filepath.Join(s.dir, "spool")
	if err := os.Mkdir(s.spool, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", s.spool, "tmpfs", 0, options); err != nil {
		t.Skipf("to mount a small file system needs more rights: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(s.spool, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s.run(0, "init", "--no-enroll", "--spool", s.spool)
	for _, h := range hosts {
		s.run(0, "enroll", h, "--spool", s.spool)
	}
	t.Cleanup(s.stopAll)
	return s
}

// TestOutOfSpace: the share fills up in the middle of a load. Jobs are refused
// as no_space, nothing that was accepted is lost, no half-written file is seen,
// and all goes on when there is room again.
func TestOutOfSpace(t *testing.T) {
	s := smallShare(t, "size=3m", []string{"a", "b"})
	held, log := s.heldCluster()
	s.args = append(s.args, held...)
	s.env = []string{"FENCEPOST_CLUSTER_SWEEP_EVERY=3s"}
	a, b := s.start("a"), s.start("b")
	to := []string{"--to", a.addr, "--to", b.addr}
	// Large scripts: three files of it for each job.
	script := "#!/bin/sh\n# " + strings.Repeat("x", 6000) + "\n"
	var ids []string
	full := ""
	for round := 0; full == "" && round < 60; round++ {
		out, errs, code := s.try(append([]string{"send", "--jsonl", "--timeout", "3s", s.jobs(20, script)}, to...)...)
		ids = append(ids, strings.Fields(out)...)
		if code != 0 {
			full = errs
		}
	}
	if !strings.Contains(full, "no_space") && !strings.Contains(full, "no space") {
		t.Fatalf("after %d jobs: want a refusal as no_space, got %q", len(ids), full)
	}
	t.Logf("full after %d jobs: %s", len(ids), strings.SplitN(full, "\n", 2)[0])
	time.Sleep(3 * time.Second)
	for _, p := range []*proc{a, b} {
		select {
		case <-p.ended:
			t.Fatalf("a host ended:\n%s", tail(p.log))
		default:
		}
	}
	bal, code := s.audit()
	t.Logf("while it is full: exit %d, %+v", code, bal)
	if code != 0 || bal.Difference != 0 || bal.Failed+bal.Parked > 0 {
		t.Errorf("audit while full: exit %d, %+v", code, bal)
	}
	wantWholeFiles(t, s)
	if err := syscall.Mount("tmpfs", s.spool, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	ids = append(ids, strings.Fields(s.run(0, append([]string{"send", "--jsonl", s.jobs(20, script)}, to...)...))...)
	// A job whose answer was lost may be accepted all the same.
	bal, _ = s.audit()
	if bal.Accepted < len(ids) {
		t.Errorf("%d ids were answered as accepted, and %d jobs are there", len(ids), bal.Accepted)
	}
	s.await(2*time.Minute, bal.Accepted)
	got := lines(t, log)
	for _, id := range ids {
		if got[id] != 1 {
			t.Errorf("job %s: got %d starts, want 1", id, got[id])
		}
	}
	if len(got) != bal.Accepted {
		t.Errorf("%d jobs started, %d were accepted", len(got), bal.Accepted)
	}
	wantWholeFiles(t, s)
	if st, code := s.status(); code != 0 {
		t.Errorf("status: exit %d, %+v", code, st.Problems)
	}
}

// wantWholeFiles reads what stands under a job's name: none is cut short.
func wantWholeFiles(t *testing.T, s *site) {
	t.Helper()
	for pattern, end := range map[string]string{"gate/*/*": "</job>", "xml/[0-9a-f]*.xml": "</job>", "json/[0-9a-f]*.json": "}"} {
		files, _ := filepath.Glob(filepath.Join(s.spool, filepath.FromSlash(pattern)))
		for _, f := range files {
			data, err := os.ReadFile(f)
			if os.IsNotExist(err) || strings.HasPrefix(filepath.Base(f), "canary-") {
				continue // moved on; or no job
			}
			if err != nil || !strings.HasSuffix(strings.TrimSpace(string(data)), end) {
				t.Errorf("%s: %v, %d bytes, ends with %q", f, err, len(data), tail(f)[max(0, len(data)-20):])
			}
		}
	}
}
