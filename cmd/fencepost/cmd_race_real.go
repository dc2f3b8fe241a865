package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"fencepost/cmd/fencepost/race"
	"fencepost/cmd/fencepost/race/history"
	"fencepost/cmd/fencepost/race/picture"
	"fencepost/cmd/fencepost/race/realrun"
	"fencepost/cmd/fencepost/show"
	"fencepost/spool"
)

// The ways of racing, by the flag that chooses them; the simulator is "".
const (
	modeReal = "real"
	modeDraw = "draw"
)

// mode is the way that was chosen. A flag that means nothing to it is a mistake:
// who gives it expects something else.
func (f *raceFlags) mode(cmd *cobra.Command) (string, error) {
	mode, fits := "", map[string][]string{
		modeReal: {"seed", "faults", "hosts", "jobs", "time", "bug", "events", "html", "keep", "lease"},
		modeDraw: {"events", "html"},
	}
	for _, m := range []string{modeReal, modeDraw} {
		switch {
		case !cmd.Flags().Changed(m):
		case mode != "":
			return "", usagef(cmd, "--%s and --%s: choose one", mode, m)
		case cmd.Flag(m).Value.String() == "":
			return "", usagef(cmd, "--%s: which directory?", m)
		default:
			mode = m
		}
	}
	var err error
	cmd.Flags().Visit(func(fl *pflag.Flag) {
		switch {
		case err != nil || fl.Name == mode:
		case mode == "" && (fl.Name == "keep" || fl.Name == "lease"):
			err = usagef(cmd, "--%s is for --real", fl.Name)
		case mode == "" || slices.Contains([]string{"config", "json", "timeout"}, fl.Name) || slices.Contains(fits[mode], fl.Name):
		default:
			err = usagef(cmd, "--%s means nothing with --%s", fl.Name, mode)
		}
	})
	return mode, err
}

func (f *raceFlags) realOptions(g *globals, cmd *cobra.Command) (realrun.Options, error) {
	o := realrun.Defaults()
	o.Dir, o.Self, o.Keep, o.Lease, o.Hosts = absolute(f.real), or(g.self, "/proc/self/exe"), f.keep, f.lease, f.hosts
	if cmd.Flags().Changed("jobs") {
		o.Jobs = f.jobs
	}
	if cmd.Flags().Changed("time") {
		o.Time = f.budget
	}
	var err error
	if o.Faults, err = realrun.ParseFaults(f.faults); err != nil {
		return o, usagef(cmd, "--faults: %w", err)
	}
	if o.Bug, err = realrun.ParseBug(f.bugs); err != nil {
		return o, usagef(cmd, "--bug: %w", err)
	}
	o.Seed = uint64(rand.Uint32())
	if f.seed != "" {
		if o.Seed, err = strconv.ParseUint(f.seed, 10, 64); err != nil {
			return o, usagef(cmd, "--seed %q: want a number", f.seed)
		}
	}
	if err := o.Validate(); err != nil {
		return o, usagef(cmd, "%w", err)
	}
	return o, nil
}

// runReal races real processes.
func (f *raceFlags) runReal(g *globals, cmd *cobra.Command) error {
	o, err := f.realOptions(g, cmd)
	if err != nil {
		return err
	}
	// Each of them would end this process and leave the others alone.
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	p := newProgress(g)
	o.Say = func(text string) { p.show(0, text) }
	res, err := realrun.Run(ctx, o)
	p.clear()
	switch {
	case errors.Is(err, realrun.ErrNoDir):
		return usagef(cmd, "--real %w", err)
	case err != nil:
		return &exitError{code: race.ExitUnknown, err: fmt.Errorf("race could not begin: %w", err)}
	}
	again := fmt.Sprintf("fencepost race --real %s --seed %d --hosts %d --jobs %d --time %s --lease %s --faults %s",
		f.real, o.Seed, o.Hosts, o.Jobs, o.Time, o.Lease, f.faults)
	if o.Bug != realrun.NoBug {
		again += " --bug " + string(o.Bug)
	}
	fmt.Fprintln(g.stdout, show.Clean(res.Verdict()))
	explained := f.explainReal(g, cmd, res, again)
	err = f.writeHistory(res.History, picture.Meta{Title: fmt.Sprintf("seed %d: %d real hosts, %d jobs", o.Seed, o.Hosts, o.Jobs),
		Verdict: res.Verdict(), Command: again, Explanation: explained})
	if err != nil {
		return err
	}
	if code := res.Code(); code != race.ExitPass {
		return &exitError{code: code}
	}
	return nil
}

