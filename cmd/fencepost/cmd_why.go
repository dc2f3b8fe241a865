package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/show"
	"fencepost/lease"
	"fencepost/spool"
)

// whyDoc says what stands between a job and its next step.
type whyDoc struct {
	Job     string      `json:"job"`
	State   string      `json:"state"`
	Moves   bool        `json:"moves"` // nothing is in its way
	Gates   []gateDoc   `json:"gates"` // in order
	Reasons []whyReason `json:"reasons"`
}

// gateDoc is one condition.
type gateDoc struct {
	Gate   string `json:"gate"`
	Pass   bool   `json:"pass"`
	Detail string `json:"detail"`
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
		Long: "why checks, in order, each condition for the next step of a job, and says which one holds it\n" +
			"up. For a job that was set aside it shows the reasons. It always exits with 0 if there is the job.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.completeJobs,
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
	return takeWhyWith(ctx, s, prefix, lookAtHosts)
}

func takeWhyWith(ctx context.Context, s *share, prefix string, look hostsOf) (*whyDoc, error) {
	id, err := resolve(s, prefix)
	if err != nil {
		return nil, err
	}
	found, err := locate(ctx, s, id)
	if err != nil {
		return nil, err
	}
	d := &whyDoc{Job: id, State: stateVanished, Reasons: []whyReason{}}
	d.gate("accepted", true, "it passed the gate")
	if len(found) == 0 {
		d.gate("on disk", false, "it is nowhere: fencepost audit looks again")
		return d, nil
	}
	at := spool.Furthest(found)
	d.State = string(at.Place)
	d.gate("on disk", true, "%s", at.Path)
	hosts, err := look(ctx, s, nil)
	if err != nil {
		return nil, err
	}
	requests, err := s.FS.List(spool.DirRequests)
	if err != nil {
		return nil, err
	}
	d.place(s, at, hosts, requests)
	d.Moves = !slices.ContainsFunc(d.Gates, func(g gateDoc) bool { return !g.Pass })
	return d, nil
}

func (d *whyDoc) gate(name string, pass bool, format string, args ...any) {
	d.Gates = append(d.Gates, gateDoc{name, pass, fmt.Sprintf(format, args...)})
}

// place adds the gates of the place that a job is in.
func (d *whyDoc) place(s *share, at spool.Found, hosts []hostDoc, requests []string) {
	switch at.Place {
	case spool.PlaceDone:
		d.gate("finished", true, "the cluster has it: cluster id %s", dash(at.Name.Cluster))
	case spool.PlaceHandedOver:
		d.gate("handed over", true, "the foreign program that does stage %s has it: %s", at.Name.Stage, at.Name.Cluster)
	case spool.PlaceHeld:
		d.gate("not held", false, "a person holds it, until it is released")
	case spool.PlaceParked:
		d.readWhy(s, spool.DirParked)
		d.gate("not parked", false, "its outcome is unclear: a person decides")
	case spool.PlaceFailed:
		d.readWhy(s, spool.DirFailed)
		d.gate("not failed", false, "it failed: a person may put it back")
	case spool.PlaceWaiting:
		d.waiting(at, hosts)
	default:
		d.owned(at, hosts)
	}
	for _, kind := range []string{"hold", "cancel"} {
		if contains(requests, path.Base(spool.RequestPath(kind, d.Job))) {
			d.gate("no request", false, "a person asked to %s it: honoured at its next step", kind)
		}
	}
}

func (d *whyDoc) waiting(at spool.Found, hosts []hostDoc) {
	stage := string(at.Name.Stage)
	var takers, others []string
	for _, h := range hosts {
		switch {
		case h.takes(stage):
			takers = append(takers, h.Host)
		case contains(h.Stages, stage):
			others = append(others, h.Host+" is "+h.State+": "+dash(h.Reason))
		}
	}
	detail := "taken by " + strings.Join(takers, ", ")
	if len(takers) == 0 {
		detail = "no live host takes " + stage
		if len(others) > 0 {
			detail += "; " + strings.Join(others, "; ")
		}
	}
	d.gate("a host", len(takers) > 0, "%s", detail)
	if back := spool.Backoff(at.Name.Gen); back > 0 {
		d.gate("back-off", true, "try %d: taken %s after a host first sees it", at.Name.Gen+1, back.Round(time.Second))
	}
}

// takes says whether a host takes work of a stage now.
func (h hostDoc) takes(stage string) bool {
	alive := h.State == string(lease.Live) || h.State == string(lease.Unfit)
	return alive && !h.Draining && contains(h.Stages, stage) && !contains(h.Unfit, stage)
}

// owned is for what a host has in hand.
func (d *whyDoc) owned(at spool.Found, hosts []hostDoc) {
	i := slices.IndexFunc(hosts, func(h hostDoc) bool { return h.Host == at.Name.Host })
	if i < 0 {
		d.gate("its host", false, "host %s epoch %d has it and is not there: another host takes it back", at.Name.Host, at.Name.Epoch)
		return
	}
	h := hosts[i]
	alive := (h.State == string(lease.Live) || h.State == string(lease.Unfit)) && h.Epoch == at.Name.Epoch
	detail := fmt.Sprintf("host %s epoch %d has it and is %s", h.Host, at.Name.Epoch, h.State)
	if !alive {
		detail += fmt.Sprintf(" (epoch %d now): it or another host takes it back", h.Epoch)
	}
	d.gate("its host", alive, "%s", detail)
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

func printWhy(o *show.Out, d *whyDoc) {
	t := o.Table("GATE", "PASS", "DETAIL")
	for _, g := range d.Gates {
		severity := show.Fine
		if !g.Pass {
			severity = show.Bad
		}
		t.MarkedRow(severity, g.Gate, yes(g.Pass), g.Detail)
	}
	t.End()
	for _, r := range d.Reasons {
		o.Cells(show.Fine, "reason", r.Time, r.Host, r.Event, r.Reason)
	}
	o.Cells(show.Fine, d.State, "job "+d.Job)
}
