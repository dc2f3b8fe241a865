package main_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"fencepost/codec"
)

// TestStrangeFiles: what stands under a job's name on the share and is no file of
// the spool's own is set aside; nothing outside is read, and nobody waits.
func TestStrangeFiles(t *testing.T) {
	s := newSite(t, []string{"a"}, "--poll", "20ms")
	prog := s.program("submit", `cat >/dev/null; echo "$FENCEPOST_JOB_ID" >>"`+s.dir+`/ran"; echo "c-$FENCEPOST_JOB_ID"`)
	in := s.start("a", "--stages", "ingest")
	ids := strings.Fields(s.run(0, "send", "--to", in.addr, "--jsonl", s.jobs(6, "#!/bin/sh\n")))
	in.kill9()
	outside := filepath.Join(s.dir, "outside.xml") // a job as good as any
	for i, replace := range []func(file string) error{
		func(f string) error { return os.Symlink(outside, f) },
		func(f string) error { return os.Symlink("../gate", f) },
		func(f string) error { return syscall.Mkfifo(f, 0o440) },
		func(f string) error { return os.Mkdir(f, 0o750) },
		func(f string) error { return os.Truncate(f, 40<<20) },
	} {
		file := filepath.Join(s.spool, "xml", ids[i]+".xml")
		if i == 4 {
			data, err := os.ReadFile(file) // another file than the gate's
			if err == nil {
				err = os.Remove(file)
			}
			if err == nil {
				err = os.WriteFile(file, data, 0o640)
			}
			if err != nil {
				t.Fatal(err)
			}
		} else if err := os.Rename(file, outside); err != nil {
			t.Fatal(err)
		}
		if err := replace(file); err != nil {
			t.Fatal(err)
		}
	}
	in = s.start("a", "--cluster-command", "submit="+prog)
	for i, want := range []string{"not a regular file", "not a regular file", "not a regular file", "not a regular file", "too large"} {
		if why := s.whyFailed(ids[i]); !strings.Contains(why, want) {
			t.Errorf("%d: got %s, want %q", i, why, want)
		}
	}
	s.run(0, "send", "--wait", "--to", in.addr, s.jobs(1, "#!/bin/sh\n"))
	ran := lines(t, filepath.Join(s.dir, "ran"))
	for i, id := range ids {
		if got, want := ran[id], i/5; got != want {
			t.Errorf("job %d ran %d times, want %d", i, got, want)
		}
	}
}

// TestHostileNames: names that somebody else gave to files on the share reach no
// terminal, log or page as they are.
func TestHostileNames(t *testing.T) {
	s := newSite(t, []string{"a"}, "--poll", "20ms")
	page := freeAddr(t)
	a := s.start("a", "--http", page)
	evil := "\x1b[2J\n<img src=x onerror=alert(1)>\u202e\x9b"
	for _, dir := range []string{".", "xml", "json", "failed", "parked", "done", "gate", "claims/a/1", "drafts/a/1", "sealed/a/1", "intruders", "intruders/foreign",
		"requests", "hosts", "hosts/a", "roster", "hosts/a/journal", "inbox"} {
		if err := os.MkdirAll(filepath.Join(s.spool, dir), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.spool, dir, evil), []byte(evil), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	s.run(0, "send", "--wait", "--to", a.addr, s.jobs(1, "#!/bin/sh\n"))
	told := 0
	look := func(what, text string) {
		t.Helper()
		bad := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' || r == 0x202e }
		if i := strings.IndexFunc(text, bad); i >= 0 || strings.Contains(text, "\x9b") {
			t.Errorf("%s: a name came through as it is: %q", what, text[max(0, i-40):min(len(text), i+60)])
		}
		if strings.Contains(text, "alert(1)") {
			told++
		}
	}
	for _, args := range [][]string{{"status"}, {"hosts"}, {"jobs"}, {"intruders"}, {"depth"}, {"audit"}, {"audit", "--verify"}, {"doctor", "--ignore", "FP028"}} {
		for _, more := range [][]string{nil, {"--json"}} {
			out, errs, _ := s.try(append(append(args, more...), "--spool", s.spool)...)
			look(strings.Join(append(args, more...), " "), out+errs)
		}
	}
	for _, path := range []string{"/", "/hosts", "/jobs", "/intruders", "/live", "/api/v1/status", "/api/v1/intruders", "/metrics"} {
		resp, err := http.Get("http://" + page + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		look(path, string(body))
		if strings.Contains(string(body), "<img") && !strings.HasPrefix(path, "/api") {
			t.Errorf("%s: a name became markup", path)
		}
	}
	// A new instance moves on what the old one's directories hold.
	a.kill9()
	a = s.start("a")
	a.stop(t)
	log, err := os.ReadFile(a.log)
	if err != nil {
		t.Fatal(err)
	}
	look("log", string(log))
	if told < 3 {
		t.Errorf("only %d places told of such a name: this test looks at the wrong ones", told)
	}
}

// TestHostileHost: what something that poses as a host says reaches no terminal as
// it is.
func TestHostileHost(t *testing.T) {
	interpreter := python(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	kind, body, err := codec.Marshal(codec.GoAway{Code: codec.CodeNotAllowed, Reason: "no???[31m"})
	if err != nil {
		t.Fatal(err)
	}
	evil := codec.AppendFrame(nil, kind, bytes.Replace(body, []byte("???"), []byte("\x1b\n\a"), 1))
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = codec.ReadFrame(nc, codec.MaxControl)
			_, _ = nc.Write(evil)
			time.AfterFunc(time.Second, func() { nc.Close() })
		}
	}()
	for _, argv := range [][]string{{binary(t), "send", "--timeout", "3s"}, {interpreter, "../../docs/examples/send.py", "--tries", "1"}} {
		cmd := exec.CommandContext(t.Context(), argv[0], append(argv[1:], "--to", ln.Addr().String(), "-")...)
		cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
		cmd.Stdin = strings.NewReader(`{"name":"x","command":["/bin/true"]}`)
		out, err := cmd.CombinedOutput()
		if err == nil || bytes.Contains(out, []byte("\x1b")) {
			t.Errorf("%s: got %v, %q", argv[0], err, out)
		}
	}
}
