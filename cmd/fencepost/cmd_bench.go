package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/bench"
	"fencepost/cmd/fencepost/config"
	"fencepost/cmd/fencepost/doctor"
	"fencepost/cmd/fencepost/show"
	"fencepost/lease"
	"fencepost/spool"
	"fencepost/spool/vfs/mountstats"
	"fencepost/submit"
)

// benchFlags are what bench is asked for.
type benchFlags struct {
	jobs, rounds, clients, size, idle, backlog int
	hosts                                      []int
	plot                                       string
	simulated                                  simulateFlags
}

// benchPatience is how long no job may go on, at least.
const benchPatience = 30 * time.Second

func newBenchCmd(g *globals) *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure the pipeline on a directory, beside the floor",
		Long: "bench sends jobs through the pipeline, accept to submitted, on a spool of its own that it makes\n" +
			"in the directory of --spool and removes again: the directory may be any one on the file system\n" +
			"that is of interest, a spool in use, too. In turn with it runs the floor: the same minimal system\n" +
			"calls without any logic. What counts is the ratio: both had the same machine.\n\n" +
			"The cluster is one that accepts at once, unless --cluster names one: then real jobs run there,\n" +
			"which do nothing. One that submits held is also compared with its own bare calls.\n\n" +
			"On NFS the calls to the server are counted, too, by stage and kind. docs/bench.md says more.\n\n" +
			"With --simulate nothing is measured: it is computed, in virtual time, what so many hosts reach on\n" +
			"one file server, which is a model with a few numbers. The code is the one that ships; the same\n" +
			"flags give the same figures on every machine.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			if f.simulated.on {
				return f.simulate(g, cmd)
			}
			return f.run(g, cmd)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&f.jobs, "jobs", 1000, "`NUMBER` of jobs a round")
	flags.IntVar(&f.rounds, "rounds", 3, "`NUMBER` of rounds, each of the floor and the pipeline")
	flags.IntVar(&f.clients, "clients", 0, "`NUMBER` of jobs on their way in at a time, to each host (default as --workers); with --simulate on their way to the cluster (default four times that)")
	flags.IntSliceVar(&f.hosts, "hosts", []int{1}, "`NUMBER` of hosts, all in this process; with --simulate several, as 1,2,4 (default there 1 to 64, doubled each time)")
	flags.IntVar(&f.size, "size", 1024, "`BYTES` of a job's script")
	flags.IntVar(&f.idle, "idle", 20, "`NUMBER` of jobs that are sent one by one, for the latency of an idle pipeline")
	flags.IntVar(&f.backlog, "backlog", 0, "`NUMBER` of entries that wait for translate, in a measurement of its own, beside one of 1000")
	flags.StringVar(&f.plot, "plot", "", "write a picture to `FILE` (SVG)")
	f.simulated.add(cmd)
	g.bind(cmd, "workers", "cluster.name")
	return cmd
}

func (f *benchFlags) check(cmd *cobra.Command) error {
	for _, c := range []struct {
		flag             string
		value, low, high int
	}{{"jobs", f.jobs, 1, 10_000_000}, {"rounds", f.rounds, 1, 1000}, {"clients", f.clients, 0, 10_000},
		{"size", f.size, 16, 1 << 20}, {"idle", f.idle, 0, 100_000}, {"backlog", f.backlog, 0, 10_000_000}} {
		if c.value < c.low || c.value > c.high {
			return usagef(cmd, "--%s: %d is not in %d to %d", c.flag, c.value, c.low, c.high)
		}
	}
	for _, n := range f.hosts {
		if n < 1 || n > 64 {
			return usagef(cmd, "--hosts: %d is not in 1 to 64", n)
		}
	}
	if !f.simulated.on && len(f.hosts) != 1 {
		return usagef(cmd, "--hosts: one number, unless it is simulated (--simulate)")
	}
	return f.simulated.check(cmd)
}

func (f *benchFlags) run(g *globals, cmd *cobra.Command) error {
	dir, err := g.spoolDir(cmd)
	if err != nil {
		return err
	}
	c, err := g.config(cmd)
	if err != nil {
		return err
	}
	dir = absolute(dir)
	g.touched = dir
	at, err := deadline(c.Timeout.Duration, dir, func() (string, error) {
		real, err := filepath.EvalSymlinks(dir)
		if err == nil {
			_, err = os.ReadDir(real)
		}
		return real, err
	})
	if err != nil {
		return f.failed(err)
	}
	say, p := &talk{w: g.stderr, name: "bench"}, newProgress(g)
	cfg := bench.Config{Dir: at, Jobs: f.jobs, Rounds: f.rounds, Clients: f.clients, Workers: c.Workers, Hosts: f.hosts[0], Size: f.size,
		Idle: f.idle, Backlog: f.backlog, Version: version(), Patience: max(benchPatience, c.Timeout.Duration), Progress: p.counted,
		Warn: func(what string) { say.line("%s", what) }}
	if f.clients == 0 {
		cfg.Clients = c.Workers
	}
	cluster := "accepts at once"
	if g.given["cluster.name"] != "" || g.given["cluster.command.submit"] != "" {
		cluster, cfg.Cluster = c.Cluster.Name, benchCluster(c.Config)
	}
	var system string
	system, cfg.Calls = fileSystem(g.machine, at)
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	tuneGC()
	rep, err := bench.Run(ctx, cfg)
	p.clear()
	say.end()
	if err != nil {
		return f.failed(err)
	}
	rep.FileSystem, rep.Cluster = system, cluster
	if f.plot != "" {
		if err := toFile(f.plot, rep.Plot); err != nil {
			return fmt.Errorf("write the picture: %w", err)
		}
	}
	return g.print("bench", rep, func(o *show.Out) { printBench(o, rep) })
}

