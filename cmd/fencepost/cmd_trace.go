package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/show"
	"fencepost/spool"
)

// stateVanished is said of a job that passed the gate and that three looks
// didn't find.
const stateVanished = "vanished"

// stateRemoved is said of one whose records were removed, long after its end: the
// journals are all that there is of it.
const stateRemoved = "removed"

// traceDoc is the life of a job.
type traceDoc struct {
	Job    string       `json:"job"`
	Name   string       `json:"name"` // that who sent it gave it; "" if it can't be read
	Owner  string       `json:"owner"`
	State  string       `json:"state"`
	Where  *jobDoc      `json:"where"` // nil if it is nowhere
	Files  []string     `json:"files"` // all that there is of it: one, or two while it moves
	Events []traceEvent `json:"events"`
}

// traceEvent is one hop. Its time is by its host's clock: the order is not.
type traceEvent struct {
	Time    string  `json:"time"`
	Host    string  `json:"host"`
	Epoch   uint64  `json:"epoch"`
	Stage   string  `json:"stage"`
	Event   string  `json:"event"`
	Token   string  `json:"token"`
	Result  string  `json:"result"`
	Detail  string  `json:"detail"`
	Cluster string  `json:"cluster_id"`
	Gen     int     `json:"generation"`
	Faults  int     `json:"faults"`
	Seconds float64 `json:"seconds"`
	Version string  `json:"version"`
	Config  string  `json:"config_digest"`
}

func newTraceCmd(g *globals) *cobra.Command {
	lines := false
	cmd := &cobra.Command{
		Use:   "trace JOB",
		Short: "Show the life of a job: who had it, when, with what result",
		Long: "trace merges the journals of all hosts, one line a hop, in causal order: the hosts' clocks may\n" +
			"differ, so the times needn't grow. Below it stands who took the job when, and where it is now.\n" +
			"JOB is any unique beginning of the id.",
		Example:           "  fencepost trace 01890a5d",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.completeJobs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			doc, err := onSpool(g, cmd, func(ctx context.Context, s *share) (*traceDoc, error) { return takeTrace(ctx, s, args[0]) })
			if err != nil {
				return err
			}
			if lines {
				return show.JSONLines(g.stdout, "event", slices.Values(doc.Events))
			}
			return g.print("trace", doc, func(o *show.Out) { printTrace(o, doc) })
		},
	}
	cmd.Flags().BoolVar(&lines, "jsonl", false, "print one JSON document a line and event")
	return cmd
}

// resolve finds the job that prefix names. A whole id needs no listing.
func resolve(s *share, prefix string) (string, error) {
	if prefix == "" {
		return "", usagef(nil, "which job? an empty id names any")
	}
	if spool.ValidID(prefix) {
		if _, err := s.FS.Identify(spool.GatePath(prefix)); err == nil {
			return prefix, nil
		}
	}
	id, err := s.Resolve(prefix)
	return id, notFound(s, prefix, err)
}

