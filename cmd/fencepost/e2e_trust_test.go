package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// whyFailed waits until a job is in failed/ and returns its reasons.
func (s *site) whyFailed(id string) string {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if data, err := os.ReadFile(filepath.Join(s.spool, "failed", id+".why.json")); err == nil {
			return string(data)
		}
	}
	s.t.Fatalf("job %s is not in failed/:\n%s", id, tail(s.hosts["a"].log))
	return ""
}

// TestFilesOfOthers: what somebody else wrote, or could have written, on the
// share is set aside with the reason: its owner and mode say so.
func TestFilesOfOthers(t *testing.T) {
	s := newSite(t, []string{"a", "b"}, "--poll", "20ms")
	prog := s.program("submit", `cat >/dev/null; echo "c-$FENCEPOST_JOB_ID"`)
	cluster := []string{"--cluster-command", "submit=" + prog}
	in := s.start("a", "--stages", "ingest")
	send := func() string {
		return strings.TrimSpace(s.run(0, "send", "--to", in.addr, s.jobs(1, "#!/bin/sh\n")))
	}
	file := func(id string) string { return filepath.Join(s.spool, "xml", id+".xml") }
	open, foreign := send(), send()
	if err := os.Chmod(file(open), 0o664); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(file(foreign), 4711, 4711); err != nil {
			t.Fatal(err)
		}
	}
	in.kill9()
	in = s.start("a", cluster...)
	if why := s.whyFailed(open); !strings.Contains(why, "others may write it") {
		t.Errorf("mode 0664: %s", why)
	}
	if os.Geteuid() == 0 {
		if why := s.whyFailed(foreign); !strings.Contains(why, "belongs to user 4711") {
			t.Errorf("another's: %s", why)
		}
	}
	s.run(0, "send", "--wait", "--to", in.addr, s.jobs(1, "#!/bin/sh\n"))
}

// TestSignedSpool: with a key it is the signature that says so, whoever wrote the
// file. A host that lacks the key takes nothing. And an edited journal is seen.
func TestSignedSpool(t *testing.T) {
	s := newSite(t, []string{"a", "b"}, "--poll", "20ms")
	prog := s.program("submit", `cat >/dev/null; echo "c-$FENCEPOST_JOB_ID"`)
	cluster := []string{"--cluster-command", "submit=" + prog}
	var in *proc
	send := func() string {
		return strings.TrimSpace(s.run(0, "send", "--to", in.addr, s.jobs(1, "#!/bin/sh\n")))
	}
	file := func(id string) string { return filepath.Join(s.spool, "xml", id+".xml") }
	key := s.file("key", strings.Repeat("k", 40)+"\n")
	s.env = []string{"FENCEPOST_SPOOL_KEY_FILE=" + key}
	in = s.start("a", "--stages", "ingest")
	fine := send()
	s.env = nil
	b := s.start("b", append([]string{"--stages", "translate,submit"}, cluster...)...) // has no key
	time.Sleep(time.Second)
	if _, err := os.Stat(filepath.Join(s.spool, "failed", fine+".why.json")); err == nil {
		t.Error("a host without the key set a good job aside")
	}
	b.kill9()
	changed, forged := send(), send()
	for id, change := range map[string]func(string) string{
		changed: func(text string) string { return strings.Replace(text, "#!/bin/sh", "#!/bin/su", 1) },
		forged:  func(text string) string { return text[:strings.Index(text, "<!-- fencepost mac")] },
	} {
		data, err := os.ReadFile(file(id))
		if err != nil {
			t.Fatal(err)
		}
		// As root on another host can: the same owner, the same mode.
		if err = os.Remove(file(id)); err == nil {
			err = os.WriteFile(file(id), []byte(change(string(data))), 0o440)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	in.kill9()
	s.env = []string{"FENCEPOST_SPOOL_KEY_FILE=" + key}
	in = s.start("a", cluster...)
	if why := s.whyFailed(changed); !strings.Contains(why, "not as a host of this spool wrote it") {
		t.Errorf("changed: %s", why)
	}
	if why := s.whyFailed(forged); !strings.Contains(why, "isn't signed") {
		t.Errorf("forged: %s", why)
	}
	s.run(0, "send", "--wait", "--to", in.addr, s.jobs(1, "#!/bin/sh\n"))
	if bal, _ := s.audit(); bal.Difference != 0 {
		t.Errorf("got %+v", bal)
	}
	in.kill9()
	s.wantEditSeen(key)
}

// wantEditSeen: the journals say all that, and nobody touched them, until somebody
// does.
func (s *site) wantEditSeen(key string) {
	t := s.t
	t.Helper()
	args := []string{"audit", "--verify", "--spool", s.spool, "--config", s.file("c.toml", "spool_key_file = '"+key+"'\n")}
	s.run(0, args...)
	log := filepath.Join(s.spool, "hosts/a/journal/1.jsonl")
	data, err := os.ReadFile(log)
	if err == nil {
		err = os.WriteFile(log, []byte(strings.Replace(string(data), `"accepted"`, `"duplicate"`, 1)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, _, code := s.try(args...)
	if code != 5 || !strings.Contains(out, "is not as it was written") {
		t.Errorf("an edited journal: exit %d, %s", code, out)
	}
}

// TestModes: nothing on the share can be written by others, whatever the umask
// of who started it was.
func TestModes(t *testing.T) {
	s := newSite(t, []string{"a"})
	s.bin = s.program("lax", "umask 0\nexec "+s.bin+" \"$@\"\n")
	a := s.start("a")
	s.run(0, "send", "--jsonl", "--wait", "--to", a.addr, s.jobs(3, "#!/bin/sh\n"))
	err := filepath.Walk(s.spool, func(name string, info os.FileInfo, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err == nil && info.Mode().Perm()&0o027 != 0 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
