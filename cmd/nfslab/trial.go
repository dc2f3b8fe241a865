package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"fencepost/cmd/fencepost/nfslab"
	"fencepost/cmd/fencepost/nfslab/trial"
)

// versions are those on which the table is tried.
const versions = "4.2,4.1,4.0,3"

// all is everything that there is to be done.
func all(ctx context.Context, out io.Writer) (good bool, err error) {
	var table bytes.Buffer
	err = trials(ctx, nil, out, func() error {
		var err error
		good, err = lab(ctx, []string{"-versions", versions}, &table)
		return err
	})
	_, werr := table.WriteTo(out)
	return good && err == nil, errors.Join(err, werr)
}

// trialName is what a trial can be asked for by.
type trialName string

const (
	full   trialName = "full"   // the full form
	broken trialName = "broken" // the broken builds
	mounts trialName = "mounts" // doctor on good and bad mounts
)

// shorts are the mounts for the short form, by name.
func shorts() map[trialName]nfslab.HostConfig {
	return map[trialName]nfslab.HostConfig{"4.1": {Version: "4.1"}, "4.0": {Version: "4.0"}, "3": {Version: "3"},
		"options": {Version: "4.2", Options: "actimeo=60,lookupcache=all"}}
}

// trials holds trials with the real program, all or those that are named: in
// two laboratories at the same time, since most of it is waiting for leases.
// more is done in a third one, before the second.
func trials(ctx context.Context, names []string, out io.Writer, more func() error) (err error) {
	wanted := func(n trialName) bool { return len(names) == 0 || slices.Contains(names, string(n)) }
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
	var first, second []func(*nfslab.Lab) error
	if wanted(full) {
		first = append(first, func(l *nfslab.Lab) error { return c.try(ctx, l, full, nfslab.HostConfig{Version: "4.2"}, trial.Full()) })
	}
	if wanted(mounts) {
		first = append(first, func(l *nfslab.Lab) error { return trial.Mounts(ctx, l, c.binary, c.say(string(mounts))) })
	}
	if wanted(broken) {
		first = append(first, func(l *nfslab.Lab) error { return c.catch(ctx, l) })
	}
	for _, name := range slices.Sorted(maps.Keys(shorts())) {
		if wanted(name) {
			second = append(second, func(l *nfslab.Lab) error { return c.try(ctx, l, name, shorts()[name], trial.Short()) })
		}
	}
	errs := make(chan error, 2)
	go func() { errs <- c.laboratory(ctx, first) }()
	go func() {
		var err error
		if more != nil {
			err = more()
		}
		errs <- errors.Join(err, c.laboratory(ctx, second))
	}()
	err = errors.Join(<-errs, <-errs)
	c.say("all")("took %.0f s", time.Since(c.began).Seconds())
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

func (c *court) laboratory(ctx context.Context, trials []func(*nfslab.Lab) error) (err error) {
	if len(trials) == 0 {
		return nil
	}
	l, err := nfslab.Boot(ctx, nfslab.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	c.say("booted")("%s", trial.Versions(ctx, l))
	for _, do := range trials {
		err = errors.Join(err, do(l))
	}
	return err
}

func (c *court) try(ctx context.Context, l *nfslab.Lab, name trialName, m nfslab.HostConfig, f trial.Form) error {
	t, err := trial.Run(ctx, l, trial.Config{Name: "nfs-" + string(name), Binary: c.binary, Mount: m, Form: f, Keep: c.keep, Say: c.say(string(name))})
	c.report(t, err)
	if err != nil {
		return fmt.Errorf("trial %s: %w", name, err)
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
