package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fencepost/submit/clustertest"
)

// slurmChaos is a site of four hosts on a real Slurm, with the guard that lets
// one start of a job happen.
func slurmChaos(t *testing.T, o clustertest.SlurmOptions, hosts []string) (s *site, sl *clustertest.Slurm, script string, silent time.Duration) {
	t.Helper()
	sl = clustertest.StartSlurm(t, o)
	times, silent := []string{"--heartbeat", "250ms", "--lease", "2s"}, 3500*time.Millisecond
	if inFull() {
		times, silent = nil, 17*time.Second
	}
	s, script = onSlurm(t, sl, hosts, times...)
	s.env = append(s.env, "FENCEPOST_CLUSTER_SWEEP_EVERY=5s", "FENCEPOST_CLUSTER_SLURM_GUARD=strict",
		"FENCEPOST_CLUSTER_SLURM_JOBCOMP_FILE="+sl.JobcompFile())
	return s, sl, script, silent
}

// starts counts how often each job's script really got past its guard.
func (s *site) starts(ids []string) (n map[string]int, total int) {
	n = map[string]int{}
	for _, id := range ids {
		data, _ := os.ReadFile(filepath.Join(s.dir, "out", id))
		n[id] = strings.Count(string(data), "\n")
		total += n[id]
	}
	return n, total
}

// wantStartedOnce waits until each job has started, and wants that once.
func (s *site) wantStartedOnce(limit time.Duration, sl *clustertest.Slurm, ids []string) {
	s.t.Helper()
	defer func() {
		if s.t.Failed() {
			s.explain(sl, ids)
		}
	}()
	var n map[string]int
	eventually(s.t, limit, func() string {
		var missing []string
		n, _ = s.starts(ids)
		for _, id := range ids {
			if n[id] == 0 {
				missing = append(missing, id)
			}
		}
		if len(missing) == 0 {
			return ""
		}
		return fmt.Sprintf("%d jobs didn't start: %v", len(missing), missing[:min(3, len(missing))])
	})
	time.Sleep(3 * time.Second) // a second start would be about to happen
	for id, k := range n {
		if k != 1 {
			s.t.Errorf("job %s: got %d starts, want 1", id, k)
		}
	}
}

// explain says what is known of the jobs that didn't start once.
func (s *site) explain(sl *clustertest.Slurm, ids []string) {
	n, _ := s.starts(ids)
	for _, id := range ids {
		if n[id] == 1 {
			continue
		}
		s.t.Logf("job %s: %d starts\n%s", id, n[id], s.run(0, "trace", id, "--spool", s.spool))
		for line := range strings.Lines(sl.Jobcomp()) {
			if strings.Contains(line, id) {
				s.t.Log(line)
			}
		}
		log, _ := os.ReadFile(filepath.Join(sl.Dir, "slurmctld.log"))
		for line := range strings.Lines(string(log)) {
			if strings.Contains(line, id) {
				s.t.Log(line)
			}
		}
	}
	out, _ := sl.Command("squeue", "-h", "-t", "all", "-o", "%i %j %T %r %S %k").CombinedOutput()
	s.t.Logf("squeue:\n%s", out)
	for _, f := range []string{"slurmctld.log", "slurmd.log"} {
		log, _ := os.ReadFile(filepath.Join(sl.Dir, f))
		s.t.Logf("%s:\n%s", f, log)
	}
}

// wantNoGhosts waits until Slurm holds nothing any more.
func wantNoGhosts(t *testing.T, sl *clustertest.Slurm) {
	t.Helper()
	eventually(t, time.Minute, func() string {
		return strings.TrimSpace(sl.Run(t, "squeue", "-h", "-t", "PD", "-o", "%i %j %k %r"))
	})
}

