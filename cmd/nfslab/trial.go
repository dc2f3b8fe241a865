package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"fencepost/cmd/fencepost/nfslab"
	"fencepost/cmd/fencepost/nfslab/trial"
)

// mounts are what the trial is held on: the first in its full form.
func mounts() []nfslab.HostConfig {
	return []nfslab.HostConfig{{Version: "4.2"}, {Version: "4.1"}, {Version: "4.0"}, {Version: "3"},
		{Version: "4.2", Options: "actimeo=60,lookupcache=all"}}
}

// trials holds the trials with the real program, and shows that the broken
// builds are caught: in two laboratories at the same time, since most of it is
// waiting for leases.
func trials(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "trial")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary, err := trial.TempBinary(ctx, dir)
	if err != nil {
		return err
	}
	c := court{out: out, began: time.Now(), dir: dir, binary: binary, keep: "nfslab-kept"}
	errs := make(chan error, 2)
	go func() {
		errs <- c.laboratory(ctx, "long", func(l *nfslab.Lab) error {
			c.say("")("on %s", trial.Versions(ctx, l))
			return errors.Join(c.try(ctx, l, mounts()[0], trial.Full()), c.catch(ctx, l))
		})
	}()
	go func() {
		errs <- c.laboratory(ctx, "short", func(l *nfslab.Lab) error {
			var all error
			for _, m := range mounts()[1:] {
				all = errors.Join(all, c.try(ctx, l, m, trial.Short()))
			}
			return all
		})
	}()
	err = errors.Join(<-errs, <-errs)
	c.say("")("all trials took %.0f s", time.Since(c.began).Seconds())
	return err
}

// court is what the trials have in common.
type court struct {
	out    io.Writer
	began  time.Time
	dir    string
	binary string
	keep   string // where evidence of violations goes

	mu sync.Mutex // held while something is written
}

func (c *court) say(who string) func(format string, args ...any) {
	return func(format string, args ...any) {
		c.mu.Lock()
		defer c.mu.Unlock()
		fmt.Fprintf(c.out, "%5.0f s %-10s %s\n", time.Since(c.began).Seconds(), who, fmt.Sprintf(format, args...))
	}
}

func (c *court) laboratory(ctx context.Context, name string, do func(*nfslab.Lab) error) (err error) {
	l, err := nfslab.Boot(ctx, nfslab.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	c.say(name)("booted")
	return do(l)
}

func (c *court) try(ctx context.Context, l *nfslab.Lab, m nfslab.HostConfig, f trial.Form) error {
	name := "nfs" + m.Version
	if m.Options != "" {
		name += "-" + strings.Map(func(r rune) rune {
			if strings.ContainsRune("=,", r) {
				return '-'
			}
			return r
		}, m.Options)
	}
	t, err := trial.Run(ctx, l, trial.Config{Name: name, Binary: c.binary, Mount: m, Form: f, Keep: c.keep, Say: c.say(m.Version)})
	c.report(t, err)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (c *court) catch(ctx context.Context, l *nfslab.Lab) (all error) {
	for _, b := range trial.Broken() {
		caught, err := b.Catch(ctx, l, c.binary, c.dir, c.say("broken"))
		if err == nil {
			c.say("broken")("%s: caught: %s", b.What, caught)
		}
		all = errors.Join(all, err)
	}
	return all
}

// report prints what a trial found.
func (c *court) report(t *trial.Trial, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	verdict := "no violation"
	if err != nil {
		verdict = err.Error()
	}
	fmt.Fprintf(c.out, "\n%s: %d jobs, %d faults, %.0f s: %s\n", t.Name, t.Jobs, len(t.Faults), t.Time.Seconds(), verdict)
	var whats []string
	times := map[string][]string{}
	for _, took := range t.Took {
		if !slices.Contains(whats, took.What) {
			whats = append(whats, took.What)
		}
		times[took.What] = append(times[took.What], fmt.Sprintf("%.1f", took.Time.Seconds()))
	}
	for _, what := range whats {
		fmt.Fprintf(c.out, "    %-24s taken over after %s s\n", what, strings.Join(times[what], ", "))
	}
	counts := map[string]int{}
	var faults []string
	for _, f := range t.Faults {
		if counts[f.What]++; counts[f.What] == 1 {
			faults = append(faults, f.What)
		}
	}
	for _, f := range faults {
		fmt.Fprintf(c.out, "    %-50s %d times\n", f, counts[f])
	}
	if t.Cost != nil {
		fmt.Fprintf(c.out, "%s", t.Cost)
	}
	fmt.Fprintln(c.out)
}
