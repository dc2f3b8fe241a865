package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fencepost/cmd/fencepost/secure/securetest"
)

// manager stands for systemd: it hears what a service says.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
	path string
	said []string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{t: t, path: filepath.Join(dir, "n")}
	if m.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.conn.Close(); os.RemoveAll(dir) })
	return m
}

// await waits until the service says a line that begins so.
func (m *manager) await(begin string) {
	m.t.Helper()
	_ = m.conn.SetReadDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, 4096)
	for {
		n, err := m.conn.Read(buf)
		if err != nil {
			m.t.Fatalf("the service never said %s: %v; it said %q", begin, err, m.said)
		}
		found := false
		for _, l := range strings.Split(string(buf[:n]), "\n") {
			m.said = append(m.said, l)
			found = found || strings.HasPrefix(l, begin)
		}
		if found {
			return
		}
	}
}

// TestUnitTold: what the service manager hears from start to stop.
func TestUnitTold(t *testing.T) {
	m := newManager(t)
	s := newSite(t, []string{"a"})
	s.env = []string{"NOTIFY_SOCKET=" + m.path, "WATCHDOG_USEC=3000000"}
	a := s.start("a")
	m.await("READY=1")
	m.await("WATCHDOG=1")
	a.signal(syscall.SIGHUP)
	m.await("RELOADING=1")
	m.await("READY=1")
	a.signal(syscall.SIGTERM)
	m.await("STOPPING=1")
	if code := a.stop(t); code != 0 {
		t.Errorf("stop: exit %d", code)
	}
}

// TestUnitNotEnrolled: the exit code that a unit doesn't restart after.
func TestUnitNotEnrolled(t *testing.T) {
	m := newManager(t)
	s := newSite(t, nil)
	s.env = []string{"NOTIFY_SOCKET=" + m.path}
	if _, err := s.tryStart("stranger", time.Minute); err == nil {
		t.Fatal("a host that nobody enrolled is ready")
	}
	if code := s.hosts["stranger"].cmd.ProcessState.ExitCode(); code != 7 {
		t.Errorf("exit %d, want 7", code)
	}
	_ = m.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	buf := make([]byte, 4096)
	if n, err := m.conn.Read(buf); err == nil && strings.Contains(string(buf[:n]), "READY") {
		t.Error("it said that it is ready")
	}
}

// TestReload: what can change does, for those who are connected, too; what can't
// is refused with its name, and nothing else counts then.
func TestReload(t *testing.T) {
	s := newSite(t, []string{"a"})
	conf := filepath.Join(s.dir, "fp.toml")
	set := func(text string) {
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set("[limits]\njob = \"2MiB\"\n")
	s.args = []string{"--config", conf, "--cluster-command", "submit=" + s.program("submit", "cat >/dev/null; echo c\n")}
	a := s.start("a")
	send := func() (int, string) {
		_, errs, code := s.try("send", "--to", a.addr, "--timeout", "5s", s.jobs(1, "#!/bin/sh\n"))
		return code, errs
	}
	logged := func(want ...string) {
		t.Helper()
		eventually(t, time.Minute, func() string {
			text, _ := os.ReadFile(a.log)
			for _, w := range want {
				if !strings.Contains(string(text), w) {
					return "the log doesn't say " + w + ":\n" + string(text)
				}
			}
			return ""
		})
	}
	if code, errs := send(); code != 0 {
		t.Fatalf("send: exit %d\n%s", code, errs)
	}
	set("[clients.nobody]\nscripts = true\n[log]\nlevel = \"debug\"\n")
	a.signal(syscall.SIGHUP)
	logged(`"event":"reloaded"`, `"log.level"`, `"clients"`)
	if code, errs := send(); code == 0 || !strings.Contains(errs, "not_allowed") && !strings.Contains(errs, "127.0.0.1") {
		t.Errorf("a client that may do nothing any more: exit %d\n%s", code, errs)
	}
	set("poll = \"1s\"\nlisten = \"127.0.0.1:1\"\n")
	a.signal(syscall.SIGHUP)
	logged(`"event":"reload-refused"`, "poll can't change while the daemon runs")
	if code, _ := send(); code == 0 {
		t.Error("a refused reload changed the rules of clients")
	}
	set("nonsense = 1\n")
	a.signal(syscall.SIGHUP)
	logged("unknown key")
	set("")
	a.signal(syscall.SIGHUP)
	eventually(t, time.Minute, func() string {
		if code, errs := send(); code != 0 {
			return fmt.Sprintf("after the rules were taken back: exit %d\n%s", code, errs)
		}
		return ""
	})
	if code := a.stop(t); code != 0 {
		t.Errorf("stop: exit %d", code)
	}
}

// TestLogReopened: after a rotation lines go to the new file; none is lost.
func TestLogReopened(t *testing.T) {
	s := newSite(t, []string{"a"})
	log := filepath.Join(s.dir, "fp.log")
	s.args = []string{"--log-file", log, "--log-level", "debug"}
	a := s.start("a")
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	a.signal(syscall.SIGUSR1)
	eventually(t, time.Minute, func() string {
		if text, _ := os.ReadFile(log); !strings.Contains(string(text), "reopen-log") {
			return "no new file"
		}
		return ""
	})
	_ = a.stop(t)
	for file, want := range map[string]string{log + ".1": `"event":"ready"`, log: `"event":"stopped"`} {
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s doesn't have %s: %v\n%s", file, want, err, text)
		}
		for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
			if !json.Valid([]byte(line)) {
				t.Errorf("%s: %q", file, line)
			}
		}
	}
}

