package slurm_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fencepost/codec"
	"fencepost/spool"
	"fencepost/submit"
	"fencepost/submit/clustertest"
	"fencepost/submit/slurm"
)

func TestMain(m *testing.M) { os.Exit(clustertest.Main(m)) }

func newCluster(t testing.TB, cfg slurm.Config) *slurm.Cluster {
	t.Helper()
	cfg.NamePrefix, cfg.SpoolID, cfg.Host = clustertest.Prefix, clustertest.Spool, clustertest.Host
	if cfg.Workdir == "" {
		cfg.Workdir = t.TempDir()
	}
	c, err := slurm.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// one is a Slurm for all tests that leave it as it was.
func TestSlurm(t *testing.T) {
	s := clustertest.StartSlurm(t, clustertest.SlurmOptions{})
	// What a daemon's environment might hold, and must not reach a job.
	for k, v := range map[string]string{"SBATCH_PARTITION": "bogus", "SLURM_PARTITION": "bogus", "SBATCH_EXPORT": "ALL",
		"SQUEUE_FORMAT": "%i", "SQUEUE_STATES": "RUNNING", "SCANCEL_VERBOSE": "1", "SLURM_JWT": "x", "SBATCH_REQUEUE": "1",
		"SBATCH_TIMELIMIT": "1", "SQUEUE_USERS": "nobody", "DAEMON_SECRET": "leaked"} {
		t.Setenv(k, v)
	}
	c := newCluster(t, slurm.Config{SlurmConf: s.Conf(), JobCompFile: s.JobcompFile()})
	t.Run("conformance", func(t *testing.T) { clustertest.Suite{Cluster: c}.Run(t) })
	t.Run("output", func(t *testing.T) { testOutput(t, c, s) })
	t.Run("resources", func(t *testing.T) { testResources(t, c, s) })
	t.Run("nothing leaks", func(t *testing.T) { testNoLeak(t, c) })
	t.Run("directives in a script are not read", func(t *testing.T) { testDirectives(t, c, s) })
	t.Run("bad partition is rejected", func(t *testing.T) { testRejected(t, c) })
	t.Run("big script with carriage returns", func(t *testing.T) { testBigScript(t, c) })
	t.Run("cancel spares what is released and waits", func(t *testing.T) { testCancelPending(t, c, s) })
	t.Run("administrator's hold", func(t *testing.T) { testAdminHold(t, c, s) })
	t.Run("past", func(t *testing.T) { testPast(t, c) })
	t.Run("signals reach the job", func(t *testing.T) { testSignal(t, c, s) })
	t.Run("guard", func(t *testing.T) { testGuard(t, s) })
	t.Run("no programs is unfit", func(t *testing.T) { testNoPrograms(t, c) })
	t.Run("no configuration is unfit", testNoConf)
	t.Run("wrong munge key is unfit", func(t *testing.T) { testMungeKey(t, s) })
	t.Run("graceful restart keeps the held", func(t *testing.T) { testRestart(t, c, s) })
	t.Run("controller hangs", func(t *testing.T) { testHang(t, s) })
	t.Run("controller down is unavailable", func(t *testing.T) { testDown(t, c, s) })
}

func hand(t *testing.T, c *slurm.Cluster, r submit.Request) string {
	t.Helper()
	id, err := c.Submit(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func run(t *testing.T, c *slurm.Cluster, r submit.Request) string {
	t.Helper()
	id := hand(t, c, r)
	if err := c.Release(t.Context(), []string{id}); err != nil {
		t.Fatal(err)
	}
	return id
}

func find(t *testing.T, c *slurm.Cluster, id string) submit.Job {
	t.Helper()
	jobs, err := c.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range jobs {
		if j.ID == id {
			return j
		}
	}
	return submit.Job{}
}

func awaitState(t *testing.T, c *slurm.Cluster, id string, want submit.State) {
	t.Helper()
	clustertest.Await(t, fmt.Sprintf("job %s %s", id, want), func() bool { return find(t, c, id).State == want })
}

func testOutput(t *testing.T, c *slurm.Cluster, s *clustertest.Slurm) {
	dir := t.TempDir()
	id := run(t, c, clustertest.Request(t, codec.Job{Workdir: dir,
		Script: "#!/bin/sh -e\necho \"$FENCEPOST_JOB_ID $FENCEPOST_CLUSTER_ID\"\nfalse\necho not here\n"}))
	awaitState(t, c, id, submit.Failed)
	got, err := os.ReadFile(filepath.Join(dir, "slurm-"+id+".out"))
	if err != nil || !strings.HasSuffix(string(got), " "+id+"\n") || strings.Contains(string(got), "not here") {
		t.Errorf("got %q, %v", got, err)
	}
	out := t.TempDir()
	c2 := newCluster(t, slurm.Config{SlurmConf: s.Conf(), Output: out + "/%x.%j"})
	r := clustertest.Request(t, codec.Job{Script: "#!/bin/sh\necho here\n"})
	id = run(t, c2, r)
	awaitState(t, c2, id, submit.Done)
	if got, err := os.ReadFile(filepath.Join(out, r.Name+"."+id)); string(got) != "here\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func testResources(t *testing.T, c *slurm.Cluster, s *clustertest.Slurm) {
	id := hand(t, c, clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n", Queue: "main",
		Resources: codec.Resources{CPUs: 3, MemoryMB: 512, TimeLimitSeconds: 90061}}))
	got := s.Run(t, "scontrol", "show", "job", id)
	for _, want := range []string{"Partition=main", "CPUs/Task=3", "MinMemoryNode=512M", "TimeLimit=1-01:02:00", "Requeue=0", "Reason=JobHeldUser"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in:\n%s", want, got)
		}
	}
}

