package slurmrest_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fencepost/codec"
	"fencepost/submit"
	"fencepost/submit/clustertest"
	"fencepost/submit/slurmrest"
)

func TestMain(m *testing.M) { os.Exit(clustertest.Main(m)) }

func newCluster(t testing.TB, cfg slurmrest.Config) *slurmrest.Cluster {
	t.Helper()
	cfg.NamePrefix, cfg.SpoolID, cfg.Host = clustertest.Prefix, clustertest.Spool, clustertest.Host
	if cfg.Workdir == "" {
		cfg.Workdir = t.TempDir()
	}
	c, err := slurmrest.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// One Slurm for all tests that leave it as it was.
func TestSlurmrest(t *testing.T) {
	clustertest.NeedRest(t)
	s := clustertest.StartSlurm(t, clustertest.SlurmOptions{JWT: true})
	r := s.StartRest(t)
	c := newCluster(t, slurmrest.Config{Address: r.Address, JobCompFile: s.JobcompFile(), ClusterName: "fencetest"})
	t.Run("conformance", func(t *testing.T) { clustertest.Suite{Cluster: c}.Run(t) })
	t.Run("version is discovered", func(t *testing.T) {
		if got := c.Version(); got != 38 {
			t.Errorf("got v0.0.%d, want v0.0.38", got)
		}
	})
	t.Run("output", func(t *testing.T) { testOutput(t, c, r) })
	t.Run("resources", func(t *testing.T) { testResources(t, c, s) })
	t.Run("properties", func(t *testing.T) { testProperties(t, s, r) })
	t.Run("nothing leaks", func(t *testing.T) { testNoLeak(t, c) })
	t.Run("directives in a script are not read", func(t *testing.T) { testDirectives(t, c, s) })
	t.Run("bad partition is rejected", func(t *testing.T) { testRejected(t, c) })
	t.Run("big script with carriage returns", func(t *testing.T) { testBigScript(t, c) })
	t.Run("cancel spares what is released and waits", func(t *testing.T) { testCancelPending(t, c, s) })
	t.Run("administrator's hold", func(t *testing.T) { testAdminHold(t, c, s) })
	t.Run("past", func(t *testing.T) { testPast(t, c) })
	t.Run("release of many", func(t *testing.T) { testReleaseMany(t, c) })
	t.Run("another cluster's name is unfit", func(t *testing.T) { testOtherCluster(t, r) })
	t.Run("another user's view is unfit", func(t *testing.T) { testOtherUser(t, r) })
	t.Run("version that isn't there is unfit", func(t *testing.T) { testOtherVersion(t, r) })
	t.Run("token over TCP", func(t *testing.T) { testToken(t, s) })
	t.Run("graceful restart keeps the held", func(t *testing.T) { testRestart(t, c, s) })
	t.Run("daemon restarts", func(t *testing.T) { testDaemonRestart(t, s) })
	t.Run("daemon hangs", func(t *testing.T) { testDaemonHangs(t, s) })
	t.Run("controller hangs", func(t *testing.T) { testHang(t, s, r) })
	t.Run("controller down is unavailable", func(t *testing.T) { testDown(t, c, s) })
}

func hand(t *testing.T, c *slurmrest.Cluster, r submit.Request) string {
	t.Helper()
	id, err := c.Submit(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func run(t *testing.T, c *slurmrest.Cluster, r submit.Request) string {
	t.Helper()
	id := hand(t, c, r)
	if err := c.Release(t.Context(), []string{id}); err != nil {
		t.Fatal(err)
	}
	return id
}

func find(t *testing.T, c *slurmrest.Cluster, id string) submit.Job {
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

func awaitState(t *testing.T, c *slurmrest.Cluster, id string, want submit.State) {
	t.Helper()
	clustertest.Await(t, fmt.Sprintf("job %s %s", id, want), func() bool { return find(t, c, id).State == want })
}

func testOutput(t *testing.T, c *slurmrest.Cluster, r *clustertest.Rest) {
	dir := t.TempDir()
	id := run(t, c, clustertest.Request(t, codec.Job{Workdir: dir,
		Script: "#!/bin/sh -e\necho \"$FENCEPOST_JOB_ID $FENCEPOST_CLUSTER_ID\"\nfalse\necho not here\n"}))
	awaitState(t, c, id, submit.Failed)
	got, err := os.ReadFile(filepath.Join(dir, "slurm-"+id+".out"))
	if err != nil || !strings.HasSuffix(string(got), " "+id+"\n") || strings.Contains(string(got), "not here") {
		t.Errorf("got %q, %v", got, err)
	}
	out := t.TempDir()
	c2 := newCluster(t, slurmrest.Config{Address: r.Address, Output: out + "/%x.%j"})
	req := clustertest.Request(t, codec.Job{Script: "#!/bin/sh\necho here\n"})
	id = run(t, c2, req)
	awaitState(t, c2, id, submit.Done)
	if got, err := os.ReadFile(filepath.Join(out, req.Name+"."+id)); string(got) != "here\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func wantShown(t *testing.T, s *clustertest.Slurm, id string, want ...string) {
	t.Helper()
	got := s.Run(t, "scontrol", "show", "job", id)
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("no %s in:\n%s", w, got)
		}
	}
}

func testResources(t *testing.T, c *slurmrest.Cluster, s *clustertest.Slurm) {
	id := hand(t, c, clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n", Queue: "main",
		Resources: codec.Resources{CPUs: 3, MemoryMB: 512, TimeLimitSeconds: 90061}}))
	wantShown(t, s, id, "Partition=main", "CPUs/Task=3", "MinMemoryNode=512M", "TimeLimit=1-01:02:00", "Requeue=0", "Reason=JobHeldUser")
}

