package main_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Users and a group that nobody has.
const (
	users         = 64100
	ingestUser    = 64101
	translateUser = 64102
	submitUser    = 64103
	stranger      = 64199
)

// newUsersSite is a spool where several users can get at it.
func newUsersSite(t *testing.T) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "users-") // t.TempDir's parents are root's alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	bin := filepath.Join(dir, "fencepost")
	data, err := os.ReadFile(binary(t))
	if err == nil {
		err = os.WriteFile(bin, data, 0o755)
	}
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, bin: bin, dir: dir, spool: filepath.Join(dir, "spool"), own: map[string][]string{}, hosts: map[string]*proc{}, as: map[string]*syscall.Credential{}}
	t.Cleanup(s.stopAll)
	s.env = []string{"FENCEPOST_SPOOL_USERS=64101,64102,64103"}
	t.Setenv("FENCEPOST_SPOOL_USERS", "64101,64102,64103")
	err = errors.Join(os.Mkdir(s.spool, 0o770), os.Chown(s.spool, ingestUser, users), os.Chmod(s.spool, 0o770|os.ModeSetgid))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSeparateUsers: ingest, translate and submit run as users of their own, of
// one group. Jobs go through; each may carry on what another one's instance left;
// files of a user who is none of theirs are set aside.
func TestSeparateUsers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to be several users")
	}
	s := newUsersSite(t)
	dir := s.dir
	run := func(uid uint32, args ...string) (string, error) {
		cmd := exec.Command(s.bin, args...)
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: users}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run(ingestUser, "init", "--no-enroll", "--spool", s.spool); err != nil {
		t.Fatalf("init: %v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "submit"), []byte("#!/bin/sh\ncat >/dev/null\necho c\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for host, uid := range map[string]uint32{"a-ingest": ingestUser, "a-translate": translateUser, "a-submit": submitUser} {
		_, stage, _ := strings.Cut(host, "-")
		if out, err := run(translateUser, "enroll", host, "--stages", stage, "--spool", s.spool); err != nil {
			t.Fatalf("enroll: %v\n%s", err, out)
		}
		s.as[host] = &syscall.Credential{Uid: uid, Gid: users}
	}
	start := func(host string) *proc {
		_, stage, _ := strings.Cut(host, "-")
		return s.start(host, "--stages", stage, "--heartbeat", "500ms", "--lease", "3s", "--cluster-command", "submit="+dir+"/submit")
	}
	a, b := start("a-ingest"), start("a-translate")
	s.run(0, "send", "--to", a.addr, "--jsonl", s.jobs(30, "#!/bin/sh\n"))
	b.kill9() // what it leaves, another user's host moves on
	start("a-submit")
	start("a-translate")
	s.await(2*time.Minute, 30)

	var stolen string
	draft, entry := filepath.Join(s.dir, "draft"), filepath.Join(s.spool, "xml", "01902d5a-7b3c-7def-8123-456789abcdef.xml")
	err := errors.Join(os.WriteFile(draft, []byte("<job/>"), 0o660), os.Chown(draft, stranger, users), os.Rename(draft, entry))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() string {
		found, _ := filepath.Glob(filepath.Join(s.spool, "failed", "translate~*.xml"))
		if len(found) != 1 {
			return "the file of another user isn't set aside"
		}
		stolen = found[0]
		return ""
	})
	why, _ := os.ReadFile(strings.Replace(strings.TrimSuffix(stolen, ".xml"), "translate~", "", 1) + ".why.json")
	if !strings.Contains(string(why), "belongs to user 64199") {
		t.Errorf("why: %s", why)
	}
}
