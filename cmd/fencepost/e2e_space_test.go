package main_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallShare puts the spool onto a file system of its own with so little room.
func smallShare(t *testing.T, options string, hosts []string, serveArgs ...string) *site {
	t.Helper()
	asRoot(t)
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

// asRoot lets only root go on. For anybody else the test runs again as the root of
// a user namespace, who may mount a tmpfs there, and what becomes of that counts.
func asRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	again := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
	cmd := exec.Command(os.Args[0], "-test.run="+again, "-test.v", "-test.timeout=5m")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}}
	out, err := cmd.CombinedOutput()
	switch {
	case cmd.ProcessState == nil:
		t.Skipf("to mount a small file system needs root, or a user namespace: %v", err)
	case err != nil:
		t.Fatalf("in a user namespace: %v\n%s", err, out)
	}
	t.Skipf("in a user namespace of its own:\n%s", out)
}

// TestWatermarks: jobs are refused before the share is full, and nothing is written
// for them; with room again they are taken, without a restart.
func TestWatermarks(t *testing.T) {
	s := smallShare(t, "size=64m,nr_inodes=4000", []string{"a"}, "--stages", "ingest")
	a := s.start("a")
	send := func() (errs string) {
		_, errs, _ = s.try("send", "--to", a.addr, "--timeout", "1s", s.jobs(1, "#!/bin/sh\n"))
		return errs
	}
	want := func(says string) {
		t.Helper()
		eventually(t, 30*time.Second, func() string {
			if errs := send(); (says == "") != (errs == "") || !strings.Contains(errs, says) {
				return fmt.Sprintf("got %q, want %q", errs, says)
			}
			return ""
		})
	}
	// The marks are a twentieth of so small a share: 3.2 MiB, 200 files.
	for says, fill := range map[string]func(ballast string) error{
		"no_space: the share has ": func(ballast string) error {
			return os.WriteFile(filepath.Join(ballast, "x"), make([]byte, 61<<20), 0o600)
		},
		"no_space: the share has room for ": func(ballast string) (err error) {
			for i := 0; i < 3800 && err == nil; i++ {
				err = os.WriteFile(filepath.Join(ballast, fmt.Sprint(i)), nil, 0o600)
			}
			if errors.Is(err, syscall.ENOSPC) {
				return os.Remove(filepath.Join(ballast, "0"))
			}
			return err
		},
	} {
		want("")
		ballast := filepath.Join(s.spool, "ballast")
		if err := errors.Join(os.Mkdir(ballast, 0o700), fill(ballast)); err != nil {
			t.Fatal(err)
		}
		want(says)
		before, _ := s.audit()
		for range 5 {
			if errs := send(); !strings.Contains(errs, says) {
				t.Errorf("got %q, want %q", errs, says)
			}
		}
		if after, code := s.audit(); code != 0 || after.Accepted != before.Accepted {
			t.Errorf("audit: exit %d, %+v; before: %+v", code, after, before)
		}
		wantWholeFiles(t, s)
		if err := os.RemoveAll(ballast); err != nil {
			t.Fatal(err)
		}
	}
	want("")
}

// TestOutOfSpace: the share fills up in the middle of a load, to the last byte or
// to the last file (TestMarks is about what comes before). Jobs are refused as no_space, nothing that
// was accepted is lost, no half-written file is seen, and all goes on when there
// is room again.
func TestOutOfSpace(t *testing.T) {
	for _, c := range []struct{ name, options, more string }{
		{"bytes", "size=3m", "size=64m"},
		{"files", "size=64m,nr_inodes=600", "size=64m,nr_inodes=100000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := smallShare(t, c.options, []string{"a", "b"})
			s.env = []string{"FENCEPOST_CLUSTER_SWEEP_EVERY=3s", "FENCEPOST_LIMITS_FREE_SPACE=0", "FENCEPOST_LIMITS_FREE_FILES=0"}
			outOfSpace(t, s, c.more)
		})
	}
}