func testNoLeak(t *testing.T, c *slurm.Cluster) {
	m := clustertest.NewMarks(t)
	run(t, c, clustertest.Request(t, codec.Job{Script: "#!/bin/sh\nenv >'" + m.Path("tmp") + "'; mv '" + m.Path("tmp") + "' '" + m.Path("env") + "'\n"}))
	clustertest.Await(t, "its environment", func() bool { _, err := os.Stat(m.Path("env")); return err == nil })
	env, _ := os.ReadFile(m.Path("env"))
	for line := range strings.Lines(string(env)) {
		for _, leak := range []string{"SBATCH_", "SQUEUE_", "SCANCEL_", "SLURM_JWT=", "DAEMON_SECRET", "SLURM_PARTITION", "fp_"} {
			if strings.HasPrefix(line, leak) {
				t.Errorf("leaked: %s", line)
			}
		}
	}
}

func testDirectives(t *testing.T, c *slurm.Cluster, s *clustertest.Slurm) {
	id := hand(t, c, clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n#SBATCH --partition=bogus\n#SBATCH --job-name=evil\necho\n",
		Env: map[string]string{"X": "a\n#SBATCH --job-name=evil\n"}, Args: []string{"\n#SBATCH --job-name=evil\n"}}))
	if got := s.Run(t, "scontrol", "show", "job", id); strings.Contains(got, "evil") || strings.Contains(got, "bogus") {
		t.Errorf("directives were read:\n%s", got)
	}
}

func testRejected(t *testing.T, c *slurm.Cluster) {
	_, err := c.Submit(t.Context(), clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n", Queue: "bogus"}))
	if submit.OutcomeOf(err) != submit.Rejected || !strings.Contains(err.Error(), "artition") {
		t.Errorf("got %v, want rejected with Slurm's words", err)
	}
}

func testBigScript(t *testing.T, c *slurm.Cluster) {
	m := clustertest.NewMarks(t)
	body := strings.Repeat("it's \"a\" $line `of` \\ text\r\n", 30000)
	job := codec.Job{Script: "#!/bin/sh\ncat >'" + m.Path("tmp") + "' <<'END'\n" + body + "END\nmv '" + m.Path("tmp") + "' '" + m.Path("out") + "'\n",
		Env: map[string]string{"CRLF": "a\r\nb\r"}}
	run(t, c, clustertest.Request(t, job))
	clustertest.Await(t, "its output", func() bool { _, err := os.Stat(m.Path("out")); return err == nil })
	if got, _ := os.ReadFile(m.Path("out")); string(got) != body {
		t.Errorf("got %d bytes, want %d", len(got), len(body))
	}
}

func testCancelPending(t *testing.T, c *slurm.Cluster, s *clustertest.Slurm) {
	s.Run(t, "scontrol", "update", "PartitionName=main", "State=DOWN")
	id := run(t, c, clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"}))
	awaitState(t, c, id, submit.Pending)
	if err := c.Cancel(t.Context(), id); err != nil {
		t.Error(err)
	}
	s.Run(t, "scontrol", "update", "PartitionName=main", "State=UP")
	awaitState(t, c, id, submit.Done)
}

func testAdminHold(t *testing.T, c *slurm.Cluster, s *clustertest.Slurm) {
	id := hand(t, c, clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"}))
	s.Run(t, "scontrol", "hold", id)
	if j := find(t, c, id); j.State != submit.HeldOther {
		t.Errorf("got %+v, want it held by somebody else", j)
	}
}

func testPast(t *testing.T, c *slurm.Cluster) {
	ran := clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})
	id := run(t, c, ran)
	awaitState(t, c, id, submit.Done)
	never := clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})
	id2 := hand(t, c, never)
	if err := c.Cancel(t.Context(), id2); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]submit.Past{id: {Known: true, Name: ran.Name, Started: true, State: submit.Done},
		id2: {Known: true, Name: never.Name, State: submit.Cancelled}, "99999": {}} {
		var got submit.Past
		clustertest.Await(t, "the record of "+id, func() bool {
			var err error
			got, err = c.Past(t.Context(), id)
			return err == nil && got.Known == want.Known
		})
		if got != want {
			t.Errorf("%s: got %+v, want %+v", id, got, want)
		}
	}
}