func testProperties(t *testing.T, s *clustertest.Slurm, r *clustertest.Rest) {
	c := newCluster(t, slurmrest.Config{Address: r.Address, Partition: "main", Properties: map[string]string{"nice": "17", "account": "x"}})
	wantShown(t, s, hand(t, c, clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})), "Partition=main", "Nice=17", "Account=x")
	if _, err := slurmrest.New(slurmrest.Config{Address: r.Address, Properties: map[string]string{"hold": "false"}}); err == nil {
		t.Error("a property that is ours: got no error")
	}
	c = newCluster(t, slurmrest.Config{Address: r.Address, Properties: map[string]string{"acount": "x"}})
	if err := c.Probe(t.Context()); submit.OutcomeOf(err) != submit.Unfit || !strings.Contains(err.Error(), "acount") {
		t.Errorf("unknown property: got %v, want unfit with its name", err)
	}
}

func testNoLeak(t *testing.T, c *slurmrest.Cluster) {
	t.Setenv("DAEMON_SECRET", "leaked")
	m := clustertest.NewMarks(t)
	run(t, c, clustertest.Request(t, codec.Job{Script: "#!/bin/sh\nenv >'" + m.Path("tmp") + "'; mv '" + m.Path("tmp") + "' '" + m.Path("env") + "'\n"}))
	clustertest.Await(t, "its environment", func() bool { _, err := os.Stat(m.Path("env")); return err == nil })
	env, _ := os.ReadFile(m.Path("env"))
	home := false
	for line := range strings.Lines(string(env)) {
		for _, leak := range []string{"SLURM_JWT=", "DAEMON_SECRET", "SLURMRESTD_", "fp_"} {
			if strings.HasPrefix(line, leak) {
				t.Errorf("leaked: %s", line)
			}
		}
		home = home || strings.HasPrefix(line, "HOME=")
	}
	if !home {
		t.Errorf("not the user's environment: %s", env)
	}
}

