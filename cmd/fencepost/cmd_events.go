package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/show"
	"fencepost/spool"
)

// eventsFilter says which events are wanted.
type eventsFilter struct {
	since  time.Duration
	host   string
	events []string
	all    bool
	limit  int
	lines  bool
}

// eventDoc is an event of any job, or of none.
type eventDoc struct {
	Job string `json:"job"` // "" if it is of none
	traceEvent
}

// maxEvents bounds what is kept: the newest stay.
const maxEvents = 100_000

func newEventsCmd(g *globals) *cobra.Command {
	var f eventsFilter
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show what happened beside the daily round: of all hosts, by time",
		Long: "events merges the journals of all hosts, the oldest first, and leaves out what every job goes\n" +
			"through: what is left is who started and stopped, what was taken back, set aside, lost or found,\n" +
			"and what persons did. --all leaves out nothing, --event names what is wanted. Each time is that of\n" +
			"its host's clock: across hosts the order is by these, and no proof; trace has the causal order of\n" +
			"one job.",
		Example: "  fencepost events --since 12h\n  fencepost events --event vanished --event canary-taken --since 720h\n" +
			"  fencepost events --host alpha --all --since 10m",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return g.events(cmd, f) },
	}
	cmd.Flags().DurationVar(&f.since, "since", 24*time.Hour, "look back for `DURATION`; 0 = for ever")
	cmd.Flags().StringVar(&f.host, "host", "", "only events of `HOST`, or of commands that ran there")
	cmd.Flags().StringSliceVar(&f.events, "event", nil, "only events of this `NAME`; may be repeated")
	cmd.Flags().BoolVar(&f.all, "all", false, "also what every job goes through")
	cmd.Flags().IntVar(&f.limit, "limit", 0, "at most `N` events, the newest (default all)")
	cmd.Flags().BoolVar(&f.lines, "jsonl", false, "print one JSON document a line and event")
	_ = cmd.RegisterFlagCompletionFunc("host", g.completeHostFlag)
	return cmd
}

func (f eventsFilter) check(cmd *cobra.Command) error {
	switch {
	case f.since < 0:
		return usagef(cmd, "--since %s is negative", f.since)
	case f.limit < 0:
		return usagef(cmd, "--limit %d is negative", f.limit)
	}
	return nil
}

// routine are the events that every job goes through, or many do.
func routine(event string) bool {
	switch event {
	case spool.EvAccepted, spool.EvDone, spool.EvAdopting, spool.EvAdopted:
		return true
	}
	return eventLevel(event) < zerolog.InfoLevel
}

func (f eventsFilter) wants(e spool.Event, from time.Time) bool {
	switch {
	case f.since > 0 && e.Time.Before(from):
		return false
	case f.host != "" && e.Host != f.host && e.Host != spool.CommandHost(f.host):
		return false
	case len(f.events) > 0:
		return contains(f.events, e.Event)
	}
	return f.all || !routine(e.Event)
}

func (g *globals) events(cmd *cobra.Command, f eventsFilter) error {
	if err := f.check(cmd); err != nil {
		return err
	}
	found, err := onSpool(g, cmd, func(_ context.Context, s *share) ([]eventDoc, error) { return takeEvents(s, f) })
	if err != nil {
		return err
	}
	total := len(found)
	if f.limit > 0 && total > f.limit {
		found = found[total-f.limit:]
		fmt.Fprintf(g.stderr, "the last %d of %d events\n", f.limit, total)
	}
	if f.lines {
		return show.JSONLines(g.stdout, "event", slices.Values(found))
	}
	return g.print("events", map[string]any{"events": found, "total": total}, func(o *show.Out) {
		t := o.Table("TIME", "HOST", "EPOCH", "EVENT", "JOB", "STAGE", "RESULT")
		for _, e := range found {
			severity := show.Fine
			if eventLevel(e.Event) > zerolog.InfoLevel {
				severity = show.Warn
			}
			t.MarkedRow(severity, e.Time, e.Host, fmt.Sprint(e.Epoch), e.Event, dash(e.Job), dash(e.Stage), dash(e.result()))
		}
		t.End()
		if total == 0 {
			o.Note("nothing but the daily round: --all shows that")
		}
	})
}

// takeEvents reads all journals. The routine events are most of what is there, so
// that their lines are told by their beginning, and not parsed.
func takeEvents(s *share, f eventsFilter) ([]eventDoc, error) {
	var found []spool.Event
	from := s.Env.Wall().Add(-f.since)
	err := s.Events(func(line []byte) bool { return f.all || !routine(eventOf(line)) || len(f.events) > 0 }, func(e spool.Event) {
		if !f.wants(e, from) {
			return
		}
		if found = append(found, e); len(found) >= 2*maxEvents {
			found = newest(found)
		}
	})
	out := []eventDoc{}
	for _, e := range newest(found) {
		out = append(out, eventDoc{e.Job, newTraceEvent(e)})
	}
	return out, err
}

// newest sorts by time, and keeps the last.
func newest(all []spool.Event) []spool.Event {
	slices.SortStableFunc(all, func(a, b spool.Event) int {
		return cmp.Or(a.Time.Compare(b.Time), strings.Compare(a.Host, b.Host), cmp.Compare(a.N, b.N))
	})
	return all[max(0, len(all)-maxEvents):]
}

// eventOf is the event's name in a raw line, "" if it can't be told.
func eventOf(line []byte) string {
	const key = `"event":"`
	_, rest, _ := strings.Cut(string(line[:min(len(line), 200)]), key)
	name, _, ok := strings.Cut(rest, `"`)
	if !ok {
		return ""
	}
	return name
}
