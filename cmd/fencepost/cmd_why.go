package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/show"
	"fencepost/codec"
	"fencepost/spool"
)

// whyDoc says what stands between a job and its next step.
type whyDoc struct {
	Job     string      `json:"job"`
	Name    string      `json:"name"` // that who sent it gave it; "" if it can't be read
	Owner   string      `json:"owner"`
	State   string      `json:"state"`
	Stage   string      `json:"stage"`   // "" if it is nowhere
	Moves   bool        `json:"moves"`   // no gate stops it
	Verdict string      `json:"verdict"` // the whole in a sentence
	Next    string      `json:"next"`    // the first command; "" = nothing is to be done
	Last    *traceEvent `json:"last"`    // what happened last; nil if no journal has anything
	Gates   []gateDoc   `json:"gates"`   // in order
	Reasons []whyReason `json:"reasons"`
}

// gateDoc is one condition.
type gateDoc struct {
	Gate   string `json:"gate"`
	Pass   bool   `json:"pass"`
	Waits  bool   `json:"waits"` // it doesn't pass yet, and will by itself
	Detail string `json:"detail"`
	Next   string `json:"next"` // what to do; "" = nothing
}

// word is pass, wait or stop.
func (g gateDoc) word() string {
	switch {
	case g.Pass:
		return "pass"
	case g.Waits:
		return "wait"
	}
	return "stop"
}

// whyReason is one entry of ID.why.json.
type whyReason struct {
	Time   string `json:"time"`
	Host   string `json:"host"`
	Event  string `json:"event"`
	Reason string `json:"reason"`
	Token  string `json:"token"`
}

func newWhyCmd(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "why JOB",
		Short: "Show what stands between a job and its next step",
		Long: "why checks, in order, each gate between a job and its next step: pass, wait (it opens by itself) or\n" +
			"stop (it doesn't). The last line says which one counts, and what to do first. For a job that was\n" +
			"set aside it shows the reasons. JOB is any unique beginning of the id. It always exits with 0 if\n" +
			"there is the job.",
		Example:           "  fencepost why 01890a5d",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.completeJobs(notDone[:]...),
		RunE: func(cmd *cobra.Command, args []string) error {
			doc, err := onSpool(g, cmd, func(ctx context.Context, s *share) (*whyDoc, error) { return takeWhy(ctx, s, args[0]) })
			if err != nil {
				return err
			}
			return g.print("why", doc, func(o *show.Out) { printWhy(o, doc) })
		},
	}
}

func takeWhy(ctx context.Context, s *share, prefix string) (*whyDoc, error) {
	return takeWhyWith(ctx, s, prefix, glanceAtHosts)
}

func takeWhyWith(ctx context.Context, s *share, prefix string, look hostsOf) (*whyDoc, error) {
	id, err := resolve(s, prefix)
	if err != nil {
		return nil, err
	}
	f, err := whyFactsOf(ctx, s, id, look)
	if err != nil {
		return nil, err
	}
	d := &whyDoc{Job: id, State: stateVanished, Reasons: []whyReason{}}
	d.Name, d.Owner = cardOf(s, id)
	if f.at != nil {
		d.State, d.Stage = string(f.at.Place), string(f.at.Name.Stage)
		switch f.at.Place {
		case spool.PlaceHeld:
			d.readWhy(s, spool.DirHeld)
		case spool.PlaceParked:
			d.readWhy(s, spool.DirParked)
		case spool.PlaceFailed:
			d.readWhy(s, spool.DirFailed)
		}
	}
	f.told = len(d.Reasons) > 0
	d.Gates = f.gates()
	if n := len(f.events); n > 0 {
		last := newTraceEvent(f.events[n-1])
		d.Last = &last
	}
	d.conclude()
	return d, nil
}

// whyFactsOf gathers what the gates are judged by.
func whyFactsOf(ctx context.Context, s *share, id string, look hostsOf) (*whyFacts, error) {
	found, err := locate(ctx, s, id)
	if err != nil {
		return nil, err
	}
	f := &whyFacts{id: id, now: s.Env.Wall(), limits: s.Limits}
	f.events, _ = s.Trace(id) // they explain; the names decide
	if len(found) == 0 {
		seen, _ := s.LastSeen([]string{id})
		f.lastSeen = seen[id].Text
		return f, nil
	}
	at := spool.Furthest(found)
	f.at = &at
	if f.hosts, err = look(ctx, s, nil); err != nil {
		return nil, err
	}
	requests, err := s.FS.List(spool.DirRequests)
	if err != nil {
		return nil, err
	}
	for _, kind := range []string{spool.RequestHold, spool.RequestCancel} {
		if contains(requests, path.Base(spool.RequestPath(kind, id))) {
			f.asked = append(f.asked, kind)
		}
	}
	if at.Place == spool.PlaceWaiting {
		f.exit, err = exitOf(s, at)
	}
	return f, err
}

