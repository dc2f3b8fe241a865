package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/show"
	"fencepost/lease"
	"fencepost/spool"
)

// statusApart is the time between the looks for a job that seems to be nowhere:
// audit takes a lease time.
const statusApart = time.Second

// statusDoc is the whole picture.
type statusDoc struct {
	Spool      string         `json:"spool"`
	SpoolID    string         `json:"spool_id"`
	OK         bool           `json:"ok"` // nothing needs a person now
	Accepted   int            `json:"accepted"`
	Accepting  int            `json:"accepting"`
	Waiting    map[string]int `json:"waiting"`
	Claimed    int            `json:"claimed"`
	Sealed     int            `json:"sealed"`
	Held       int            `json:"held"`
	Parked     int            `json:"parked"`
	Failed     int            `json:"failed"`
	Done       int            `json:"done"`
	HandedOver int            `json:"handed_over"`
	Hosts      []hostDoc      `json:"hosts"`
	Intruders  int            `json:"intruders"`
	Foreign    int            `json:"foreign_files"`
	Vanished   int            `json:"vanished"`
	Duplicated int            `json:"duplicated"`
	Lost       []lostDoc      `json:"vanished_jobs"`
	Alarms     []alarmDoc     `json:"alarms"`
	Problems   []problem      `json:"problems"`

	intruders []intruderDoc
	doubled   []string
	depths    []depthOf
}

// problem is something that a person should know.
type problem struct {
	Code string `json:"code"`
	Text string `json:"text"`
	Exit int    `json:"exit"` // 0 = only to know, 4 = degraded, 5 = unsafe
	Next string `json:"next"` // the first command
}

func newStatusCmd(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show whether all is well, and what isn't",
		Long: "status counts the jobs at each place and looks at each host. Exit 0: nothing needs a person\n" +
			"now. Exit 4: degraded: a host is silent, unfit, or was fenced by another, or work waits that no\n" +
			"live host takes.\n" +
			"Exit 5: unsafe: a job vanished or is there twice, or an intruder was refused. Parked and\n" +
			"failed jobs are shown and wait for a person, but don't change the exit code.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			doc, err := onSpool(g, cmd, takeStatus)
			if err != nil {
				return err
			}
			if err := g.print("status", doc, func(o *show.Out) { printStatus(o, doc) }); err != nil {
				return err
			}
			return doc.exit()
		},
	}
}

// takeStatus counts and looks at the hosts at the same time: a heartbeat takes
// as long to see as a hundred thousand files to list.
func takeStatus(ctx context.Context, s *share) (*statusDoc, error) {
	return takeStatusWith(ctx, s, glanceAtHosts)
}

// hostsOf looks at the hosts.
type hostsOf func(ctx context.Context, s *share, claims map[string]int) ([]hostDoc, error)

func takeStatusWith(ctx context.Context, s *share, look hostsOf) (*statusDoc, error) {
	type counted struct {
		c   *census
		err error
	}
	counting := make(chan counted, 1)
	go func() {
		c, err := takeCensus(ctx, s, statusApart)
		counting <- counted{c, err}
	}()
	hosts, herr := look(ctx, s, nil)
	got := <-counting
	if herr != nil || got.err != nil {
		return nil, firstOf(got.err, herr)
	}
	c := got.c
	for i := range hosts {
		hosts[i].Claims = c.claims[hosts[i].Host]
	}
	d := &statusDoc{Spool: s.Dir, SpoolID: s.ID, Accepted: c.accepted, Waiting: map[string]int{},
		Accepting: c.places[spool.PlaceAccepting], Claimed: c.places[spool.PlaceClaimed], Sealed: c.places[spool.PlaceSealed],
		Held: c.places[spool.PlaceHeld], Parked: c.places[spool.PlaceParked], Failed: c.places[spool.PlaceFailed],
		Done: c.places[spool.PlaceDone], HandedOver: c.places[spool.PlaceHandedOver], Hosts: hosts, Vanished: len(c.vanished), Duplicated: len(c.doubled),
		doubled: c.doubled, depths: c.depths, Problems: []problem{}}
	for _, stage := range spool.Stages() {
		d.Waiting[string(stage)] = c.waiting[stage]
	}
	var err error
	if d.intruders, err = takeIntruders(s); err != nil {
		return nil, err
	}
	if d.Alarms, err = takeAlarms(s); err != nil {
		return nil, err
	}
	d.Intruders = len(unresolved(d.intruders)) + len(takenCanaries(d.Alarms))
	// What the journals can't say, the count says all the same.
	d.Lost, _ = lastSeen(s, c.vanished)
	foreign, err := foreignFiles(s)
	if err != nil {
		return nil, err
	}
	d.Foreign = len(foreign)
	d.judge()
	return d, nil
}

