package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/bench"
	"fencepost/cmd/fencepost/bench/virtual"
	"fencepost/cmd/fencepost/show"
)

// simulateFlags are those of bench that only --simulate has.
type simulateFlags struct {
	on                bool
	server            string
	loads             []string
	seed              uint64
	window            time.Duration
	rtt, change, read time.Duration
	slots             int
}

func (f *simulateFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.on, "simulate", false, "compute, in virtual time, what hosts reach on a model of a file server")
	flags.StringVar(&f.server, "server", virtual.ServerLinux, "with --simulate: a `KIND` of server, "+strings.Join(virtual.Servers(), " or "))
	flags.StringSliceVar(&f.loads, "load", []string{virtual.ShapeSelf, virtual.ShapeOne}, "with --simulate: `WHERE` jobs come in: at every host (self), at one of them (one), at one that does nothing else (apart)")
	flags.Uint64Var(&f.seed, "seed", 1, "with --simulate: of ids and beginnings")
	flags.DurationVar(&f.window, "window", 5*time.Second, "with --simulate: virtual `TIME` in which jobs are counted")
	flags.DurationVar(&f.rtt, "rtt", 0, "with --simulate: `TIME` from a call to its answer, without the server's (default by --server)")
	flags.IntVar(&f.slots, "slots", 0, "with --simulate: `NUMBER` of durable changes that the server makes at a time (default by --server)")
	flags.DurationVar(&f.change, "change", 0, "with --simulate: `TIME` that the server takes for one (default by --server)")
	flags.DurationVar(&f.read, "read", 0, "with --simulate: `TIME` that it takes for another call (default by --server)")
	_ = cmd.RegisterFlagCompletionFunc("server", oneOf(virtual.Servers()...))
	_ = cmd.RegisterFlagCompletionFunc("load", oneOf(virtual.Shapes()...))
}

// simulatedOnly and measuredOnly are the flags of one way of working.
func simulatedOnly() []string {
	return []string{"server", "load", "seed", "window", "rtt", "slots", "change", "read"}
}

func measuredOnly() []string {
	return []string{"jobs", "rounds", "idle", "backlog", "cluster", "cluster-command"}
}

func (f *simulateFlags) check(cmd *cobra.Command) error {
	others, where := simulatedOnly(), "is for --simulate"
	if f.on {
		others, where = measuredOnly(), "is for what is measured, not for --simulate"
	}
	for _, name := range others {
		if cmd.Flags().Changed(name) {
			return usagef(cmd, "--%s %s", name, where)
		}
	}
	for _, load := range f.loads {
		if !slices.Contains(virtual.Shapes(), load) {
			return usagef(cmd, "--load: %q is none of %s", load, strings.Join(virtual.Shapes(), ", "))
		}
	}
	if !slices.Contains(virtual.Servers(), f.server) {
		return usagef(cmd, "--server: %q is none of %s", f.server, strings.Join(virtual.Servers(), ", "))
	}
	for _, c := range []struct {
		flag             string
		value, low, high time.Duration
	}{{"window", f.window, time.Second, time.Minute}, {"rtt", f.rtt, time.Microsecond, time.Second},
		{"change", f.change, time.Microsecond, time.Second}, {"read", f.read, time.Microsecond, time.Second}} {
		if cmd.Flags().Changed(c.flag) && (c.value < c.low || c.value > c.high) {
			return usagef(cmd, "--%s: %s is not in %s to %s", c.flag, c.value, c.low, c.high)
		}
	}
	if cmd.Flags().Changed("slots") && (f.slots < 1 || f.slots > 10_000) {
		return usagef(cmd, "--slots: %d is not in 1 to 10000", f.slots)
	}
	return nil
}

// model is the kind of server's, with what was said otherwise.
func (f *simulateFlags) model() (virtual.Model, error) {
	m, err := virtual.ModelOf(f.server)
	for _, o := range []struct{ to, from *time.Duration }{{&m.RoundTrip, &f.rtt}, {&m.Change, &f.change}, {&m.Read, &f.read}} {
		if *o.from > 0 {
			*o.to = *o.from
		}
	}
	if f.slots > 0 {
		m.Slots = f.slots
	}
	return m, err
}

