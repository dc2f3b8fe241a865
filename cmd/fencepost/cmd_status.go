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
	LastDay    dayDoc         `json:"last_day"`
	Hosts      []hostDoc      `json:"hosts"`
	Intruders  int            `json:"intruders"`
	Foreign    int            `json:"foreign_files"`
	Vanished   int            `json:"vanished"`
	Duplicated int            `json:"duplicated"`
	Lost       []lostDoc      `json:"vanished_jobs"`
	Alarms     []alarmDoc     `json:"alarms"`
	Problems   []problem      `json:"problems"`

	at        time.Time // of the look
	intruders []intruderDoc
	census    *census
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
	var f liveFlags
	watch := false
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show whether all is well, and what isn't",
		Long: "status counts the jobs at each place and looks at each host. Exit 0: nothing needs a person\n" +
			"now. Exit 4: degraded: a host is silent, unfit, or was fenced by another, or work waits that no\n" +
			"live host takes.\n" +
			"Exit 5: unsafe: a job vanished or is there twice, or an intruder was refused. Parked and\n" +
			"failed jobs are shown and wait for a person, but don't change the exit code.\n\n" +
			"With --watch it looks again and again, until Ctrl-C or q; without a terminal it prints one line\n" +
			"a look, with --jsonl one document.",
		Example: "  fencepost status\n  fencepost status --watch\n  fencepost status --watch --interval 1m --jsonl >>status.jsonl",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !watch {
				if cmd.Flags().Changed("interval") || cmd.Flags().Changed("count") {
					return usagef(cmd, "--interval and --count belong to --watch")
				}
				f.count = 1
			}
			return g.status(cmd, f, watch)
		},
	}
	f.bind(cmd)
	cmd.Flags().BoolVar(&watch, "watch", false, "look again and again")
	return cmd
}

func (g *globals) status(cmd *cobra.Command, f liveFlags, watch bool) error {
	if !watch && !f.lines {
		doc, err := onSpool(g, cmd, takeStatus)
		if err != nil {
			return err
		}
		if err := g.print("status", doc, func(o *show.Out) { printStatus(o, doc) }); err != nil {
			return err
		}
		return doc.exit()
	}
	if err := f.check(g, cmd); err != nil {
		return err
	}
	doc, ended, err := live(g, cmd, f, "status", takeStatusAgain(&settled{}), func(o *show.Out, d *statusDoc, first bool) {
		if !g.live {
			printStatusLine(o, d, first)
			return
		}
		o.Note("%s, every %s; q ends it", clockNow(), f.every)
		printStatus(o, d)
	})
	if err != nil || ended {
		return err
	}
	return doc.exit()
}

// clockNow is this machine's time, as people read it.
func clockNow() string { return time.Now().UTC().Format("2006-01-02 15:04:05 UTC") }

// printStatusLine is a look in one line.
func printStatusLine(o *show.Out, d *statusDoc, first bool) {
	if first {
		o.Cells(show.Fine, "TIME", "VERDICT", "ACCEPTED", "TRANSLATE", "SUBMIT", "CLAIMED", "SEALED", "HELD", "PARKED", "FAILED", "DONE",
			"VANISHED", "LIVE HOSTS", "WORST")
	}
	live, worst := 0, "-"
	for _, h := range d.Hosts {
		if h.alive() {
			live++
		}
	}
	if len(d.Problems) > 0 {
		worst = d.Problems[0].Text
	}
	word, severity := d.verdict()
	o.Cells(severity, stamp(time.Now().Truncate(time.Second)), word, itoa(d.Accepted), itoa(d.Waiting[string(spool.Translate)]),
		itoa(d.Waiting[string(spool.Submit)]), itoa(d.Claimed), itoa(d.Sealed), itoa(d.Held), itoa(d.Parked), itoa(d.Failed), itoa(d.Done),
		itoa(d.Vanished), fmt.Sprintf("%d/%d", live, len(d.Hosts)), worst)
}

// takeStatus counts and looks at the hosts at the same time: a heartbeat takes
// as long to see as a hundred thousand files to list.
func takeStatus(ctx context.Context, s *share) (*statusDoc, error) {
	return takeStatusWith(ctx, s, glanceAtHosts, &settled{})
}

// takeStatusAgain is for who looks again and again.
func takeStatusAgain(known *settled) func(context.Context, *share) (*statusDoc, error) {
	return func(ctx context.Context, s *share) (*statusDoc, error) {
		return takeStatusWith(ctx, s, glanceAtHosts, known)
	}
}

// hostsOf looks at the hosts.
type hostsOf func(ctx context.Context, s *share, claims map[string]int) ([]hostDoc, error)

