package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The tests of this file run the real program: real processes on a real
// directory, which are really killed.

var built struct {
	sync.Once
	path string
	err  error
}

// binary builds the program once for all tests.
func binary(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		dir, err := os.MkdirTemp("", "fencepost-bin-")
		if err != nil {
			built.err = err
			return
		}
		built.err = os.Setenv("FENCEPOST_TEST_BUILT", dir) // TestMain removes it
		built.path = filepath.Join(dir, "fencepost")
		out, err := exec.Command("go", "build", "-o", built.path, ".").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("build: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// site is one spool with its hosts.
type site struct {
	t     *testing.T
	bin   string
	dir   string
	spool string
	args  []string                       // of every serve
	env   []string                       // added to that of every serve
	own   map[string][]string            // added to that of one host's
	as    map[string]*syscall.Credential // who a host runs as; nil = as the test does
	hosts map[string]*proc
	mu    sync.Mutex
}

type proc struct {
	cmd   *exec.Cmd
	addr  string
	log   string
	ended chan struct{}
}

func newSite(t *testing.T, hosts []string, serveArgs ...string) *site {
	t.Helper()
	s := &site{t: t, bin: binary(t), dir: t.TempDir(), args: serveArgs, own: map[string][]string{}, hosts: map[string]*proc{}}
	s.spool = filepath.Join(s.dir, "spool")
	s.run(0, "init", "--no-enroll", "--spool", s.spool)
	for _, h := range hosts {
		s.run(0, "enroll", h, "--spool", s.spool)
	}
	t.Cleanup(s.stopAll)
	return s
}

// run runs a command and wants the exit code; it returns standard output.
func (s *site) run(want int, args ...string) string {
	s.t.Helper()
	out, errs, code := s.try(args...)
	if code != want {
		s.t.Fatalf("fencepost %s: got exit %d, want %d\n%s%s", strings.Join(args, " "), code, want, out, errs)
	}
	return out
}

func (s *site) try(args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.bin, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// start starts a host and waits until it is ready.
func (s *site) start(host string, more ...string) *proc {
	s.t.Helper()
	p, err := s.tryStart(host, 40*time.Second, more...)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (s *site) tryStart(host string, limit time.Duration, more ...string) (*proc, error) {
	args := append([]string{"serve", "--spool", s.spool, "--host", host, "--listen", "127.0.0.1:0"}, s.args...)
	cmd := exec.Command(s.bin, append(args, more...)...)
	p := &proc{cmd: cmd, log: filepath.Join(s.dir, host+".log"), ended: make(chan struct{})}
	cmd.Env = slices.Concat(os.Environ(), s.env, s.own[host])
	if who := s.as[host]; who != nil {
		cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: who}
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.hosts[host] = p
	s.mu.Unlock()
	ready := make(chan string, 1)
	go func() {
		defer close(p.ended)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "ready ") {
				ready <- lines.Text()
			}
		}
		_ = cmd.Wait()
	}()
	select {
	case line := <-ready:
		for _, w := range strings.Fields(line) {
			if addr, ok := strings.CutPrefix(w, "listen="); ok {
				p.addr = addr
			}
		}
		return p, nil
	case <-p.ended:
		return nil, fmt.Errorf("host %s ended with %v before it was ready:\n%s", host, cmd.ProcessState, tail(p.log))
	case <-time.After(limit):
		return nil, fmt.Errorf("host %s not ready after %s:\n%s", host, limit, tail(p.log))
	}
}

func tail(file string) string {
	data, _ := os.ReadFile(file)
	if len(data) > 4000 {
		data = data[len(data)-4000:]
	}
	return string(data)
}

func (p *proc) signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

func (p *proc) kill9() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// stop ends a host as an administrator would, and returns its exit code.
func (p *proc) stop(t *testing.T) int {
	t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(60 * time.Second):
		p.kill9()
		t.Errorf("host did not stop within a minute:\n%s", tail(p.log))
	}
	return p.cmd.ProcessState.ExitCode()
}

func (s *site) stopAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for host, p := range s.hosts {
		p.signal(syscall.SIGCONT)
		p.kill9()
		if s.t.Failed() {
			s.t.Logf("log of %s:\n%s", host, tail(p.log))
		}
	}
}