// TestQuitPrintsHeld: what is in hand is named, with its age; nothing ends.
func TestQuitPrintsHeld(t *testing.T) {
	s := newSite(t, []string{"a"})
	prog := s.program("submit", "cat >/dev/null; while [ ! -e "+s.dir+"/go ]; do sleep 0.1; done; echo c\n")
	a := s.start("a", "--cluster-command", "submit="+prog)
	id := strings.TrimSpace(s.run(0, "send", "--to", a.addr, s.jobs(1, "#!/bin/sh\n")))
	eventually(t, time.Minute, func() string {
		a.signal(syscall.SIGQUIT)
		time.Sleep(100 * time.Millisecond)
		text, _ := os.ReadFile(a.log)
		if !strings.Contains(string(text), "sealed/a/1/submit~") || !strings.Contains(string(text), id+".json  for ") {
			return "it prints:\n" + string(text)
		}
		return ""
	})
	if err := os.WriteFile(s.dir+"/go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.await(time.Minute, 1)
}

// TestSignalsBeforeReady: a host that waits for its lease answers, too.
func TestSignalsBeforeReady(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root's first words tell that its handlers are there")
	}
	s, m := newSite(t, []string{"a"}), newManager(t)
	s.start("a")
	cmd := exec.Command(s.bin, "serve", "--spool", s.spool, "--host", "a", "--listen", "127.0.0.1:0", "--lease", "20s")
	var errs lockedBuffer
	cmd.Stderr, cmd.Env = &errs, append(os.Environ(), "NOTIFY_SOCKET="+m.path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	eventually(t, time.Minute, func() string {
		// Not before its handler is there: by default the signal ends it.
		if !strings.Contains(errs.String(), "root") {
			return "it says nothing"
		}
		_ = cmd.Process.Signal(syscall.SIGQUIT)
		_ = cmd.Process.Signal(syscall.SIGHUP)
		time.Sleep(100 * time.Millisecond)
		if got := errs.String(); !strings.Contains(got, "the loop that hasn't come round for longest: lease") || !strings.Contains(got, `"event":"reloaded"`) {
			return "it says:\n" + got
		}
		return ""
	})
	_ = m.conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	buf := make([]byte, 4096)
	for n, err := m.conn.Read(buf); err == nil; n, err = m.conn.Read(buf) {
		if strings.Contains(string(buf[:n]), "READY") {
			t.Error("it said that it is ready")
		}
	}
}

// lockedBuffer is a buffer that a process writes to while a test reads it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestSocketActivation: the service manager's socket is what is listened on; jobs
// that came before the daemon did are taken.
func TestSocketActivation(t *testing.T) {
	s := newSite(t, []string{"a"}, "--stages", "ingest")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sent := make(chan error, 1)
	file := s.jobs(3, "#!/bin/sh\n")
	go func() {
		out, err := exec.Command(s.bin, "send", "--to", ln.Addr().String(), "--timeout", "60s", "--jsonl", file).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
		sent <- err
	}()
	// LISTEN_PID has to be that of the program: a shell becomes it.
	run := func(names string, args ...string) *exec.Cmd {
		cmd := exec.Command("sh", append([]string{"-c", `export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=` + names + `; exec "$@"`, "sh", s.bin, "serve", "--spool", s.spool, "--host", "a"}, args...)...)
		cmd.ExtraFiles = []*os.File{f}
		return cmd
	}
	out, _ := run("fencepost.socket", "--stages", "translate").CombinedOutput()
	if !strings.Contains(string(out), "doesn't serve ingest") {
		t.Errorf("a socket for a host that takes no jobs:\n%s", out)
	}
	out, _ = run("stray", "--stages", "ingest", "--http", "127.0.0.1:0", "--listen", "nonsense").CombinedOutput()
	if !strings.Contains(string(out), "nonsense") {
		t.Errorf("a mistake in the configuration:\n%s", out)
	}
	cmd := run("jobs", "--stages", "ingest", "--listen", "127.0.0.1:1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	select {
	case err := <-sent:
		if err != nil {
			t.Error(err)
		}
	case err := <-ended:
		t.Fatalf("serve ended: %v", err)
	case <-time.After(90 * time.Second):
		t.Fatal("nothing was sent")
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := <-ended; err != nil {
		t.Errorf("stop: %v", err)
	}
	// The socket is the manager's, and outlives the daemon.
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// TestReloadTLS: another CA for clients counts from the reload on, without a
// restart; a certificate that isn't there is refused, and the old one goes on.
func TestReloadTLS(t *testing.T) {
	s := newSecuredSite(t)
	conf := filepath.Join(s.dir, "fencepost.toml")
	old, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	other := securetest.New(t, "others")
	cert, key := other.Issue("nightly", nil)
	to := s.anybody
	send := func(who []string) string {
		cmd := exec.Command(s.bin, append(append([]string{"send", "--timeout", "3s"}, who...), "-")...)
		cmd.Stdin = strings.NewReader(`{"name":"x","script":"#!/bin/sh\n","queue":"main"}`)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return string(out)
		}
		return ""
	}
	newcomer := append([]string{"--cert", cert, "--key", key}, to...)
	if why := send(s.nightly); why != "" {
		t.Fatal(why)
	}
	if send(newcomer) == "" {
		t.Fatal("a certificate of another CA is taken")
	}
	ca := regexp.MustCompile(`client_ca = .*`)
	s.file("fencepost.toml", ca.ReplaceAllString(string(old), `client_ca = ["`+other.File+`"]`))
	s.host.signal(syscall.SIGHUP)
	eventually(t, time.Minute, func() string { return send(newcomer) })
	if send(s.nightly) == "" {
		t.Error("the old CA's certificates are still taken")
	}
	s.file("fencepost.toml", ca.ReplaceAllString(string(old), `client_ca = ["/nowhere"]`))
	s.host.signal(syscall.SIGHUP)
	eventually(t, time.Minute, func() string {
		if text, _ := os.ReadFile(s.host.log); !strings.Contains(string(text), "reload-refused") {
			return "not refused"
		}
		return ""
	})
	if why := send(newcomer); why != "" {
		t.Errorf("after a refused reload: %s", why)
	}
}

// TestReloadLosesNothing: jobs come in while the rules change again and again:
// each is accepted, and once.
func TestReloadLosesNothing(t *testing.T) {
	const jobs = 600
	s := newSite(t, []string{"a"})
	conf := s.file("fp.toml", "")
	log := filepath.Join(s.dir, "submitted")
	prog := s.program("submit", fmt.Sprintf("cat >/dev/null\necho $FENCEPOST_JOB_ID >> %s\necho c\n", log))
	a := s.start("a", "--config", conf, "--cluster-command", "submit="+prog)
	file := s.jobs(jobs, "#!/bin/sh\n")
	sent := make(chan []string, 1)
	go func() {
		out, errs, code := s.try("send", "--to", a.addr, "--jsonl", "--timeout", "100s", file)
		if code != 0 {
			t.Errorf("send: exit %d\n%s", code, errs)
		}
		sent <- strings.Fields(out)
	}()
	reloads := 0
	var ids []string
	for ids == nil {
		select {
		case ids = <-sent:
		case <-time.After(100 * time.Millisecond):
			reloads++
			s.file("fp.toml", fmt.Sprintf("[limits]\nwindow = %d\n", 2+reloads%3))
			a.signal(syscall.SIGHUP)
		}
	}
	if len(ids) != jobs {
		t.Fatalf("got %d ids, want %d", len(ids), jobs)
	}
	s.await(2*time.Minute, jobs)
	wantEachOnce(t, ids, log)
	t.Logf("%d reloads", reloads)
	if code := a.stop(t); code != 0 {
		t.Errorf("stop: exit %d", code)
	}
}
