package gridengine_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fencepost/codec"
	"fencepost/spool"
	"fencepost/submit"
	"fencepost/submit/clustertest"
	"fencepost/submit/gridengine"
)

func TestMain(m *testing.M) { os.Exit(clustertest.Main(m)) }

func newCluster(t testing.TB, cfg gridengine.Config) *gridengine.Cluster {
	t.Helper()
	cfg.NamePrefix, cfg.SpoolID, cfg.Host = clustertest.Prefix, clustertest.Spool, clustertest.Host
	if cfg.Workdir == "" {
		cfg.Workdir = t.TempDir()
	}
	c, err := gridengine.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

//nolint:funlen // one table of cases beside one Grid Engine, which takes seconds to start
func TestGridEngine(t *testing.T) {
	g := clustertest.StartGridEngine(t)
	t.Setenv("PATH", g.Programs()+":"+os.Getenv("PATH"))
	t.Setenv("SGE_ROOT", g.Dir)
	t.Setenv("SGE_CELL", "default")
	t.Setenv("DAEMON_SECRET", "leaked")
	c := newCluster(t, gridengine.Config{Accounting: true})
	t.Run("conformance", func(t *testing.T) { clustertest.Suite{Cluster: c}.Run(t) })
	t.Run("bad queue is rejected", func(t *testing.T) {
		_, err := c.Submit(t.Context(), clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n", Queue: "bogus"}))
		if submit.OutcomeOf(err) != submit.Rejected || !strings.Contains(err.Error(), "bogus") {
			t.Errorf("got %v, want rejected with its words", err)
		}
	})
	t.Run("directives in a script are not read", func(t *testing.T) { testDirectives(t, c) })
	t.Run("operator's hold", func(t *testing.T) {
		id := hand(t, c, clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"}))
		g.Run(t, "qhold", "-h", "o", id)
		if j := find(t, c, id); j.State != submit.HeldOther {
			t.Errorf("got %+v, want it held by somebody else", j)
		}
		g.Run(t, "qdel", id)
	})
	t.Run("names are never released", func(t *testing.T) {
		r := clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})
		id := hand(t, c, r)
		for _, name := range []string{r.Name, "*", "0", "", "1 2"} {
			if err := c.Release(t.Context(), []string{name}); err == nil {
				t.Errorf("release of %q: no error", name)
			}
		}
		if j := find(t, c, id); j.State != submit.Held {
			t.Errorf("got %+v", j)
		}
		if err := c.Cancel(t.Context(), id); err != nil {
			t.Error(err)
		}
	})
	t.Run("past", func(t *testing.T) { testPast(t, c) })
	t.Run("guard", func(t *testing.T) { testGuard(t) })
	t.Run("full is unavailable", func(t *testing.T) { testFull(t, c, g) })
	t.Run("crash forgets nothing", func(t *testing.T) {
		r := clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})
		id := hand(t, c, r)
		g.StopMaster(t, true)
		g.StartMaster(t)
		if j := find(t, c, id); j.Token != r.Token || j.State != submit.Held {
			t.Errorf("got %+v", j)
		}
	})
	t.Run("no cell is unfit", func(t *testing.T) {
		t.Setenv("SGE_ROOT", "/no/such/dir")
		if _, err := c.Submit(t.Context(), clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})); submit.OutcomeOf(err) != submit.Unfit {
			t.Errorf("submit: got %v, want unfit", err)
		}
		if err := c.Probe(t.Context()); submit.OutcomeOf(err) != submit.Unfit {
			t.Errorf("probe: got %v, want unfit", err)
		}
	})
	t.Run("qmaster down is unavailable", func(t *testing.T) {
		g.StopMaster(t, false)
		defer g.StartMaster(t)
		if _, err := c.Submit(t.Context(), clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})); submit.OutcomeOf(err) != submit.Unavailable {
			t.Errorf("submit: got %v, want unavailable", err)
		}
		if err := c.Probe(t.Context()); submit.OutcomeOf(err) != submit.Unavailable {
			t.Errorf("probe: got %v, want unavailable", err)
		}
	})
	t.Run("no programs is unfit", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if err := c.Probe(t.Context()); submit.OutcomeOf(err) != submit.Unfit {
			t.Errorf("probe: got %v, want unfit", err)
		}
	})
}