// TestSlurmChaos: four hosts are killed, stopped and restarted at random, and
// slurmctld is restarted twice meanwhile; in its second form it is killed, and
// forgets what it hasn't saved.
func TestSlurmChaos(t *testing.T) {
	for _, crash := range []bool{false, true} {
		t.Run(fmt.Sprintf("crash %v", crash), func(t *testing.T) {
			if crash && !inFull() {
				t.Skip("takes minutes, since what Slurm forgot is asked for for a while: FENCEPOST_TEST_LONG=1 runs it")
			}
			n, span := pick(150, 30, 10), pick(2*time.Minute, 12*time.Second, 6*time.Second)
			hosts := []string{"a", "b", "c", "d"}
			s, sl, script, silent := slurmChaos(t, clustertest.SlurmOptions{}, hosts)
			c := s.chaos(hosts, silent)
			audited := s.auditing()
			defer audited()
			ids := s.sending(n, span/2, script, c.to())
			restarted := make(chan int)
			go func() {
				for range 2 {
					time.Sleep(span / 3)
					sl.RestartController(t, crash)
				}
				close(restarted)
			}()
			c.run(span)
			<-restarted
			all := ids()
			nodes := keepNode(sl)
			b := s.await(4*time.Minute, n)
			t.Logf("%+v", b)
			s.wantStartedOnce(6*time.Minute, sl, all) // one node starts one or two a second, less after a crash
			wantNoGhosts(t, sl)
			nodes()
			returned := 0
			for _, h := range hosts {
				for e := uint64(1); e <= s.epoch(h); e++ {
					for _, ev := range s.journal(h, e) {
						if ev.Event == "returned" && ev.Stage == "submit" && strings.Contains(ev.Detail, "cluster") {
							returned++
						}
					}
				}
			}
			t.Logf("%d jobs went back since Slurm had forgotten them; %d lines in its log", returned, strings.Count(sl.Jobcomp(), "\n"))
		})
	}
}

// keepNode resumes the node again and again: after a crash Slurm drains it.
func keepNode(sl *clustertest.Slurm) (stop func()) {
	end := make(chan struct{})
	go func() {
		for {
			select {
			case <-end:
				return
			case <-time.After(2 * time.Second):
				sl.ResumeNode()
			}
		}
	}()
	return func() { close(end) }
}

// TestSlurmUnclear: sbatch says that it failed, says nothing for too long, or
// dies, although the controller took the job; and the controller stops
// answering for a while. Each job starts once, and what was held too much is
// cancelled.
func TestSlurmUnclear(t *testing.T) {
	n, lies := pick(120, 12, 8), pick(2, 4, 4)
	hosts := []string{"a", "b"}
	s, sl, script, _ := slurmChaos(t, clustertest.SlurmOptions{MessageTimeout: 3}, hosts)
	bin := filepath.Join(s.dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	sbatch, err := exec.LookPath("sbatch")
	if err != nil {
		t.Fatal(err)
	}
	// One call in so many goes wrong, in one of three ways, after the job is in.
	s.program("bin/sbatch", fmt.Sprintf(`case $* in *canary*) exec %[1]s "$@";; esac
[ $(($$ %% %[3]d)) = 0 ] || exec %[1]s "$@"
%[1]s "$@" > %[2]s/took.$$ || exit
echo $$ >> %[2]s/lied
case $(($$ / %[3]d %% 3)) in
0) echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2; exit 1;;
1) exec sleep 20;;
2) kill -9 $$;;
esac
`, sbatch, s.dir, lies))
	s.env = append(s.env, "PATH="+bin+":"+os.Getenv("PATH"), "FENCEPOST_CLUSTER_SLURM_SUBMIT_TIMEOUT=2s",
		"FENCEPOST_CLUSTER_SLURM_CALL_TIMEOUT=5s")
	a, b := s.start("a"), s.start("b")
	ids := strings.Fields(s.run(0, "send", "--to", a.addr, "--to", b.addr, "--jsonl", s.jobs(n, script)))
	time.Sleep(2 * time.Second)
	wake := sl.PauseController(t)
	time.Sleep(7 * time.Second)
	wake()
	s.await(4*time.Minute, n)
	s.wantStartedOnce(2*time.Minute, sl, ids)
	wantNoGhosts(t, sl)
	lied, _ := os.ReadFile(filepath.Join(s.dir, "lied"))
	took, _ := filepath.Glob(filepath.Join(s.dir, "took.*"))
	t.Logf("%d jobs; sbatch lied %d times (%d tried); Slurm's log has %d lines", n, strings.Count(string(lied), "\n"), len(took),
		strings.Count(sl.Jobcomp(), "\n"))
	if len(lied) == 0 {
		t.Error("sbatch never lied")
	}
	if _, faults := s.doneBy(); faults != 0 {
		t.Errorf("got %d faults for what wasn't the jobs', want none", faults)
	}
}