// explainReal says what was broken, with the trace of the job concerned, and
// where everything is. It returns the words for the picture.
func (f *raceFlags) explainReal(g *globals, cmd *cobra.Command, res *realrun.Result, again string) (words []string) {
	say := func(format string, args ...any) { fmt.Fprintf(g.stdout, format, args...) }
	if v := res.Violation; v != nil {
		say("\n%s\n", show.Clean(v.String()))
		for line := range strings.Lines(v.Detail) {
			say("  %s\n", show.Clean(strings.TrimSpace(line)))
			words = append(words, strings.TrimSpace(line))
		}
		if v.Job != "" && res.Spool != "" {
			say("\n")
			if err := f.traceOf(g, cmd, res.Spool, v.Job); err != nil {
				say("its trace can't be read: %v\n", err)
			}
		}
	}
	if res.Spool != "" {
		say("\nkept: the spool in %s, the hosts' logs and the cluster's book in %s\n", res.Spool, res.Base)
	}
	if res.Code() != race.ExitPass {
		say("\nthe same decisions again, though never the same run: %s\n", again)
	}
	return words
}

// traceOf prints a job's trace.
func (f *raceFlags) traceOf(g *globals, cmd *cobra.Command, dir, job string) error {
	g.at(dir)
	doc, err := onSpool(g, cmd, func(ctx context.Context, s *share) (*traceDoc, error) { return takeTrace(ctx, s, job) })
	if err != nil {
		return err
	}
	o := show.NewOut(g.stdout, g.environ)
	printTrace(o, doc)
	return o.Flush()
}

// at makes dir the spool, whatever the configuration says.
func (g *globals) at(dir string) {
	g.given["spool"], g.loaded = dir, nil
}

// runDraw draws a real spool's journals.
func (f *raceFlags) runDraw(g *globals, cmd *cobra.Command) error {
	if f.html == "" && f.events == "" {
		return usagef(cmd, "--draw: into which file? give --html FILE or --events FILE")
	}
	g.at(f.draw)
	events, err := onSpool(g, cmd, func(_ context.Context, s *share) (all []spool.Event, err error) {
		err = s.Events(nil, func(e spool.Event) { all = append(all, e) })
		return all, err
	})
	if err != nil {
		return err
	}
	h := history.FromJournals(events)
	jobs, broken := map[string]bool{}, 0
	for _, e := range h {
		if e.Job != "" {
			jobs[e.Job] = true
		}
		if e.Kind == history.Violation {
			broken++
		}
	}
	m := picture.Meta{Title: "spool " + absolute(f.draw), Command: "fencepost race --draw " + f.draw + " --html " + f.html,
		Verdict: "what its hosts noted; the journal explains, it never proves"}
	if broken > 0 {
		m.Verdict = fmt.Sprintf("its audits found jobs vanished or in two places %d times", broken)
	}
	if err := f.writeHistory(h, m); err != nil {
		return err
	}
	fmt.Fprintf(g.stdout, "%d events of %d jobs\n", len(h), len(jobs))
	return nil
}

// newRaceClusterCmd is the cluster of a real run: this binary again.
func newRaceClusterCmd(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:                realrun.ClusterCommand,
		Short:              "Do what the cluster of race --real does (started by serve)",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			if code := realrun.ClusterMain(args, os.Getenv, g.stdin, g.stdout, g.stderr); code != 0 {
				return &exitError{code: code}
			}
			return nil
		},
	}
}
