package main_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fencepost/submit/clustertest"
)

// slurmSite is a spool whose hosts submit to a real Slurm. Each job writes a
// line into a file of its own: what really ran.
func slurmSite(t *testing.T, hosts []string, serveArgs ...string) (*site, *clustertest.Slurm, string) {
	t.Helper()
	sl := clustertest.StartSlurm(t, clustertest.SlurmOptions{})
	s, script := onSlurm(t, sl, hosts, serveArgs...)
	return s, sl, script
}

func onSlurm(t *testing.T, sl *clustertest.Slurm, hosts []string, serveArgs ...string) (s *site, script string) {
	t.Helper()
	s = newSite(t, hosts, append([]string{"--cluster", "slurm"}, serveArgs...)...)
	s.env = append(sl.Env(), "SBATCH_PARTITION=bogus", "SBATCH_HOLD=0")
	out := filepath.Join(s.dir, "out")
	if err := os.Mkdir(out, 0o700); err != nil {
		t.Fatal(err)
	}
	return s, fmt.Sprintf("#!/bin/sh\necho \"ran $1\" >> %s/$FENCEPOST_JOB_ID\n", out)
}

// TestSlurmrestTwoHosts: the same over slurmrestd, one host by its socket and
// one by TCP with a token, on a Slurm that is paused and restarted meanwhile.
func TestSlurmrestTwoHosts(t *testing.T) {
	clustertest.NeedRest(t)
	n := 20
	if inFull() {
		n = 100
	}
	sl := clustertest.StartSlurm(t, clustertest.SlurmOptions{JWT: true})
	tcp := sl.StartRestTCP(t)
	s := newSite(t, []string{"a", "b"}, "--cluster", "slurmrest")
	s.env = sl.Env()
	// The jobs are those of the token's user, who isn't who runs the hosts: not
	// below the test's own directory, which is closed to others.
	out, err := os.MkdirTemp("", "rest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(out) })
	if err := os.Chmod(out, 0o777); err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(s.dir, "token")
	if err := os.WriteFile(token, []byte(sl.Token(t, "daemon", 600)), 0o600); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(s.dir, "rest.toml")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "[cluster.slurmrest]\naddress = %q\ntoken_file = %q\ncluster_name = 'fencetest'\nworkdir = '/tmp'\noutput = '/dev/null'\n",
		tcp.Address, token), 0o600); err != nil {
		t.Fatal(err)
	}
	a, b := s.start("a", "--config", conf), s.start("b", "--config", conf)
	script := fmt.Sprintf("#!/bin/sh\necho \"ran $1\" >> %s/$FENCEPOST_JOB_ID\n", out)
	ids := strings.Fields(s.run(0, "send", "--to", a.addr, "--to", b.addr, "--jsonl", s.jobs(n/2, script)))
	// A new token, and a controller that starts again.
	if err := os.WriteFile(token, []byte(sl.Token(t, "daemon", 900)), 0o600); err != nil {
		t.Fatal(err)
	}
	sl.RestartController(t, false)
	ids = append(ids, strings.Fields(s.run(0, "send", "--to", b.addr, "--to", a.addr, "--jsonl", s.jobs(n/2, script)))...)
	s.await(3*time.Minute, n)
	wantRuns(t, out, sl, ids)
	secret, err := os.ReadFile(token)
	if err != nil {
		t.Fatal(err)
	}
	journals, err := filepath.Glob(filepath.Join(s.spool, "hosts", "*", "journal", "*"))
	if err != nil || len(journals) == 0 {
		t.Fatalf("%v, %v", journals, err)
	}
	for _, j := range journals {
		if text, err := os.ReadFile(j); err != nil || strings.Contains(string(text), string(secret)) {
			t.Errorf("%s: %v, or it holds the token", j, err)
		}
	}
}

// wantRuns wants one line in each job's file, and one completion in Slurm's log.
func wantRuns(t *testing.T, out string, sl *clustertest.Slurm, ids []string) {
	t.Helper()
	// The final record is there once the job is released: give it time to run.
	// One node on a busy machine starts one or two a second.
	eventually(t, 5*time.Minute, func() string {
		ran, _ := os.ReadDir(out)
		completed := strings.Count(sl.Jobcomp(), "JobState=COMPLETED")
		if len(ran) >= len(ids) && completed >= len(ids) {
			return ""
		}
		return fmt.Sprintf("of %d jobs %d ran and %d completed", len(ids), len(ran), completed)
	})
	comp := sl.Jobcomp()
	for _, id := range ids {
		data, err := os.ReadFile(filepath.Join(out, id))
		if got := strings.Count(string(data), "\n"); err != nil || got != 1 || !strings.HasPrefix(string(data), "ran ") {
			t.Errorf("job %s: got output %q, %v, want one line", id, data, err)
		}
		completed := 0
		for line := range strings.Lines(comp) {
			if strings.Contains(line, id) && strings.Contains(line, "JobState=COMPLETED") {
				completed++
			}
		}
		if completed != 1 {
			t.Errorf("job %s: got %d completions in Slurm's log, want 1", id, completed)
		}
	}
}

// TestSlurmTwoHosts: each job runs once, to completion, with its own output.
// 200 jobs in full, which one node on a busy machine takes minutes for.
func TestSlurmTwoHosts(t *testing.T) {
	n := 40
	if inFull() {
		n = 200
	}
	s, sl, script := slurmSite(t, []string{"a", "b"})
	a, b := s.start("a"), s.start("b")
	var ids []string
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, addr := range []string{a.addr, b.addr} {
		file := s.jobs(n/2, script)
		wg.Go(func() {
			out := s.run(0, "send", "--to", addr, "--jsonl", file)
			mu.Lock()
			defer mu.Unlock()
			ids = append(ids, strings.Fields(out)...)
		})
	}
	wg.Wait()
	s.await(3*time.Minute, n)
	wantRuns(t, filepath.Join(s.dir, "out"), sl, ids)
}

func TestSlurmKillAndRestart(t *testing.T) {
	n, span := 30, 12*time.Second
	if inFull() {
		n, span = 80, 30*time.Second
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	hosts := []string{"a", "b"}
	s, sl, script := slurmSite(t, hosts, "--heartbeat", "500ms", "--lease", "3s")
	procs := map[string]*proc{}
	var addrs []string
	for _, h := range hosts {
		addr := fmt.Sprintf("127.0.0.1:%d", freePort(t))
		addrs = append(addrs, "--to", addr)
		procs[h] = s.start(h, "--listen", addr)
	}
	out := s.run(0, append([]string{"send", "--jsonl", s.jobs(n, script)}, addrs...)...)
	ids := strings.Fields(out)
	kills := 0
	for end := time.Now().Add(span); time.Now().Before(end); kills++ {
		time.Sleep(time.Duration(rnd.IntN(2500)) * time.Millisecond)
		i := rnd.IntN(len(hosts))
		procs[hosts[i]].kill9()
		procs[hosts[i]] = s.start(hosts[i], "--listen", addrs[2*i+1])
	}
	b := s.await(3*time.Minute, n)
	t.Logf("%d kills, %+v", kills, b)
	wantRuns(t, filepath.Join(s.dir, "out"), sl, ids)
	// Submissions whose seal was lost are held for ever until the sweep has
	// proof that nobody will release them.
	eventually(t, 3*time.Minute, func() string {
		return strings.TrimSpace(sl.Run(t, "squeue", "-h", "-t", "PD", "-o", "%i %j %k %r"))
	})
}