func takeStatusWith(ctx context.Context, s *share, look hostsOf, known *settled) (*statusDoc, error) {
	type counted struct {
		c   *census
		err error
	}
	counting := make(chan counted, 1)
	go func() {
		c, err := takeCensus(ctx, s, statusApart, known)
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
		LastDay: c.day, at: s.Env.Wall(), census: c, doubled: c.doubled, depths: c.depths, Problems: []problem{}}
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
		add(exitUnsafe, "intruder", "fencepost intruders", "%s; refused %s, last at %s: %s",
			in.who(), plural(in.Count, "time"), in.Last, in.Reason)
	}
	for _, a := range takenCanaries(d.Alarms) {
		add(exitUnsafe, "canary", whoMounts, "a foreign program takes files of stage %s: %s, last at %s: %s",
			a.Stage, plural(a.Count, "time"), a.Last, a.Detail)
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
		add(exitOK, "foreign", "fencepost intruders", "%s of others in the way, put into %s", plural(d.Foreign, "file"), spool.DirForeign)
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

// verdict is the whole in one word.
func (d *statusDoc) verdict() (string, show.Severity) {
	switch exitCode(d.exit()) {
	case exitOK:
		return "ok", show.Fine
	case exitUnsafe:
		return "UNSAFE", show.Bad
	}
	return "DEGRADED", show.Warn
}

// balance answers whether anything is lost, in a sentence each: of all that is
// kept, and of the last day.
func (d *statusDoc) balance() (all, lastDay string) {
	all = fmt.Sprintf("%s accepted, each in one place: nothing is lost", plural(d.Accepted, "job"))
	if wrong := d.Vanished + d.Duplicated; wrong > 0 {
		all = fmt.Sprintf("%s accepted: %d nowhere, %d in two places", plural(d.Accepted, "job"), d.Vanished, d.Duplicated)
	}
	l := d.LastDay
	lastDay = fmt.Sprintf("%s accepted in the last 24 hours: %d done", plural(l.Accepted, "job"), l.Done)
	for _, p := range []struct {
		n    int
		what string
	}{{l.OnTheWay, "on the way"}, {l.Held, "held"}, {l.Parked, "parked"}, {l.Failed, "failed"}} {
		if p.n > 0 {
			lastDay += fmt.Sprintf(", %d %s", p.n, p.what)
		}
	}
	return all, lastDay + fmt.Sprintf(", %d lost", l.Vanished)
}

func printProblems(o *show.Out, all []problem) {
	for _, p := range all {
		kind, severity := "note", show.Fine
		switch p.Exit {
		case exitDegraded:
			kind, severity = "degraded", show.Warn
		case exitUnsafe:
			kind, severity = "unsafe", show.Bad
		}
		o.Cells(severity, kind, p.Text, "("+p.Next+")")
	}
}

func printStatus(o *show.Out, d *statusDoc) {
	word, severity := d.verdict()
	o.Cells(severity, word, "spool "+d.Spool)
	printProblems(o, d.Problems)
	all, lastDay := d.balance()
	severity = show.Fine
	if d.Vanished+d.Duplicated > 0 {
		severity = show.Bad
	}
	o.Cells(severity, "balance", all)
	o.Cells(severity, "balance", lastDay)
	o.Gap()
	t := o.Table("PLACE", "JOBS", "OLDEST")
	for _, stage := range stageWords() {
		t.Row("waiting for "+stage, itoa(d.Waiting[stage]), d.oldest(spool.PlaceWaiting, spool.Stage(stage)))
	}
	for _, r := range []struct {
		what string
		n    int
	}{{"accepting", d.Accepting}, {"claimed", d.Claimed}, {"sealed", d.Sealed}, {"held", d.Held}, {"parked", d.Parked},
		{"failed", d.Failed}, {"done", d.Done}, {"handed over", d.HandedOver}, {"vanished", d.Vanished}, {"duplicated", d.Duplicated}} {
		if r.n > 0 || r.what != "handed over" { // few spools have such
			t.Row(r.what, itoa(r.n), d.oldest(spool.Place(r.what), ""))
		}
	}
	t.End()
	o.Gap()
	printHosts(o, d.Hosts)
}

// oldest is the age of the oldest job at a place, of one stage or of all.
func (d *statusDoc) oldest(place spool.Place, stage spool.Stage) string {
	age := -1.0
	for _, row := range depthDocs(d.depths, d.at) {
		if row.State == string(place) && (stage == "" || row.Stage == string(stage)) && row.Oldest != nil {
			age = max(age, *row.Oldest)
		}
	}
	if age < 0 {
		return "-"
	}
	return human(age)
}