// jobs writes n job documents, one a line.
func (s *site) jobs(n int, script string) string {
	s.t.Helper()
	var b bytes.Buffer
	for i := range n {
		line, err := json.Marshal(map[string]any{"name": fmt.Sprintf("job-%d", i), "script": script, "args": []string{fmt.Sprint(i)}})
		if err != nil {
			s.t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	file := filepath.Join(s.dir, fmt.Sprintf("jobs-%d.jsonl", rand.Int64()))
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return file
}

// balance is what audit says.
type balance struct {
	Accepted, Accepting, Waiting, Claimed, Sealed, Held, Parked, Failed, Done, Difference int
	Vanished, Duplicated                                                                  []string
}

func (s *site) audit() (balance, int) {
	s.t.Helper()
	out, errs, code := s.try("audit", "--json", "--wait", "1s", "--spool", s.spool)
	var b balance
	if err := json.Unmarshal([]byte(out), &b); err != nil {
		s.t.Fatalf("audit: exit %d: %v\n%s%s", code, err, out, errs)
	}
	return b, code
}

// await audits until every accepted job is done.
func (s *site) await(limit time.Duration, accepted int) balance {
	s.t.Helper()
	var b balance
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(300 * time.Millisecond) {
		var code int
		if b, code = s.audit(); code != 0 || b.Difference != 0 {
			s.t.Fatalf("audit: exit %d, %+v", code, b)
		}
		if b.Done == accepted {
			return b
		}
		if b.Parked+b.Failed > 0 {
			break
		}
	}
	s.t.Fatalf("after %s: %+v, want %d done\n%s", limit, b, accepted, s.run(0, "jobs", "--spool", s.spool))
	return b
}

// program writes an executable script.
func (s *site) program(name, body string) string {
	s.t.Helper()
	file := filepath.Join(s.dir, name)
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+body), 0o700); err != nil {
		s.t.Fatal(err)
	}
	return file
}

// lines counts how often each line stands in a file.
func lines(t *testing.T, file string) map[string]int {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	for _, l := range strings.Fields(string(data)) {
		n[l]++
	}
	return n
}

// eventually waits until nothing is wrong any more.
func eventually(t *testing.T, limit time.Duration, wrong func() string) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(300 * time.Millisecond) {
		what := wrong()
		if what == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %s: %s", limit, what)
		}
	}
}

func wantEachOnce(t *testing.T, ids []string, log string) {
	t.Helper()
	got := lines(t, log)
	for _, id := range ids {
		if got[id] != 1 {
			t.Errorf("job %s: got %d starts, want 1", id, got[id])
		}
	}
	if len(got) != len(ids) {
		t.Errorf("got %d different ids, want %d", len(got), len(ids))
	}
}

// TestTwoHosts2000Jobs: both hosts take part, each job is submitted once.
func TestTwoHosts2000Jobs(t *testing.T) {
	n := 2000
	if testing.Short() {
		n = 200
	}
	s := newSite(t, []string{"a", "b"})
	log := filepath.Join(s.dir, "submitted")
	prog := s.program("submit", fmt.Sprintf("cat >/dev/null\necho $FENCEPOST_JOB_ID >> %s\necho c-$FENCEPOST_JOB_ID\n", log))
	s.args = []string{"--cluster", "command", "--cluster-command", "submit=" + prog}
	a, b := s.start("a"), s.start("b")
	var ids []string
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, addr := range []string{a.addr, b.addr} {
		file := s.jobs(n/2, "#!/bin/sh\ntrue\n")
		wg.Go(func() {
			out := s.run(0, "send", "--to", addr, "--jsonl", file)
			mu.Lock()
			ids = append(ids, strings.Fields(out)...)
			mu.Unlock()
		})
	}
	wg.Wait()
	if len(ids) != n {
		t.Fatalf("got %d ids, want %d", len(ids), n)
	}
	start := time.Now()
	s.await(3*time.Minute, n)
	t.Logf("%d jobs done %s after the last was accepted", n, time.Since(start).Round(100*time.Millisecond))
	wantEachOnce(t, ids, log)
	by := map[string]int{}
	out := s.run(0, "jobs", "--json", "--state", "done", "--spool", s.spool)
	var doc struct{ Jobs []struct{ Host string } }
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		t.Fatal(err)
	}
	for _, j := range doc.Jobs {
		by[j.Host]++
	}
	t.Logf("jobs by host: %v", by)
	if by["a"] == 0 || by["b"] == 0 {
		t.Errorf("both hosts should take part: got %v", by)
	}
	for _, p := range []*proc{a, b} {
		if code := p.stop(t); code != 0 {
			t.Errorf("stop: got exit %d, want 0", code)
		}
	}
}