func (f *benchFlags) simulate(g *globals, cmd *cobra.Command) error {
	c, err := g.config(cmd)
	if err != nil {
		return err
	}
	m, err := f.simulated.model()
	if err != nil {
		return err
	}
	p := newProgress(g)
	s := f.simulated
	cfg := virtual.Config{Seed: s.seed, Server: s.server, Model: m, Shapes: s.loads, Hosts: f.hosts, Workers: c.Workers, Jobs: f.clients, Size: f.size,
		Window: s.window, Version: version(), Parallel: runtime.GOMAXPROCS(0),
		Progress: func(done, total int) { p.counted(done, total, "points") }}
	if !cmd.Flags().Changed("hosts") {
		cfg.Hosts = []int{1, 2, 4, 8, 16, 32, 64}
	}
	if f.clients == 0 {
		cfg.Jobs = 4 * c.Workers
	}
	// As race does: much garbage, little memory.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	rep, err := virtual.Run(ctx, cfg)
	p.clear()
	switch {
	case errors.Is(err, context.Canceled):
		return &exitError{code: exitFailed, err: errors.New("interrupted")}
	case err != nil:
		return err
	}
	if f.plot != "" {
		if err := toFile(f.plot, rep.Plot); err != nil {
			return fmt.Errorf("write the picture: %w", err)
		}
	}
	return g.print("bench-simulate", rep, func(o *show.Out) { printSimulated(o, rep) })
}

func printSimulated(o *show.Out, r *virtual.Report) {
	cells := func(name string, values ...string) { o.Cells(show.Fine, name, values...) }
	m := r.Model
	renames := "several renames between directories at a time"
	if m.OneRename {
		renames = "one rename between directories at a time"
	}
	cells("server", r.Server, fmt.Sprintf("round trip %s, %d durable changes at a time of %s each, other calls %s, %s", m.RoundTrip, m.Slots, m.Change, m.Read, renames))
	cells("load", fmt.Sprintf("%d jobs of each host under way with %d bytes of script, %d workers, cluster accepts at once; %.0f s of virtual time, seed %d",
		r.Jobs, r.ScriptBytes, r.Workers, r.WindowSeconds, r.Seed))
	o.Gap()
	t := o.Table("LOAD", "HOSTS", "JOBS/S", "CALLS A JOB", "LOST CLAIMS", "LISTINGS", "TO SUBMITTED P50", "P99", "ONE JOB P50", "P99", "SERVER", "BUSIEST", "IDLE CALLS/S")
	ms := func(seconds float64) string { return fmt.Sprintf("%.1f ms", seconds*1e3) }
	load := func(q bench.Latencies) []string {
		return []string{ms(q.Submitted.P50), ms(q.Submitted.P99)}
	}
	for _, p := range r.Points {
		t.Row(slices.Concat([]string{p.Shape, strconv.Itoa(p.Hosts), rate(p.JobsPerSecond), fmt.Sprintf("%.1f", p.Calls),
			fmt.Sprintf("%.3f", p.LostClaims), fmt.Sprintf("%.2f", p.Listings)}, load(p.Loaded), load(p.Idle),
			[]string{percent(p.Use.Changes), busiest(p.Use), fmt.Sprintf("%.0f", p.IdleCalls)})...)
	}
	t.End()
}

// rate is a number a second: with a decimal where that says something.
func rate(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func percent(part float64) string { return fmt.Sprintf("%.0f %%", 100*part) }

// busiest is what all wait for, or would at some more load. A host's renames wait
// for what the server is busy with: of two that are as busy, it is the server's.
func busiest(u virtual.Use) string {
	what, part := "changes", u.Changes
	for _, c := range []struct {
		what string
		part float64
	}{{"server's renames", u.Renames}, {u.DirectoryOf, u.Directory}, {"a host's renames", u.HostRenames}} {
		if c.part > part+0.01 {
			what, part = c.what, c.part
		}
	}
	return what + " " + percent(part)
}