func hand(t *testing.T, c *gridengine.Cluster, r submit.Request) string {
	t.Helper()
	id, err := c.Submit(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func find(t *testing.T, c *gridengine.Cluster, id string) submit.Job {
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

func testDirectives(t *testing.T, c *gridengine.Cluster) {
	r := clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n#$ -N evil\n#$ -h n\n", Env: map[string]string{"X": "a\n#$ -N evil\n"}})
	id := hand(t, c, r)
	if j := find(t, c, id); j.Name != r.Name || j.State != submit.Held {
		t.Errorf("got %+v", j)
	}
	if err := c.Cancel(t.Context(), id); err != nil {
		t.Error(err)
	}
}

func testPast(t *testing.T, c *gridengine.Cluster) {
	r := clustertest.Request(t, codec.Job{Script: "#!/bin/sh\nexit 3\n"})
	id := hand(t, c, r)
	if err := c.Release(t.Context(), []string{id}); err != nil {
		t.Fatal(err)
	}
	want := submit.Past{Known: true, Name: r.Name, Started: true, State: submit.Failed}
	clustertest.Await(t, "the record of "+id, func() bool {
		got, err := c.Past(t.Context(), id)
		return err == nil && got == want
	})
	if got, err := c.Past(t.Context(), "999999"); err != nil || got.Known {
		t.Errorf("unknown id: got %+v, %v", got, err)
	}
}

func testGuard(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, spool.DirStarted), 0o770); err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, gridengine.Config{Guard: gridengine.GuardStrict, SpoolRoot: root})
	m := clustertest.NewMarks(t)
	r := clustertest.Request(t, m.Job("guarded", ""))
	first, second := hand(t, c, r), hand(t, c, r)
	if err := c.Release(t.Context(), []string{first, second}); err != nil {
		t.Fatal(err)
	}
	clustertest.Await(t, "the trace of one refusal", func() bool {
		names, err := filepath.Glob(filepath.Join(root, spool.StartedPath(r.Key)) + "*")
		return err == nil && len(names) == 2 && strings.Contains(names[1], ".refused.")
	})
	clustertest.Await(t, "both to end", func() bool { return find(t, c, first).ID == "" && find(t, c, second).ID == "" })
	if n := m.Starts("guarded"); n != 1 {
		t.Errorf("got %d starts, want 1", n)
	}
}

func testFull(t *testing.T, c *gridengine.Cluster, g *clustertest.GridEngine) {
	g.LimitJobs(t, 1)
	defer g.LimitJobs(t, 0)
	id := hand(t, c, clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"}))
	if _, err := c.Submit(t.Context(), clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})); submit.OutcomeOf(err) != submit.Unavailable {
		t.Errorf("submit: got %v, want unavailable", err)
	}
	if err := c.Probe(t.Context()); submit.OutcomeOf(err) != submit.Unavailable {
		t.Errorf("probe: got %v, want unavailable", err)
	}
	if err := c.Cancel(t.Context(), id); err != nil {
		t.Error(err)
	}
}

func TestResources(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "args")
	if err := os.WriteFile(filepath.Join(dir, "qsub"), []byte("#!/bin/sh\nprintf '<%s>' \"$@\" >'"+out+"'\necho 17\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	job := codec.Job{Script: "#!/bin/sh\n", Queue: "main", Resources: codec.Resources{CPUs: 4, MemoryMB: 512, TimeLimitSeconds: 60}}
	c := newCluster(t, gridengine.Config{PE: "smp", MemoryResource: "h_vmem", Args: []string{"-P", "physics"}})
	if id := hand(t, c, clustertest.Request(t, job)); id != "17" {
		t.Errorf("got id %q", id)
	}
	got, _ := os.ReadFile(out)
	for _, want := range []string{"<-h>", "<-r><n>", "<-C><>", "<-q><main>", "<-pe><smp><4>", "<-l><h_vmem=512M>", "<-l><h_rt=60>", "<-P><physics>"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	if _, err := newCluster(t, gridengine.Config{}).Submit(t.Context(), clustertest.Request(t, job)); submit.OutcomeOf(err) != submit.Rejected {
		t.Errorf("4 processors without a parallel environment: got %v", err)
	}
}