func testSignal(t *testing.T, c *slurm.Cluster, s *clustertest.Slurm) {
	m := clustertest.NewMarks(t)
	id := run(t, c, clustertest.Request(t, m.Job("signal", "trap 'echo got >'\"'"+m.Path("got")+"'\"'; exit 0' USR1\nwhile :; do sleep 0.1; done\n")))
	clustertest.Await(t, "its start", func() bool { return m.Starts("signal") == 1 })
	time.Sleep(300 * time.Millisecond)
	s.Run(t, "scancel", "--batch", "--signal=USR1", id)
	clustertest.Await(t, "the signal", func() bool { _, err := os.Stat(m.Path("got")); return err == nil })
	awaitState(t, c, id, submit.Done)
}

func testGuard(t *testing.T, s *clustertest.Slurm) {
	for _, guard := range []slurm.Guard{slurm.GuardStrict, slurm.GuardLenient} {
		t.Run(string(guard), func(t *testing.T) {
			root := t.TempDir()
			if err := os.Mkdir(filepath.Join(root, spool.DirStarted), 0o770); err != nil {
				t.Fatal(err)
			}
			c := newCluster(t, slurm.Config{SlurmConf: s.Conf(), Guard: guard, SpoolRoot: root})
			m := clustertest.NewMarks(t)
			r := clustertest.Request(t, m.Job("guarded", ""))
			first, second := hand(t, c, r), hand(t, c, r)
			if err := c.Release(t.Context(), []string{first, second}); err != nil {
				t.Fatal(err)
			}
			ended := func(id string) bool { return find(t, c, id).State.Ended() }
			clustertest.Await(t, "both to end", func() bool { return ended(first) && ended(second) })
			if n := m.Starts("guarded"); n != 1 {
				t.Errorf("got %d starts, want 1", n)
			}
			names, err := filepath.Glob(filepath.Join(root, spool.StartedPath(r.Key)) + "*")
			if err != nil || len(names) != 2 || !strings.Contains(names[1], r.Key+".refused.") {
				t.Errorf("got %q, %v, want the start and the trace of one refusal", names, err)
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(names[0]), ".*")); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
			refused := s.Run(t, "scontrol", "show", "job", second) + s.Run(t, "scontrol", "show", "job", first)
			if strings.Count(refused, "ExitCode=113:0") == 0 {
				t.Errorf("no exit status 113 in:\n%s", refused)
			}
			// The scheduler starts the same id again.
			winner := first
			if find(t, c, first).State != submit.Done {
				winner = second
			}
			again := restart(t, c, r, winner)
			if want := map[slurm.Guard]string{slurm.GuardStrict: "exit status 113", slurm.GuardLenient: "ok"}[guard]; again != want {
				t.Errorf("same id again: got %s, want %s", again, want)
			}
		})
	}
	t.Run("out of reach", func(t *testing.T) {
		c := newCluster(t, slurm.Config{SlurmConf: s.Conf(), Guard: slurm.GuardLenient, SpoolRoot: "/no/such/spool"})
		m := clustertest.NewMarks(t)
		if got := restart(t, c, clustertest.Request(t, m.Job("lost", "")), "17"); got != "exit status 113" || m.Starts("lost") != 0 {
			t.Errorf("got %s, %d starts", got, m.Starts("lost"))
		}
	})
}

// restart runs the batch script here, as Slurm would run it under an id.
func restart(t *testing.T, c *slurm.Cluster, r submit.Request, id string) string {
	t.Helper()
	text, err := c.Wrapper(r.Record.Job, r)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "batch")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", name)
	cmd.Env = []string{"SLURM_JOB_ID=" + id, "PATH=/usr/bin:/bin"}
	if err := cmd.Run(); err != nil {
		return err.Error()
	}
	return "ok"
}

func testNoPrograms(t *testing.T, c *slurm.Cluster) {
	t.Setenv("PATH", t.TempDir())
	if _, err := c.Submit(t.Context(), clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})); submit.OutcomeOf(err) != submit.Unfit || !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("submit: got %v, want unfit", err)
	}
	if err := c.Probe(t.Context()); submit.OutcomeOf(err) != submit.Unfit {
		t.Errorf("probe: got %v, want unfit", err)
	}
}

func testNoConf(t *testing.T) {
	c := newCluster(t, slurm.Config{SlurmConf: "/no/such/slurm.conf"})
	begun := time.Now()
	if _, err := c.Submit(t.Context(), clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})); submit.OutcomeOf(err) != submit.Unfit {
		t.Errorf("submit: got %v, want unfit", err)
	}
	if err := c.Probe(t.Context()); submit.OutcomeOf(err) != submit.Unfit {
		t.Errorf("probe: got %v, want unfit", err)
	}
	if d := time.Since(begun); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}