// failed says what to do next.
func (f *benchFlags) failed(err error) error {
	switch {
	case errors.Is(err, bench.ErrStalled):
		return &exitError{code: exitTimeout, err: err, next: "is the file server up, and the cluster? what was made stays, as " + bench.Prefix + "*: remove it by hand"}
	case errors.Is(err, context.Canceled):
		return &exitError{code: exitFailed, err: errors.New("interrupted")}
	case isMissing(err):
		return notFoundf("make the directory, or give another one with --spool", "%w", err)
	}
	return err
}

// fileSystem is what a directory is on, and how to count the calls to its server.
func fileSystem(machine fs.FS, dir string) (string, func() (mountstats.Counts, error)) {
	id, err := doctor.MountOf(dir)
	if err != nil {
		return "unknown", nil
	}
	m, ok := doctor.Find(machine, id, dir)
	switch {
	case !ok:
		return "unknown", nil
	case m.NFS():
		return m.String(), func() (mountstats.Counts, error) { return callsOf(machine, m.Point) }
	}
	return m.Type, nil
}

// benchCluster makes the backend that was asked for.
func benchCluster(c config.Config) func(*spool.Spool, string, string, *submit.Options) (submit.Cluster, error) {
	return func(sp *spool.Spool, root, host string, opt *submit.Options) (submit.Cluster, error) {
		id, err := lease.Local(host, c.MachineID)
		if err != nil {
			return nil, err
		}
		return newCluster(c, clusterSite{sp: sp, root: root, id: id, epoch: func() uint64 { return 1 }}, opt)
	}
}

func printBench(o *show.Out, r *bench.Report) {
	cells := func(name string, values ...string) { o.Cells(show.Fine, name, values...) }
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }
	ms := func(q bench.Quantiles) string { return fmt.Sprintf("p50 %.1f ms, p99 %.1f ms", q.P50*1e3, q.P99*1e3) }
	cells("file system", r.FileSystem, r.Directory)
	cells("load", fmt.Sprintf("%d rounds of %d jobs with %d bytes of script, %d hosts, %d workers, %d clients, cluster %s",
		len(r.Rounds), r.Jobs, r.ScriptBytes, r.Hosts, r.Workers, r.Clients, r.Cluster))
	cells("jobs a second", number(r.JobsPerSecond), "floor "+number(r.FloorJobsPerSecond), fmt.Sprintf("ratio %.2f", r.Ratio))
	for i, x := range r.Rounds {
		cells(fmt.Sprintf("round %d", i+1), number(x.JobsPerSecond), "floor "+number(x.FloorJobsPerSecond), fmt.Sprintf("ratio %.2f", x.Ratio))
	}
	cells("accept", "loaded: "+ms(r.Loaded.Accept), "idle: "+ms(r.Idle.Accept))
	cells("accept to submitted", "loaded: "+ms(r.Loaded.Submitted), "idle: "+ms(r.Idle.Submitted))
	cells("lost claims a job", fmt.Sprintf("%.3f", r.LostClaims))
	cells("beside the jobs", number(r.Background)+" operations a second and host")
	cells("memory", fmt.Sprintf("%.1f MiB at most, %d hosts and the load together", float64(r.MaxResidentBytes)/(1<<20), r.Hosts))
	o.Gap()
	t := o.Table("STAGE", "OPERATIONS A JOB", "FSYNCS", "KINDS")
	for _, s := range r.Stages {
		t.Row(s.Stage, number(s.Operations), number(s.Fsyncs), kinds(s.Kinds))
	}
	t.Row("all", number(r.Operations), number(r.Fsyncs), "")
	t.Row("floor", number(r.Floor.Calls)+" system calls", number(r.Floor.Fsyncs), "")
	t.End()
	if len(r.Backlog) > 0 {
		o.Gap()
		t = o.Table("WAITING", "WORKED OFF", "A JOB", "MEMORY AT MOST")
		for _, x := range r.Backlog {
			t.Row(itoa(x.Entries), itoa(x.Jobs), fmt.Sprintf("%.0f us", x.SecondsPerJob*1e6), fmt.Sprintf("%.1f MiB", float64(x.MaxResidentBytes)/(1<<20)))
		}
		t.End()
	}
	if c := r.ClusterCalls; c != nil {
		o.Gap()
		t = o.Table("TO THE CLUSTER", "JOBS A SECOND", "BARE CALLS", "RATIO")
		row := func(name string, x bench.Bare) {
			t.Row(name, number(x.JobsPerSecond), number(x.BareJobsPerSecond), fmt.Sprintf("%.2f", x.Ratio))
		}
		for i, x := range c.Rounds {
			row(fmt.Sprintf("round %d", i+1), x)
		}
		row("median", bench.Bare{JobsPerSecond: c.JobsPerSecond, BareJobsPerSecond: c.BareJobsPerSecond, Ratio: c.Ratio})
		t.End()
	}
	if len(r.RPCs) == 0 {
		return
	}
	o.Gap()
	t = o.Table("STAGE", "RPCS A JOB", "KINDS")
	for _, s := range r.RPCsByStage {
		t.Row(s.Stage+" alone", number(s.Total), kinds(s.Kinds))
	}
	t.Row("all together", number(r.RPCsTotal), kinds(r.RPCs))
	t.End()
}

// kinds lists counts by name, the most first; what is less than one in a hundred
// jobs is left out.
func kinds(m map[string]float64) string {
	names := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b))
	})
	var all []string
	for _, name := range names {
		if m[name] >= 0.01 {
			all = append(all, fmt.Sprintf("%s %.2f", name, m[name]))
		}
	}
	return strings.Join(all, ", ")
}