// judge fills in Problems, the worst first, and OK.
func (d *statusDoc) judge() {
	add := func(exit int, code, next, format string, args ...any) {
		d.Problems = append(d.Problems, problem{Code: code, Text: fmt.Sprintf(format, args...), Exit: exit, Next: next})
	}
	if d.Vanished > 0 {
		add(exitUnsafe, "vanished", "fencepost audit --recover", "%d accepted and nowhere: %s", d.Vanished, someLost(d.Lost))
	}
	if d.Duplicated > 0 {
		add(exitUnsafe, "duplicated", "fencepost audit", "%d in two places: %s", d.Duplicated, some(d.doubled))
	}
	for _, in := range unresolved(d.intruders) {
		add(exitUnsafe, "intruder", "fencepost intruders", "host %s, machine %s, was refused %d times, last at %s: %s",
			in.Host, in.Machine, in.Count, in.Last, in.Reason)
	}
	for _, a := range takenCanaries(d.Alarms) {
		add(exitUnsafe, "canary", "fencepost intruders", "a foreign program takes files of stage %s: %d times, last at %s: %s",
			a.Stage, a.Count, a.Last, a.Detail)
	}
	for _, h := range d.Hosts {
		exit := exitDegraded
		switch lease.State(h.State) {
		case lease.Fenced:
			if h.ByPerson {
				exit = exitOK // somebody knows
			}
		case lease.Silent, lease.Unfit:
		default:
			continue
		}
		add(exit, h.State, "fencepost hosts", "host %s is %s: %s", h.Host, h.State, orNone(h.Reason))
	}
	for _, stage := range stageWords() {
		if n := d.Waiting[stage]; n > 0 && !d.served(stage) {
			add(exitDegraded, "unserved", "fencepost hosts", "%d wait for %s, and no live host takes them", n, stage)
		}
	}
	if digests := d.digests(); len(digests) > 1 {
		add(exitOK, "config", "fencepost config show", "live hosts differ in settings that all should share: %s", strings.Join(digests, ", "))
	}
	if d.Foreign > 0 {
		add(exitOK, "foreign", "fencepost intruders", "%d files of others were in the way and were put into %s", d.Foreign, spool.DirForeign)
	}
	if d.Parked > 0 {
		add(exitOK, "parked", "fencepost jobs --state parked", "%d parked: a person decides", d.Parked)
	}
	if d.Failed > 0 {
		add(exitOK, "failed", "fencepost jobs --state failed", "%d failed", d.Failed)
	}
	d.OK = !slices.ContainsFunc(d.Problems, func(p problem) bool { return p.Exit != exitOK })
}

// served says whether a live host takes work of a stage.
func (d *statusDoc) served(stage string) bool {
	return slices.ContainsFunc(d.Hosts, func(h hostDoc) bool { return h.takes(stage) })
}

// digests are those of live hosts, each with the hosts that have it.
func (d *statusDoc) digests() []string {
	hosts := map[string][]string{}
	for _, h := range d.Hosts {
		if h.State == string(lease.Live) || h.State == string(lease.Unfit) {
			hosts[h.Config] = append(hosts[h.Config], h.Host)
		}
	}
	var out []string
	for digest, who := range hosts {
		out = append(out, orNone(digest)+" on "+strings.Join(who, " "))
	}
	slices.Sort(out)
	return out
}

// exit is the verdict; the problems were printed already.
func (d *statusDoc) exit() error {
	worst := exitOK
	for _, p := range d.Problems {
		worst = max(worst, p.Exit)
	}
	if worst == exitOK {
		return nil
	}
	return &exitError{code: worst}
}

func printStatus(o *show.Out, d *statusDoc) {
	word, severity := "ok", show.Fine
	if err := d.exit(); err != nil {
		word, severity = "DEGRADED", show.Warn
		if exitCode(err) == exitUnsafe {
			word, severity = "UNSAFE", show.Bad
		}
	}
	o.Cells(severity, word, "spool "+d.Spool)
	for _, p := range d.Problems {
		kind, severity := "note", show.Fine
		switch p.Exit {
		case exitDegraded:
			kind, severity = "degraded", show.Warn
		case exitUnsafe:
			kind, severity = "unsafe", show.Bad
		}
		o.Cells(severity, kind, p.Text, "("+p.Next+")")
	}
	o.Gap()
	t := o.Table("PLACE", "JOBS")
	for _, stage := range stageWords() {
		t.Row("waiting for "+stage, itoa(d.Waiting[stage]))
	}
	for _, r := range []struct {
		what string
		n    int
	}{{"accepting", d.Accepting}, {"claimed", d.Claimed}, {"sealed", d.Sealed}, {"held", d.Held}, {"parked", d.Parked},
		{"failed", d.Failed}, {"done", d.Done}, {"handed over", d.HandedOver}, {"vanished", d.Vanished}, {"duplicated", d.Duplicated}} {
		if r.n > 0 || r.what != "handed over" { // few spools have such
			t.Row(r.what, itoa(r.n))
		}
	}
	t.End()
	o.Gap()
	printHosts(o, d.Hosts)
}