func testDirectives(t *testing.T, c *slurmrest.Cluster, s *clustertest.Slurm) {
	id := hand(t, c, clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n#SBATCH --partition=bogus\n#SBATCH --job-name=evil\necho\n"}))
	if got := s.Run(t, "scontrol", "show", "job", id); strings.Contains(got, "evil") || strings.Contains(got, "bogus") {
		t.Errorf("directives were read:\n%s", got)
	}
}

func testRejected(t *testing.T, c *slurmrest.Cluster) {
	_, err := c.Submit(t.Context(), clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n", Queue: "bogus"}))
	if submit.OutcomeOf(err) != submit.Rejected || !strings.Contains(err.Error(), "artition") {
		t.Errorf("got %v, want rejected with Slurm's words", err)
	}
}

func testBigScript(t *testing.T, c *slurmrest.Cluster) {
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

func testCancelPending(t *testing.T, c *slurmrest.Cluster, s *clustertest.Slurm) {
	s.Run(t, "scontrol", "update", "PartitionName=main", "State=DOWN")
	id := run(t, c, clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"}))
	awaitState(t, c, id, submit.Pending)
	if err := c.Cancel(t.Context(), id); err != nil {
		t.Error(err)
	}
	s.Run(t, "scontrol", "update", "PartitionName=main", "State=UP")
	awaitState(t, c, id, submit.Done)
}

func testAdminHold(t *testing.T, c *slurmrest.Cluster, s *clustertest.Slurm) {
	id := hand(t, c, clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"}))
	s.Run(t, "scontrol", "hold", id)
	if j := find(t, c, id); j.State != submit.HeldOther {
		t.Errorf("got %+v, want it held by somebody else", j)
	}
}

func testPast(t *testing.T, c *slurmrest.Cluster) {
	ran := clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})
	id := run(t, c, ran)
	clustertest.Await(t, "its record", func() bool {
		p, err := c.Past(t.Context(), id)
		return err == nil && p == submit.Past{Known: true, Name: ran.Name, Started: true, State: submit.Done}
	})
}

func testReleaseMany(t *testing.T, c *slurmrest.Cluster) {
	m := clustertest.NewMarks(t)
	var ids []string
	for i := range 20 {
		ids = append(ids, hand(t, c, clustertest.Request(t, m.Job(fmt.Sprint("many", i), ""))))
	}
	if err := c.Release(t.Context(), append(ids, "99999999")); err != nil {
		t.Errorf("with an unknown one: %v", err)
	}
	clustertest.Await(t, "all starts", func() bool {
		n := 0
		for i := range ids {
			n += m.Starts(fmt.Sprint("many", i))
		}
		return n == len(ids)
	})
}

func testOtherCluster(t *testing.T, r *clustertest.Rest) {
	c := newCluster(t, slurmrest.Config{Address: r.Address, ClusterName: "elsewhere"})
	if err := c.Probe(t.Context()); submit.OutcomeOf(err) != submit.Unfit || !strings.Contains(err.Error(), "fencetest") {
		t.Errorf("got %v, want unfit, naming the cluster", err)
	}
}

func testOtherUser(t *testing.T, r *clustertest.Rest) {
	c := newCluster(t, slurmrest.Config{Address: r.Address, User: "somebody"})
	if err := c.Probe(t.Context()); submit.OutcomeOf(err) != submit.Unfit {
		t.Errorf("got %v, want unfit", err)
	}
}

func testOtherVersion(t *testing.T, r *clustertest.Rest) {
	c := newCluster(t, slurmrest.Config{Address: r.Address, Version: "v0.0.39"})
	if _, err := c.Submit(t.Context(), clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})); submit.OutcomeOf(err) != submit.Unfit {
		t.Errorf("got %v, want unfit", err)
	}
}

func testToken(t *testing.T, s *clustertest.Slurm) {
	r := s.StartRestTCP(t)
	token := s.Token(t, "daemon", 600)
	c := newCluster(t, slurmrest.Config{Address: r.Address, Token: func() (string, error) { return token, nil }, Workdir: "/tmp", Output: "/dev/null"})
	if err := c.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if pin, err := c.Pin(t.Context()); err != nil || pin["user"] != "daemon" {
		t.Errorf("pin: got %v, %v, want the token's user", pin, err)
	}
	req := clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})
	id := run(t, c, req)
	awaitState(t, c, id, submit.Done)
	good := token
	for name, bad := range map[string]string{"none": "", "garbage": "garbage", "expired": s.Token(t, "daemon", 1)} {
		if name == "expired" {
			time.Sleep(2100 * time.Millisecond) // JWT's are whole seconds
		}
		token = bad
		_, err := c.Submit(t.Context(), req)
		if submit.OutcomeOf(err) != submit.Unfit {
			t.Errorf("%s: submit: got %v, want unfit", name, err)
		}
		perr := c.Probe(t.Context())
		if submit.OutcomeOf(perr) != submit.Unfit {
			t.Errorf("%s: probe: got %v, want unfit", name, perr)
		}
		if bad != "" && strings.Contains(err.Error()+perr.Error(), bad) {
			t.Errorf("%s: the token is in %v or %v", name, err, perr)
		}
	}
	// A forged one is noticed by the controller alone, which says nothing clear.
	parts := strings.Split(good, ".")
	token = parts[0] + "." + parts[1] + "." + strings.Repeat("x", len(parts[2]))
	if _, err := c.Submit(t.Context(), req); err == nil || strings.Contains(err.Error(), token) {
		t.Errorf("forged: got %v, want an error without the token", err)
	}
	token = good // renewed: the connections are no hindrance
	if err := c.Probe(t.Context()); err != nil {
		t.Errorf("renewed: %v", err)
	}
}

func testRestart(t *testing.T, c *slurmrest.Cluster, s *clustertest.Slurm) {
	r := clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})
	id := hand(t, c, r)
	s.RestartController(t, false)
	if j := find(t, c, id); j.State != submit.Held || j.Token != r.Token {
		t.Errorf("got %+v", j)
	}
}