func testMungeKey(t *testing.T, s *clustertest.Slurm) {
	c := newCluster(t, slurm.Config{SlurmConf: s.OtherMungeKey(t)})
	if err := c.Probe(t.Context()); submit.OutcomeOf(err) != submit.Unfit {
		t.Errorf("probe: got %v, want unfit", err)
	}
	if _, err := c.Submit(t.Context(), clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})); err == nil {
		t.Error("submit: no error")
	}
}

func testRestart(t *testing.T, c *slurm.Cluster, s *clustertest.Slurm) {
	r := clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})
	id := hand(t, c, r)
	s.RestartController(t, false)
	if j := find(t, c, id); j.State != submit.Held || j.Token != r.Token {
		t.Errorf("got %+v", j)
	}
}

func testHang(t *testing.T, s *clustertest.Slurm) {
	c := newCluster(t, slurm.Config{SlurmConf: s.Conf(), SubmitTimeout: time.Second, CallTimeout: time.Second})
	r := clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})
	wake := s.PauseController(t)
	_, err := c.Submit(t.Context(), r)
	_, lerr := c.List(t.Context())
	wake()
	if submit.OutcomeOf(err) != submit.Unknown || err == nil {
		t.Errorf("submit: got %v, want unknown", err)
	}
	if submit.OutcomeOf(lerr) != submit.Unavailable {
		t.Errorf("list: got %v, want unavailable", lerr)
	}
	c = newCluster(t, slurm.Config{SlurmConf: s.Conf()})
	clustertest.Await(t, "the ghost: it was accepted after all", func() bool {
		jobs, err := c.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range jobs {
			if j.Name == r.Name {
				return j.State == submit.Held
			}
		}
		return false
	})
}

func testDown(t *testing.T, c *slurm.Cluster, s *clustertest.Slurm) {
	s.StopController(t, false)
	defer s.StartController(t)
	// At once: each waits 9 s for the controller.
	var wg sync.WaitGroup
	for name, call := range map[string]func() error{
		"submit": func() error {
			_, err := c.Submit(t.Context(), clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"}))
			return err
		},
		"probe": func() error { return c.Probe(t.Context()) },
		"list":  func() error { _, err := c.List(t.Context()); return err },
		"pin":   func() error { _, err := c.Pin(t.Context()); return err },
	} {
		wg.Go(func() {
			if err := call(); submit.OutcomeOf(err) != submit.Unavailable {
				t.Errorf("%s: got %v, want unavailable", name, err)
			}
		})
	}
	wg.Wait()
}

func TestFullClusterIsUnavailable(t *testing.T) {
	s := clustertest.StartSlurm(t, clustertest.SlurmOptions{MaxJobCount: 3, NoNode: true})
	c := newCluster(t, slurm.Config{SlurmConf: s.Conf()})
	const n = 2 // Slurm counts one less than its limit
	for range n {
		hand(t, c, clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"}))
	}
	begun := time.Now()
	if _, err := c.Submit(t.Context(), clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})); submit.OutcomeOf(err) != submit.Unavailable {
		t.Errorf("submit: got %v, want unavailable", err)
	}
	if err := c.Probe(t.Context()); submit.OutcomeOf(err) != submit.Unavailable {
		t.Errorf("probe: got %v, want unavailable", err)
	}
	if d := time.Since(begun); d > 15*time.Second {
		t.Errorf("took %v", d)
	}
	if jobs, err := c.List(t.Context()); err != nil || len(jobs) != n {
		t.Errorf("got %v, %v, want the %d jobs", jobs, err, n)
	}
}

// TestCrashForgetsJobs shows what section 8 is for: ids are given again.
func TestCrashForgetsJobs(t *testing.T) {
	s := clustertest.StartSlurm(t, clustertest.SlurmOptions{NoNode: true})
	c := newCluster(t, slurm.Config{SlurmConf: s.Conf()})
	const n = 5
	lost := make(map[string]bool)
	for range n { // the first is saved at once, the others within 5 s
		lost[hand(t, c, clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"}))] = true
	}
	s.RestartController(t, true)
	jobs, err := c.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range jobs {
		delete(lost, j.ID)
	}
	if len(lost) == 0 {
		t.Skip("all jobs survived")
	}
	next := clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})
	id := hand(t, c, next)
	if !lost[id] {
		t.Errorf("got a fresh id %s, although %v were forgotten", id, lost)
	}
	if j := find(t, c, id); j.Name != next.Name || j.Token != next.Token {
		t.Errorf("got %+v, want the new job: name and token are what tells", j)
	}
}
