package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/race"
	"fencepost/cmd/fencepost/race/history"
	"fencepost/cmd/fencepost/race/picture"
	"fencepost/cmd/fencepost/race/realrun"
	"fencepost/spool/env/drill"
)

// raceFlags are race's.
type raceFlags struct {
	seed, seeds, tape, faults, bugs, protocol string
	hosts, jobs, workers                      int
	budget, shrinkTime                        time.Duration
	keepGoing                                 int
	shrink, compare, selfTest                 bool
	events, html, tapes                       string

	real, draw string // directories: another way of racing, or none
	keep       bool
	lease      time.Duration
}

func newRaceCmd(g *globals) *cobra.Command {
	f := &raceFlags{}
	d := race.Defaults()
	cmd := &cobra.Command{
		Use:   "race",
		Short: "Simulate many instances that race, with faults, and check what is promised",
		Long: "race runs the protocol's own code on several hosts of a simulated NFS share and cluster, in virtual\n" +
			"time. Processes are killed, stopped and cut off, replies are lost, servers restart; at each effect\n" +
			"it is checked that no job is lost or runs twice. One seed is one run, the same on every machine.\n\n" +
			"With --real DIR real processes race on a real directory, such as a mount of the share: hosts are\n" +
			"killed, stopped for longer than their lease, and restarted, while jobs come in over TCP. The seed\n" +
			"decides what is done to whom; the times are real, so the run itself can't be repeated. The book of\n" +
			"a cluster of its own says how often each job was started.\n\n" +
			"With --draw SPOOL nothing races: the journals of a real spool are drawn, alive or dead.\n\n" +
			"Exit codes: 0 pass, 1 a safety violation, 2 a liveness violation, 3 one seed gave two runs, 4 unknown\n" +
			"or something that must happen never did, 64 usage.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return raceUsage(f.run(g, cmd)) },
	}
	fs := cmd.Flags()
	fs.StringVar(&f.seed, "seed", "", "run one `SEED`")
	fs.StringVar(&f.seeds, "seeds", "", "run the seeds `A..B` (default 1..1000)")
	fs.StringVar(&f.tape, "tape", "", "run the tape in `FILE`")
	fs.BoolVar(&f.shrink, "shrink", true, "look for a simpler run that fails the same way")
	fs.DurationVar(&f.shrinkTime, "shrink-time", 20*time.Second, "how long to look for one")
	fs.IntVarP(&f.workers, "parallel", "p", runtime.GOMAXPROCS(0), "runs at a time")
	fs.StringVar(&f.faults, "faults", "all", "kinds of faults, e.g. kill,cut; -NAME leaves one out; none; list shows them")
	fs.IntVar(&f.hosts, "hosts", d.Hosts, "hosts")
	fs.IntVar(&f.jobs, "jobs", d.Jobs, "jobs a run (with --real 60)")
	fs.DurationVar(&f.budget, "time", 0, "stop after so much time (default: when all seeds are done; with --real faults for 30s)")
	fs.StringVar(&f.protocol, "protocol", d.Protocol, "fencepost, or legacy: see a file, take it")
	fs.BoolVar(&f.compare, "compare", false, "run both protocols on the same seeds")
	fs.BoolVar(&f.selfTest, "self-test", false, "look for each seeded bug, to prove that bugs are found")
	fs.StringVar(&f.tapes, "tapes", "", "with --self-test: write the shrunk tape of each bug to a file in `DIR`")
	fs.StringVar(&f.bugs, "bug", "", "switch on seeded bugs; list shows them")
	fs.IntVar(&f.keepGoing, "keep-going", 0, "go on after up to so many violations, and list them")
	fs.StringVar(&f.events, "events", "", "write what happened to `FILE`, one JSON object a line (of one run)")
	fs.StringVar(&f.html, "html", "", "write a picture to `FILE` (of one run)")
	fs.StringVar(&f.real, "real", "", "race real processes on the directory `DIR`")
	fs.BoolVar(&f.keep, "keep", false, "with --real: keep the spool, the logs and the cluster's book")
	fs.DurationVar(&f.lease, "lease", realrun.Defaults().Lease, "with --real: the hosts' lease")
	fs.StringVar(&f.draw, "draw", "", "draw the journals of `SPOOL`, with --html or --events")
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return raceUsage(flagError(c, err)) })
	return cmd
}

// raceUsage gives usage errors this command's own exit code. A verdict, which is
// no error of its own, may have the number that others use for them.
func raceUsage(err error) error {
	var exit *exitError
	if errors.As(err, &exit) && exit.code == exitUsage && exit.err != nil {
		return &exitError{code: race.ExitUsage, err: exit.err, next: exit.next}
	}
	return err
}