func testDaemonRestart(t *testing.T, s *clustertest.Slurm) {
	r := s.StartRest(t)
	c := newCluster(t, slurmrest.Config{Address: r.Address})
	hand(t, c, clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})) // a connection is kept
	r.Stop()
	_, err := c.Submit(t.Context(), clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"}))
	if o := submit.OutcomeOf(err); err == nil || o != submit.Unfit && o != submit.Unknown {
		t.Errorf("submit: got %v, want unfit, or unknown on a connection that was kept", err)
	}
	if err := c.Probe(t.Context()); submit.OutcomeOf(err) != submit.Unfit || !strings.Contains(err.Error(), "slurmrestd") {
		t.Errorf("probe: got %v, want unfit, naming slurmrestd", err)
	}
}

func testDaemonHangs(t *testing.T, s *clustertest.Slurm) {
	r := s.StartRest(t)
	c := newCluster(t, slurmrest.Config{Address: r.Address, SubmitTimeout: time.Second, CallTimeout: time.Second})
	if _, err := c.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	wake := r.Pause()
	defer wake()
	if _, err := c.Submit(t.Context(), clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})); err == nil || submit.OutcomeOf(err) != submit.Unknown {
		t.Errorf("submit: got %v, want unknown", err)
	}
	if _, err := c.List(t.Context()); submit.OutcomeOf(err) != submit.Unavailable {
		t.Errorf("list: got %v, want unavailable", err)
	}
	if err := c.Release(t.Context(), []string{"1"}); err == nil || submit.OutcomeOf(err) != submit.Unknown {
		t.Errorf("release: got %v, want unknown", err)
	}
}

func testHang(t *testing.T, s *clustertest.Slurm, r *clustertest.Rest) {
	c := newCluster(t, slurmrest.Config{Address: r.Address, SubmitTimeout: time.Second, CallTimeout: time.Second})
	req := clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})
	wake := s.PauseController(t)
	_, err := c.Submit(t.Context(), req)
	_, lerr := c.List(t.Context())
	wake()
	if submit.OutcomeOf(err) != submit.Unknown || err == nil {
		t.Errorf("submit: got %v, want unknown", err)
	}
	if submit.OutcomeOf(lerr) != submit.Unavailable {
		t.Errorf("list: got %v, want unavailable", lerr)
	}
	c = newCluster(t, slurmrest.Config{Address: r.Address})
	clustertest.Await(t, "the ghost: it was accepted after all", func() bool {
		jobs, err := c.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range jobs {
			if j.Name == req.Name {
				return j.State == submit.Held
			}
		}
		return false
	})
}

func testDown(t *testing.T, c *slurmrest.Cluster, s *clustertest.Slurm) {
	s.StopController(t, false)
	defer s.StartController(t)
	// At once: each waits 9 s for the controller.
	var wg sync.WaitGroup
	for name, call := range map[string]func() error{
		"submit": func() error {
			_, err := c.Submit(t.Context(), clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"}))
			return err
		},
		"probe":  func() error { return c.Probe(t.Context()) },
		"list":   func() error { _, err := c.List(t.Context()); return err },
		"pin":    func() error { _, err := c.Pin(t.Context()); return err },
		"cancel": func() error { return c.Cancel(t.Context(), "1") },
	} {
		wg.Go(func() {
			if err := call(); submit.OutcomeOf(err) != submit.Unavailable {
				t.Errorf("%s: got %v, want unavailable", name, err)
			}
		})
	}
	wg.Go(func() {
		if err := c.Release(t.Context(), []string{"1"}); err == nil || errors.Is(err, submit.ErrNotSupported) {
			t.Errorf("release: got %v, want an error", err)
		}
	})
	wg.Wait()
}

func TestFullClusterIsUnavailable(t *testing.T) {
	clustertest.NeedRest(t)
	s := clustertest.StartSlurm(t, clustertest.SlurmOptions{MaxJobCount: 3, NoNode: true})
	c := newCluster(t, slurmrest.Config{Address: s.StartRest(t).Address})
	const n = 2 // Slurm counts one less than its limit
	for range n {
		hand(t, c, clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"}))
	}
	if _, err := c.Submit(t.Context(), clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})); submit.OutcomeOf(err) != submit.Unavailable {
		t.Errorf("submit: got %v, want unavailable", err)
	}
	if err := c.Probe(t.Context()); submit.OutcomeOf(err) != submit.Unavailable {
		t.Errorf("probe: got %v, want unavailable", err)
	}
	if jobs, err := c.List(t.Context()); err != nil || len(jobs) != n {
		t.Errorf("got %v, %v, want the %d jobs", jobs, err, n)
	}
}
