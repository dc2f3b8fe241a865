package bench_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"fencepost/cmd/fencepost/bench"
	"fencepost/spool"
	"fencepost/submit"
	"fencepost/submit/clustertest"
	"fencepost/submit/slurm"
	"fencepost/submit/slurmrest"
)

// Clusters are made on one Slurm, without a node: what runs there would be
// measured, too.
func clusters(t testing.TB, sl *clustertest.Slurm) map[string]func(*spool.Spool, string, string, *submit.Options) (submit.Cluster, error) {
	rest := sl.StartRest(t)
	return map[string]func(*spool.Spool, string, string, *submit.Options) (submit.Cluster, error){
		"slurm": func(sp *spool.Spool, _, host string, _ *submit.Options) (submit.Cluster, error) {
			return slurm.New(slurm.Config{NamePrefix: sp.NamePrefix(), SpoolID: sp.ID, Host: host, Epoch: func() uint64 { return 1 },
				SlurmConf: sl.Conf(), Workdir: "/tmp", Output: "/dev/null"})
		},
		"slurmrest": func(sp *spool.Spool, _, host string, _ *submit.Options) (submit.Cluster, error) {
			return slurmrest.New(slurmrest.Config{NamePrefix: sp.NamePrefix(), SpoolID: sp.ID, Host: host, Epoch: func() uint64 { return 1 },
				Address: rest.Address, Workdir: "/tmp", Output: "/dev/null"})
		},
	}
}

func TestMain(m *testing.M) { os.Exit(clustertest.Main(m)) }

// holding is a cluster that submits held, in memory.
type holding struct {
	submit.Cluster
	mu   sync.Mutex
	jobs map[string]*submit.Job
}

func (c *holding) Caps() submit.Caps { return submit.Caps{Hold: true, List: true} }
func (c *holding) Pin(context.Context) (map[string]string, error) {
	return map[string]string{"backend": "holding"}, nil
}
func (c *holding) Probe(context.Context) error        { return nil }
func (c *holding) Slots(context.Context) (int, error) { return -1, nil }

func (c *holding) Submit(_ context.Context, r submit.Request) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := strconv.Itoa(len(c.jobs) + 1)
	c.jobs[id] = &submit.Job{ID: id, Name: r.Name, Key: r.Key, Token: r.Token, State: submit.Held}
	return id, nil
}

func (c *holding) List(context.Context) (all []submit.Job, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, j := range c.jobs {
		all = append(all, *j)
	}
	return all, nil
}

func (c *holding) Release(_ context.Context, ids []string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		c.jobs[id].State = submit.Done
	}
	return nil
}

// TestAgainstBareCalls: a cluster that submits held is compared with its own
// calls, each job once by either way, and all are released.
func TestAgainstBareCalls(t *testing.T) {
	cfg := config(t)
	c := &holding{jobs: map[string]*submit.Job{}}
	cfg.Cluster = func(*spool.Spool, string, string, *submit.Options) (submit.Cluster, error) { return c, nil }
	rep, err := bench.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	got := rep.ClusterCalls
	if got == nil || len(got.Rounds) != 2 || got.Jobs != 40 || got.Parallel != 2 || got.Ratio <= 0 || got.BareJobsPerSecond <= 0 {
		t.Fatalf("got %+v", got)
	}
	bare := 0
	for id, j := range c.jobs {
		if j.State != submit.Done {
			t.Errorf("job %s is %s", id, j.State)
		}
		if j.Token == "bare" {
			bare++
		}
	}
	// Two rounds, and once before for each worker.
	if want := 2*40 + 2; bare != want {
		t.Errorf("got %d bare submissions, want %d", bare, want)
	}
	// The stage's are as many; the whole pipeline's come with a warm-up and idle jobs.
	if want := 2*bare + 2*40 + 2*3 + 2; len(c.jobs) != want {
		t.Errorf("got %d jobs, want %d", len(c.jobs), want)
	}
	left(t, cfg.Dir)
}

// BenchmarkSlurm is the submit stage beside the bare calls, on a real Slurm that
// has so many jobs already: a listing shows them all. Each measurement has a
// Slurm of its own. Processor time is that of all who take part, up to the last
// release: on a busy machine it says more than rates. Run it with
// -benchtime 1x.
func BenchmarkSlurm(b *testing.B) {
	const rounds = 3
	for _, name := range []string{"slurm", "slurmrest"} {
		for _, there := range []int{0, 3000} {
			b.Run(fmt.Sprintf("%s/%d", name, there), func(b *testing.B) {
				c, cpu := &bench.Cluster{}, [2]time.Duration{}
				for range rounds {
					var x bench.Bare
					x.BareJobsPerSecond, cpu[0] = onFresh(b, name, there, cpu[0], bench.Pair.Bare)
					x.JobsPerSecond, cpu[1] = onFresh(b, name, there, cpu[1], bench.Pair.Submitted)
					c.Add(x)
				}
				b.ReportMetric(c.JobsPerSecond, "jobs/s")
				b.ReportMetric(c.BareJobsPerSecond, "bare-jobs/s")
				b.ReportMetric(c.Ratio, "ratio")
				b.ReportMetric(cpu[1].Seconds()*1e3/rounds/slurmJobs, "cpu-ms/job")
				b.ReportMetric(cpu[0].Seconds()*1e3/rounds/slurmJobs, "bare-cpu-ms/job")
				b.Logf("%.2f", c.Rounds)
			})
		}
	}
}

const slurmJobs = 1000

func onFresh(b *testing.B, name string, there int, cpu time.Duration, measure func(bench.Pair, context.Context, int) (float64, error)) (float64, time.Duration) {
	b.Helper()
	sl := clustertest.StartSlurm(b, clustertest.SlurmOptions{NoNode: true, MaxJobCount: 50_000})
	defer sl.StopController(b, true)
	p, err := bench.NewPair(b.Context(), bench.Config{Dir: b.TempDir(), Jobs: 1, Rounds: 1, Clients: 4, Workers: 4, Hosts: 1, Size: 1024,
		Version: "test", Patience: time.Minute, Progress: func(int, int, string) {}, Warn: func(what string) { b.Log(what) },
		Cluster: clusters(b, sl)[name]})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	if _, err := p.Bare(b.Context(), there); err != nil {
		b.Fatal(err)
	}
	before := used(b) + sl.CPU()
	rate, err := measure(p, b.Context(), slurmJobs)
	if err != nil {
		b.Fatal(err)
	}
	return rate, cpu + used(b) + sl.CPU() - before
}

// used is the processor time of this process and of those that it ran to their
// end.
func used(b *testing.B) (sum time.Duration) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}