func (f *raceFlags) run(g *globals, cmd *cobra.Command) error {
	mode, err := f.mode(cmd)
	switch {
	case err != nil:
		return err
	case mode == modeReal:
		return f.runReal(g, cmd)
	case mode == modeDraw:
		return f.runDraw(g, cmd)
	case f.list(g):
		return nil
	}
	// The simulator makes garbage quickly, and lives in little memory.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	if f.selfTest {
		return f.runSelfTest(ctx, g)
	}
	c, err := f.campaign(g, cmd)
	if err != nil {
		return err
	}
	if f.compare {
		return f.runCompare(ctx, g, c)
	}
	sum := f.runAll(ctx, g, &c)
	fmt.Fprintln(g.stdout, c.Verdict(sum))
	if err := f.report(g, c, sum); err != nil {
		return err
	}
	if code := c.Code(sum); code != race.ExitPass {
		return &exitError{code: code}
	}
	return nil
}

// runAll makes the runs, with a line of progress.
func (f *raceFlags) runAll(ctx context.Context, g *globals, c *race.Campaign) race.Summary {
	p := newProgress(g)
	c.Progress = func(s race.Summary) {
		p.show(int(s.Seeds), fmt.Sprintf("%d seeds, %.1f M steps, %d violations", s.Seeds, float64(s.Steps)/1e6, len(s.Bad)))
	}
	defer p.clear()
	return c.Run(ctx)
}

// runCompare runs both protocols on the same seeds, to their end: how often
// each breaks a promise. It fails only if fencepost does.
func (f *raceFlags) runCompare(ctx context.Context, g *globals, c race.Campaign) error {
	code := race.ExitPass
	for _, protocol := range []string{race.ProtocolLegacy, race.ProtocolFencepost} {
		c := c
		c.Options.Protocol, c.KeepGoing = protocol, math.MaxInt
		s := f.runAll(ctx, g, &c)
		kinds := race.Counts{}
		for _, b := range s.Bad {
			kinds[b.Violation.Kind]++
		}
		fmt.Fprintf(g.stdout, "%-10s %d of %d seeds break a promise", protocol, len(s.Bad), s.Seeds)
		if len(s.Bad) > 0 {
			fmt.Fprintf(g.stdout, ": %s", kinds)
		}
		fmt.Fprintln(g.stdout)
		if protocol == race.ProtocolFencepost {
			code = c.Code(s)
		}
	}
	if code != race.ExitPass {
		return &exitError{code: code}
	}
	return nil
}

// list shows what there is to choose from.
func (f *raceFlags) list(g *globals) bool {
	switch {
	case f.faults == "list":
		fmt.Fprint(g.stdout, race.DescribeFaults())
	case f.bugs == "list":
		fmt.Fprint(g.stdout, race.DescribeBugs())
	default:
		return false
	}
	return true
}

func (f *raceFlags) campaign(g *globals, cmd *cobra.Command) (race.Campaign, error) {
	c := race.Campaign{Options: race.Defaults(), Workers: f.workers, Budget: f.budget, TwiceEvery: 64, KeepGoing: f.keepGoing}
	o := &c.Options
	if f.tape != "" {
		data, err := g.readFile(f.tape)
		if err != nil {
			return c, usagef(cmd, "%w", err)
		}
		t, err := race.ReadTape(bytes.NewReader(data))
		if err != nil {
			return c, usagef(cmd, "tape %s: %w", f.tape, err)
		}
		c.Options, c.From, c.To, c.TwiceEvery = t.Options, t.Options.Seed, t.Options.Seed, 1
		return c, nil
	}
	var err error
	if o.Faults, err = race.ParseFaults(f.faults); err != nil {
		return c, usagef(cmd, "--faults: %w", err)
	}
	if o.Bugs, err = race.ParseBugs(f.bugs); err != nil {
		return c, usagef(cmd, "--bug: %w", err)
	}
	o.Hosts, o.Jobs, o.Protocol = f.hosts, f.jobs, f.protocol
	if err := o.Validate(); err != nil {
		return c, usagef(cmd, "%w", err)
	}
	c.From, c.To, err = f.seedRange()
	if err != nil {
		return c, usagef(cmd, "%w", err)
	}
	return c, nil
}

// seedRange is the seeds that were asked for.
func (f *raceFlags) seedRange() (from, to uint64, err error) {
	if f.seed != "" {
		if from, err = strconv.ParseUint(f.seed, 10, 64); err != nil {
			return 0, 0, fmt.Errorf("--seed %q: want a number", f.seed)
		}
		return from, from, nil
	}
	if f.seeds == "" {
		if f.budget > 0 {
			return 1, 1 << 62, nil
		}
		return 1, 1000, nil
	}
	a, b, ok := strings.Cut(f.seeds, "..")
	from, err1 := strconv.ParseUint(a, 10, 64)
	to, err2 := strconv.ParseUint(b, 10, 64)
	if !ok || err1 != nil || err2 != nil || to < from {
		return 0, 0, fmt.Errorf("--seeds %q: want A..B, two numbers, the second not below the first", f.seeds)
	}
	return from, to, nil
}