// locate finds a job's files. A job may move between two listings, so that
// finding nothing counts only the third time.
func locate(ctx context.Context, s *share, id string) ([]spool.Found, error) {
	for try := 0; ; try++ {
		found, err := s.Locate(id)
		if err != nil || len(found) > 0 || try == 2 {
			return found, err
		}
		if err := s.Env.Sleep(ctx, 200*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

func takeTrace(ctx context.Context, s *share, prefix string) (*traceDoc, error) {
	id, err := resolve(s, prefix)
	if err != nil {
		return traceRemoved(s, prefix, err)
	}
	events, err := s.Trace(id)
	if err != nil {
		return nil, err
	}
	found, err := locate(ctx, s, id)
	if err != nil {
		return nil, err
	}
	d := &traceDoc{Job: id, State: stateVanished, Files: []string{}, Events: []traceEvent{}}
	d.Name, d.Owner = cardOf(s, id)
	for _, f := range found {
		d.Files = append(d.Files, f.Path)
	}
	if len(found) > 0 {
		where := newJobDoc(spool.Furthest(found))
		d.Where, d.State = &where, where.State
	}
	for _, e := range events {
		d.Events = append(d.Events, newTraceEvent(e))
	}
	return d, nil
}

// errRemoved is of a job that isn't in the gate, and whose id is of a time that is closed.
var errRemoved = fmt.Errorf("%w any more", spool.ErrNotFound)

// notFound says of what isn't in the gate whether its records may have been removed.
func notFound(s *share, prefix string, err error) error {
	if !errors.Is(err, spool.ErrNotFound) {
		return err
	}
	ret, rerr := s.Retained()
	switch {
	case rerr != nil:
		return errors.Join(err, rerr)
	case ret.Closed == "":
		return err
	case spool.ValidID(prefix) && !ret.IsClosed(prefix):
		return err
	}
	err = fmt.Errorf("%w: %s; records of ids made before %s are removed when all jobs of their time have ended", errRemoved, prefix, stamp(spool.BucketEnd(ret.Closed)))
	return &exitError{code: exitNotFound, err: err, next: "fencepost trace, with the whole id, shows what the journals have of it"}
}

// traceRemoved is what the journals know of a job whose records were removed.
func traceRemoved(s *share, id string, err error) (*traceDoc, error) {
	if !errors.Is(err, errRemoved) || !spool.ValidID(id) {
		return nil, err
	}
	events, terr := s.Trace(id)
	if terr != nil || len(events) == 0 {
		return nil, errors.Join(err, terr)
	}
	d := &traceDoc{Job: id, State: stateRemoved, Files: []string{}, Events: []traceEvent{}}
	for _, e := range events {
		d.Events = append(d.Events, newTraceEvent(e))
	}
	return d, nil
}

func newTraceEvent(e spool.Event) traceEvent {
	return traceEvent{Time: stamp(e.Time), Host: e.Host, Epoch: e.Epoch, Stage: string(e.Stage),
		Event: e.Event, Token: e.Token, Result: e.Result, Detail: e.Detail, Cluster: e.Cluster, Gen: e.Gen, Faults: e.Faults,
		Seconds: e.Seconds, Version: e.Version, Config: e.Config}
}

func printTrace(o *show.Out, d *traceDoc) {
	t := o.Table("TIME", "HOST", "EPOCH", "STAGE", "EVENT", "TOKEN", "RESULT")
	for _, e := range d.Events {
		t.Row(e.Time, e.Host, fmt.Sprint(e.Epoch), dash(e.Stage), e.Event, dash(e.Token), dash(e.result()))
	}
	t.End()
	for _, text := range d.taken() {
		o.Cells(show.Fine, "taken", text)
	}
	o.Cells(d.severity(), d.State, d.sentence())
}

// taken says who took the job, when, and what became of it, a sentence a claim.
// The last events of a host that was killed are lost; but the claim's token stands
// in those of who went on.
func (d *traceDoc) taken() (out []string) {
	type claim struct{ token, stage string }
	first, last := map[claim]traceEvent{}, map[claim]traceEvent{}
	var order []claim
	for _, e := range d.Events {
		c := claim{e.Token, e.Stage}
		if e.Token == "" || e.Stage == string(spool.Ingest) {
			continue
		}
		if _, known := first[c]; !known {
			first[c] = e
			order = append(order, c)
		}
		last[c] = e
	}
	for _, c := range order {
		from, to := first[c], last[c]
		host, epoch := holder(c.token)
		text := fmt.Sprintf("for %s by host %s epoch %s", c.stage, host, epoch)
		switch {
		case from.Event != spool.EvClaimed:
			text += ", when isn't known: its journal doesn't have it"
		case to.Event == spool.EvClaimed:
			out = append(out, text+" at "+from.Time+", nothing since")
			continue
		default:
			text += " at " + from.Time
		}
		text += ", " + to.Event
		if to.Host != host || fmt.Sprint(to.Epoch) != epoch {
			text += fmt.Sprintf(" by host %s epoch %d", to.Host, to.Epoch)
		}
		out = append(out, text+" at "+to.Time)
	}
	return out
}

// holder is whose claim a token is.
func holder(token string) (host, epoch string) {
	host, rest, _ := strings.Cut(token, "/")
	epoch, _, _ = strings.Cut(rest, "/")
	return host, epoch
}

// words are what the event itself says.
func (e traceEvent) words() string {
	return strings.Trim(e.Result+", "+e.Detail, ", ")
}

// result is what a hop led to, in one cell.
func (e traceEvent) result() string {
	var out string
	add := func(s string) {
		if s != "" && out != "" {
			out += ", "
		}
		out += s
	}
	add(e.Result)
	if e.Cluster != "" {
		add("cluster id " + e.Cluster)
	}
	add(e.Detail)
	if e.Gen > 0 || e.Faults > 0 {
		add(fmt.Sprintf("generation %d", e.Gen))
	}
	if e.Faults > 0 {
		add(fmt.Sprintf("faults %d", e.Faults))
	}
	return out
}

func (d *traceDoc) severity() show.Severity {
	switch d.State {
	case stateVanished:
		return show.Bad
	case string(spool.PlaceParked), string(spool.PlaceFailed):
		return show.Warn
	}
	return show.Fine
}

// sentence is the last line: where the job is now.
func (d *traceDoc) sentence() string {
	w := d.Where
	if d.State == stateRemoved {
		return "job " + d.Job + ": its records were removed, long after its end; the journals are all that there is of it"
	}
	if w == nil {
		return "job " + d.Job + named(d.Name, d.Owner) + " passed the gate and is nowhere: fencepost audit looks again"
	}
	out := "job " + d.Job + named(d.Name, d.Owner) + ", stage " + w.Stage
	if w.Host != "" {
		out += fmt.Sprintf(", host %s epoch %d", w.Host, w.Epoch)
	}
	if w.Cluster != "" {
		out += ", cluster id " + w.Cluster
	}
	return out + ", file " + w.Path
}