// heldCluster is a cluster with hold, release, find and cancel, made of files:
// what moves a job from held to released is one rename, and its log is what
// really took effect.
func (s *site) heldCluster() (args []string, log string) {
	base := filepath.Join(s.dir, "cluster")
	for _, d := range []string{"held", "released", "cancelled", "tmp"} {
		if err := os.MkdirAll(filepath.Join(base, d), 0o700); err != nil {
			s.t.Fatal(err)
		}
	}
	log = filepath.Join(s.dir, "released.log")
	conf := filepath.Join(s.dir, "held.toml")
	submit := s.program("hsubmit", fmt.Sprintf(`cat >/dev/null
cd %s || exit 69
f=$(mktemp tmp/XXXXXXXXXX) || exit 69
echo "$FENCEPOST_JOB_ID $FENCEPOST_TOKEN" > "$f"
id=j${f#tmp/}
mv "$f" "held/$id" || exit 69
echo "$id"
`, base))
	release := s.program("hrelease", fmt.Sprintf(`cd %s || exit 69
if mv "held/$FENCEPOST_CLUSTER_ID" "released/$FENCEPOST_CLUSTER_ID" 2>/dev/null; then
	read -r key token < "released/$FENCEPOST_CLUSTER_ID"
	echo "$key" >> %s
fi
exit 0
`, base, log))
	find := s.program("hfind", fmt.Sprintf(`cd %s || exit 69
for d in held released cancelled; do
	state=$d; [ $d = released ] && state=running
	for f in $d/*; do
		read -r key token < "$f" 2>/dev/null || continue
		echo "${f#$d/} $key $token $state"
	done
done
exit 0
`, base))
	cancel := s.program("hcancel", fmt.Sprintf(`cd %s || exit 69
mv "held/$FENCEPOST_CLUSTER_ID" "cancelled/$FENCEPOST_CLUSTER_ID" 2>/dev/null
exit 0
`, base))
	probe := s.program("hprobe", "exit 0\n")
	text := fmt.Sprintf("[cluster]\nname = \"command\"\n[cluster.command]\nsubmit = [%q]\nrelease = [%q]\nfind = [%q]\ncancel = [%q]\nprobe = [%q]\nconfirm_after = \"1s\"\n",
		submit, release, find, cancel, probe)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return []string{"--config", conf}, log
}

// TestKillAndRestart kills either instance at any moment, again and again.
func TestKillAndRestart(t *testing.T) {
	n, span := 300, 25*time.Second
	if testing.Short() {
		n, span = 60, 8*time.Second
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	hosts := []string{"a", "b"}
	s := newSite(t, hosts, "--heartbeat", "500ms", "--lease", "3s")
	args, log := s.heldCluster()
	s.args = append(s.args, args...)
	procs := map[string]*proc{}
	var addrs []string
	for _, h := range hosts {
		addr := fmt.Sprintf("127.0.0.1:%d", freePort(t))
		addrs = append(addrs, "--to", addr)
		procs[h] = s.start(h, "--listen", addr)
	}
	sent := make(chan []string, 1)
	go func() {
		out, errs, code := s.try(append([]string{"send", "--jsonl", "--timeout", "150s", s.jobs(n, "#!/bin/sh\ntrue\n")}, addrs...)...)
		if code != 0 {
			t.Errorf("send: exit %d\n%s", code, errs)
		}
		sent <- strings.Fields(out)
	}()
	kills := 0
	for end := time.Now().Add(span); time.Now().Before(end); {
		time.Sleep(time.Duration(rnd.IntN(1500)) * time.Millisecond)
		i := rnd.IntN(len(hosts))
		procs[hosts[i]].kill9()
		kills++
		time.Sleep(time.Duration(rnd.IntN(800)) * time.Millisecond)
		procs[hosts[i]] = s.start(hosts[i], "--listen", addrs[2*i+1])
		if b, code := s.audit(); code != 0 {
			t.Fatalf("audit on the way: exit %d, %+v", code, b)
		}
	}
	ids := <-sent
	if len(ids) != n {
		t.Fatalf("got %d ids, want %d", len(ids), n)
	}
	b := s.await(3*time.Minute, n)
	t.Logf("%d kills, %+v", kills, b)
	wantEachOnce(t, ids, log)
}

// freePort is a port that was free a moment ago: a host that is restarted comes
// back under the same address.
func freePort(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}