// report explains the first failure, or writes down a single run.
func (f *raceFlags) report(g *globals, c race.Campaign, s race.Summary) error {
	for _, seed := range s.Differ {
		fmt.Fprintf(g.stderr, "seed %d gave two different runs: something in it isn't decided by the tape\n", seed)
	}
	if len(s.Bad) > 1 {
		for _, b := range s.Bad {
			fmt.Fprintf(g.stdout, "seed %d: %s\n", b.Options.Seed, firstLine(b.Violation.String()))
		}
	}
	var res *race.Result
	switch {
	case len(s.Bad) > 0:
		res = s.Bad[0]
		if f.shrink && f.tape == "" {
			newProgress(g).show(0, "looking for a simpler run")
			res = race.Shrink(res, f.shrinkTime)
		}
	case c.From == c.To && (f.events != "" || f.html != ""):
		o := c.Options
		o.Seed = c.From
		res = race.Run(o)
	default:
		return nil
	}
	// Once more, with its history.
	o := res.Options
	o.Replay, o.Tape, o.Record = true, res.Entries, true
	full := race.Run(o)
	if full.Violation != nil {
		if err := f.explain(g, full); err != nil {
			return err
		}
	}
	return f.write(g, full)
}

func (f *raceFlags) explain(g *globals, res *race.Result) error {
	v := res.Violation
	fmt.Fprintf(g.stdout, "\n%s\n\n", v)
	for _, line := range race.Explain(res) {
		fmt.Fprintln(g.stdout, "  "+line)
	}
	if v.Detail != "" {
		fmt.Fprintf(g.stdout, "\nat that moment:\n%s", indent(v.Detail))
	}
	name := f.tape
	if name == "" {
		name = fmt.Sprintf("race-%s-%d.tape", v.Kind, res.Options.Seed)
		var b bytes.Buffer
		if err := race.WriteTape(&b, res); err != nil {
			return err
		}
		if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
			return fmt.Errorf("write the tape: %w", err)
		}
	}
	fmt.Fprintf(g.stdout, "\nagain: fencepost race --tape %s\n", name)
	return nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n  ") + "\n"
}

// write writes the run's history, as events and as a picture.
func (f *raceFlags) write(_ *globals, res *race.Result) error {
	o := res.Options
	m := picture.Meta{Title: fmt.Sprintf("seed %d: %d hosts, %d jobs, protocol %s", o.Seed, o.Hosts, o.Jobs, o.Protocol),
		Verdict: "no promise was broken", Explanation: race.Explain(res), Command: f.command(o)}
	if res.Violation != nil {
		m.Verdict = res.Violation.String()
	}
	return f.writeHistory(res.History, m)
}

// writeHistory writes the files that were asked for.
func (f *raceFlags) writeHistory(h []history.Event, m picture.Meta) error {
	if f.events != "" {
		if err := toFile(f.events, func(w io.Writer) error { return history.Write(w, h) }); err != nil {
			return err
		}
	}
	if f.html == "" {
		return nil
	}
	return toFile(f.html, func(w io.Writer) error { return picture.Write(w, h, m) })
}

// command makes the run again.
func (f *raceFlags) command(o race.Options) string {
	if f.tape != "" {
		return "fencepost race --tape " + f.tape
	}
	return fmt.Sprintf("fencepost race --seed %d --hosts %d --jobs %d --protocol %s --faults %s", o.Seed, o.Hosts, o.Jobs, o.Protocol, f.faults)
}

func toFile(name string, write func(io.Writer) error) error {
	w, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(w), w.Close())
}

// bugTime is how long a seeded bug is looked for.
const bugTime = time.Minute

// runSelfTest looks for each seeded bug: a simulator that finds none of them
// would find none of ours either.
func (f *raceFlags) runSelfTest(ctx context.Context, g *globals) error {
	budget := bugTime
	if f.budget > 0 {
		budget = f.budget
	}
	missed := 0
	for _, b := range drill.Bugs() {
		if b.Layer || f.bugs != "" && !strings.Contains(","+f.bugs+",", ","+string(b.Bug)+",") {
			continue
		}
		c := race.Search(ctx, b, f.workers, budget)
		if c.Result == nil {
			missed++
			fmt.Fprintf(g.stdout, "%-20s MISSED after %d seeds, %.1f s\n", b.Bug, c.Seeds, c.Took.Seconds())
			continue
		}
		fmt.Fprintf(g.stdout, "%-20s found by seed %d after %.1f s: %s\n", b.Bug, c.Result.Options.Seed, c.Took.Seconds(), firstLine(c.Result.Violation.String()))
		if f.tapes != "" {
			small := race.Shrink(c.Result, f.shrinkTime)
			if err := os.MkdirAll(f.tapes, 0o755); err != nil {
				return err
			}
			name := filepath.Join(f.tapes, string(b.Bug)+".tape")
			if err := toFile(name, func(w io.Writer) error { return race.WriteTape(w, small) }); err != nil {
				return err
			}
		}
	}
	if missed > 0 {
		return &exitError{code: race.ExitUnknown, err: fmt.Errorf("%d seeded bugs were not found", missed)}
	}
	return nil
}