func outOfSpace(t *testing.T, s *site, more string) {
	held, log := s.heldCluster()
	s.args = append(s.args, held...)
	a, b := s.start("a"), s.start("b")
	to := []string{"--to", a.addr, "--to", b.addr}
	// Large scripts: three files of it for each job.
	script := "#!/bin/sh\n# " + strings.Repeat("x", 6000) + "\n"
	var ids []string
	full, told := "", ""
	for round := 0; full == "" && round < 60; round++ {
		out, errs, _ := s.try(append([]string{"send", "--jsonl", "--timeout", "3s", s.jobs(20, script)}, to...)...)
		ids = append(ids, strings.Fields(out)...)
		told += errs
		// The first may be one whose file was written, and then found no room for
		// the rest: that one isn't known to be accepted.
		if strings.Contains(errs, "no_space: the share has no space left") {
			full = errs
		}
	}
	if full == "" {
		t.Fatalf("after %d jobs: want a refusal as no_space, got %q", len(ids), told)
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
	if err := syscall.Mount("tmpfs", s.spool, "tmpfs", syscall.MS_REMOUNT, more); err != nil {
		t.Fatal(err)
	}
	ids = append(ids, strings.Fields(s.run(0, append([]string{"send", "--jsonl", s.jobs(20, script)}, to...)...))...)
	s.wantOnce(ids, log)
	// Whoever was told so may send the same under another id.
	for _, m := range regexp.MustCompile(`job (\S+) not accepted`).FindAllStringSubmatch(told, -1) {
		if _, _, code := s.try("trace", m[1], "--spool", s.spool); code != 3 {
			t.Errorf("job %s was refused as not accepted, and came in (trace: exit %d)", m[1], code)
		}
	}
}

// TestReadOnlyShare: the share's file system finds an error in the middle of a
// load and becomes read-only, as ext4 does. Jobs are refused with a time to come
// back. When it was repaired all goes on: nothing that was accepted is lost.
func TestReadOnlyShare(t *testing.T) {
	s, disk := ext4Share(t, []string{"a", "b"})
	held, log := s.heldCluster()
	s.args = append(s.args, held...)
	s.env = []string{"FENCEPOST_CLUSTER_SWEEP_EVERY=3s"}
	a, b := s.start("a"), s.start("b")
	to := []string{"--to", a.addr, "--to", b.addr}
	ids := strings.Fields(s.run(0, append([]string{"send", "--jsonl", s.jobs(40, "#!/bin/sh\n")}, to...)...))
	disk.fail()
	out, errs, code := s.try(append([]string{"send", "--jsonl", "--timeout", "3s", s.jobs(10, "#!/bin/sh\n")}, to...)...)
	if code != 1 || out != "" || !strings.Contains(errs, "refused by") {
		t.Fatalf("read-only: exit %d, %s%s", code, out, errs)
	}
	t.Logf("read-only: %s", strings.SplitN(errs, "\n", 2)[0])
	wantWholeFiles(t, s)
	s.stopAll()
	disk.repair()
	a, b = s.start("a"), s.start("b")
	to = []string{"--to", a.addr, "--to", b.addr}
	ids = append(ids, strings.Fields(s.run(0, append([]string{"send", "--jsonl", "--timeout", "1m", s.jobs(20, "#!/bin/sh\n")}, to...)...))...)
	s.wantOnce(ids, log)
}

// disk is a small ext4 of its own.
type disk struct {
	t           *testing.T
	image, root string
}

// ext4Share is smallShare on a disk that can fail.
func ext4Share(t *testing.T, hosts []string) (*site, *disk) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("to mount a file system needs root")
	}
	s := &site{t: t, bin: binary(t), dir: t.TempDir(), own: map[string][]string{}, hosts: map[string]*proc{}}
	d := &disk{t, filepath.Join(s.dir, "image"), filepath.Join(s.dir, "mnt")}
	s.spool = filepath.Join(d.root, "spool")
	f, err := os.Create(d.image)
	if err == nil {
		err = errors.Join(f.Truncate(64<<20), f.Close(), os.Mkdir(d.root, 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", d.image).CombinedOutput(); err != nil {
		t.Skipf("mkfs.ext4: %v %s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop,errors=remount-ro", d.image, d.root).CombinedOutput(); err != nil {
		t.Skipf("to mount needs more rights: %v %s", err, out)
	}
	t.Cleanup(func() { _ = syscall.Unmount(d.root, syscall.MNT_DETACH) })
	s.run(0, "init", "--no-enroll", "--spool", s.spool)
	for _, h := range hosts {
		s.run(0, "enroll", h, "--spool", s.spool)
	}
	t.Cleanup(s.stopAll)
	return s, d
}

// fail makes the file system find an error, whoever has files open there.
func (d *disk) fail() {
	d.t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(d.root, &st); err != nil {
		d.t.Fatal(err)
	}
	link, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", st.Dev>>8&0xfff, st.Dev&0xff|st.Dev>>12&0xfff00))
	if err == nil {
		err = os.WriteFile("/sys/fs/ext4/"+filepath.Base(link)+"/trigger_fs_error", []byte("1"), 0)
	}
	if err != nil {
		d.t.Skipf("this kernel can't be told to: %v", err)
	}
	if err := os.WriteFile(filepath.Join(d.root, "x"), nil, 0o600); !errors.Is(err, syscall.EROFS) {
		d.t.Fatalf("it can still be written: %v", err)
	}
}

// repair is what a person does then.
func (d *disk) repair() {
	d.t.Helper()
	if err := syscall.Unmount(d.root, 0); err != nil {
		d.t.Fatal(err)
	}
	_ = exec.Command("e2fsck", "-fy", d.image).Run() // 1: it was repaired
	if out, err := exec.Command("mount", "-o", "loop", d.image, d.root).CombinedOutput(); err != nil {
		d.t.Fatalf("%v %s", err, out)
	}
}

// wantOnce waits until all jobs are done, and wants each of ids started once, and
// no job more often.
func (s *site) wantOnce(ids []string, log string) {
	s.t.Helper()
	// A job that wasn't known to be accepted may come in all the same, and late.
	var bal balance
	eventually(s.t, 2*time.Minute, func() string {
		if bal, _ = s.audit(); bal.Difference != 0 || bal.Parked+bal.Failed > 0 {
			s.t.Fatalf("audit: %+v", bal)
		}
		if bal.Accepting > 0 || bal.Done != bal.Accepted {
			return fmt.Sprintf("%+v, want all done", bal)
		}
		return ""
	})
	if bal.Accepted < len(ids) {
		s.t.Errorf("%d ids were answered as accepted, and %d jobs are there", len(ids), bal.Accepted)
	}
	got := lines(s.t, log)
	for _, id := range ids {
		if got[id] != 1 {
			s.t.Errorf("job %s: got %d starts, want 1", id, got[id])
		}
	}
	if len(got) != bal.Accepted {
		s.t.Errorf("%d jobs started, %d were accepted", len(got), bal.Accepted)
	}
	wantWholeFiles(s.t, s)
	if st, code := s.status(); code != 0 {
		s.t.Errorf("status: exit %d, %+v", code, st.Problems)
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

// TestDeepQueue: past the depth that is allowed jobs are refused with a time to
// come back, before anything is written.
func TestDeepQueue(t *testing.T) {
	s := newSite(t, []string{"a"}, "--stages", "ingest")
	s.env = []string{"FENCEPOST_LIMITS_DEPTH=5"}
	a := s.start("a")
	s.run(0, "send", "--to", a.addr, "--jsonl", s.jobs(6, "#!/bin/sh\n"))
	send := func() (out, errs string, code int) {
		return s.try("send", "--to", a.addr, "--timeout", "1s", s.jobs(1, "#!/bin/sh\n"))
	}
	const says = "jobs wait in a stage, 5 are the limit"
	// It isn't counted for each job, and who comes while it is counted goes by the last time.
	eventually(t, 30*time.Second, func() string {
		if _, errs, _ := send(); !strings.Contains(errs, "busy: ") || !strings.Contains(errs, says) {
			return "got " + errs
		}
		return ""
	})
	before, _ := s.audit()
	for range 3 {
		if out, errs, code := send(); code != 1 || out != "" || !strings.Contains(errs, says) {
			t.Errorf("got exit %d, %s%s", code, out, errs)
		}
	}
	if after, _ := s.audit(); after.Accepted != before.Accepted || after.Waiting != after.Accepted {
		t.Errorf("got %+v, before %+v", after, before)
	}
}