// The exit gate of a job, for its entry.
const (
	exitFree  = "free"
	exitOwn   = "own"   // linked by an earlier try of this entry
	exitOther = "other" // another file of this id has it
)

// exitOf looks at the exit gate of a job that waits.
func exitOf(s *share, at spool.Found) (string, error) {
	if at.Name.Stage != spool.Submit {
		return "", nil
	}
	once, err := s.FS.Identify(spool.OncePath(at.Name.Stage, at.Name.ID))
	if isMissing(err) {
		return exitFree, nil
	}
	if err != nil {
		return "", err
	}
	own, err := s.FS.Identify(at.Path)
	if isMissing(err) || errors.Is(err, syscall.ESTALE) {
		return "", nil // it has moved on meanwhile
	}
	if own == once {
		return exitOwn, err
	}
	return exitOther, err
}

func (d *whyDoc) readWhy(s *share, dir string) {
	data, _, err := s.FS.Read(path.Join(dir, spool.WhyName(d.Job)), 1<<20)
	var rec spool.WhyRecord
	if err != nil || json.Unmarshal(data, &rec) != nil {
		return // it explains; the name decides
	}
	for _, w := range rec.Why {
		d.Reasons = append(d.Reasons, whyReason{stamp(w.Time), w.Host, w.Event, w.Reason, w.Token})
	}
}

// conclude says the whole in a sentence: the first gate that stops it counts, or
// else the first that waits.
func (d *whyDoc) conclude() {
	var first *gateDoc
	for i := range d.Gates {
		g := &d.Gates[i]
		if !g.Pass && (first == nil || first.Waits && !g.Waits) {
			first = g
		}
	}
	d.Moves = first == nil || first.Waits
	switch {
	case d.State == string(spool.PlaceDone):
		d.Verdict = "it is done: " + d.Gates[len(d.Gates)-1].Detail
	case first == nil:
		d.Verdict = "nothing is in its way"
	case first.Waits:
		d.Verdict, d.Next = "it goes on by itself: "+first.Detail, first.Next
	default:
		d.Verdict, d.Next = "it stands at \""+first.Gate+"\": "+first.Detail, first.Next
		if n := len(d.Reasons); n > 0 {
			d.Verdict += ": " + d.Reasons[n-1].Reason
		}
	}
}

func printWhy(o *show.Out, d *whyDoc) {
	t := o.Table("GATE", "PASS", "DETAIL")
	for _, g := range d.Gates {
		severity := show.Fine
		if !g.Pass && !g.Waits {
			severity = show.Bad
		}
		t.MarkedRow(severity, g.Gate, map[string]string{"pass": "yes", "wait": "wait", "stop": "no"}[g.word()], g.Detail)
	}
	t.End()
	for _, r := range d.Reasons {
		o.Cells(show.Fine, "reason", r.Time, r.Host, r.Event, r.Reason)
	}
	if e := d.Last; e != nil && len(d.Reasons) == 0 {
		o.Cells(show.Fine, "last", e.Time, fmt.Sprintf("%s by host %s epoch %d", e.Event, e.Host, e.Epoch), dash(e.result()))
	}
	severity := show.Fine
	if !d.Moves && d.State != string(spool.PlaceDone) {
		severity = show.Bad
	}
	last := []string{"job " + d.Job + named(d.Name, d.Owner), d.Verdict}
	if d.Next != "" {
		last = append(last, "("+d.Next+")")
	}
	o.Cells(severity, d.State, last...)
}

// maxCard bounds what is read of a job to learn its name.
const maxCard = 16 << 20

// cardOf is the name and owner of a job, as the file that the gate keeps says;
// empty if it can't be read: they are for people.
func cardOf(s *share, id string) (name, owner string) {
	data, _, err := s.FS.Read(spool.GatePath(id), maxCard)
	if err != nil {
		return "", ""
	}
	rec, err := codec.DecodeXML(data)
	if err != nil {
		return "", ""
	}
	return rec.Job.Name, rec.Job.Owner
}

// named says how people call a job, for the line that says where it is.
func named(name, owner string) string {
	switch {
	case name == "":
		return ""
	case owner == "":
		return fmt.Sprintf(" (%s)", name)
	}
	return fmt.Sprintf(" (%s, of %s)", name, owner)
}

// agoOf is how long ago an event was, as people say it: by two hosts' clocks.
func agoOf(now, at time.Time) string {
	return "about " + strings.TrimPrefix(human(max(now.Sub(at), 0).Seconds()), "-") + " ago"
}
