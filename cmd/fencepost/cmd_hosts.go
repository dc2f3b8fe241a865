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

// hostDoc is a host, as status and hosts show it.
type hostDoc struct {
	Host     string   `json:"host"`
	Enrolled bool     `json:"enrolled"`
	State    string   `json:"state"`
	Reason   string   `json:"reason"`
	ByPerson bool     `json:"fenced_by_person"`
	Draining bool     `json:"draining"`
	Epoch    uint64   `json:"epoch"`
	Stages   []string `json:"stages"`
	Unfit    []string `json:"unfit_stages"`
	// Age of the heartbeat: nil if there never was one. Estimated: by two
	// hosts' wall clocks.
	Age       *float64 `json:"heartbeat_age_seconds"`
	Estimated bool     `json:"heartbeat_age_estimated"`
	Claims    int      `json:"claims"` // on disk: claims and sealed files
	Hand      int      `json:"busy"`   // claims that it works on, as its heartbeat says
	Version   string   `json:"version"`
	Config    string   `json:"config_digest"`
	Machine   string   `json:"machine_id"`
	PID       int      `json:"pid"`
	Since     string   `json:"since"`
	Listen    string   `json:"listen"`
	HTTP      string   `json:"http"`
}

func newHostsCmd(g *globals) *cobra.Command {
	lines := false
	cmd := &cobra.Command{
		Use:   "hosts",
		Short: "Show every host: alive or not, fit or not, which epoch, which version",
		Long: "hosts reads each host's heartbeat until it has changed, for two heartbeats at most. Below the table\n" +
			"stand the hosts that need a person, each with what to do first.\n\n" +
			"live: its heartbeat changes. unfit: live, but takes no work of a stage, and says why. silent: its\n" +
			"heartbeat doesn't change. fenced: by a person, or by a host that saw it silent. stopped: it said\n" +
			"goodbye, or never started.",
		Example: "  fencepost hosts\n  fencepost hosts --jsonl | grep '\"state\":\"unfit\"'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			doc, err := onSpool(g, cmd, takeHosts)
			if err != nil {
				return err
			}
			if lines {
				return show.JSONLines(g.stdout, "host", slices.Values(doc.Hosts))
			}
			return g.print("hosts", doc, func(o *show.Out) {
				printHosts(o, doc.Hosts)
				o.Gap()
				printSick(o, doc.Hosts)
				printUnknown(o, doc.unknown)
				printAlarms(o, doc.Alarms)
			})
		},
	}
	cmd.Flags().BoolVar(&lines, "jsonl", false, "print one JSON document a line and host")
	return cmd
}

// hostsDoc is all hosts, and the alarms that stand.
type hostsDoc struct {
	Hosts  []hostDoc  `json:"hosts"`
	Alarms []alarmDoc `json:"alarms"`

	unknown []intruderDoc
}

func takeHosts(ctx context.Context, s *share) (d hostsDoc, err error) {
	claims, err := claimsByHost(s)
	if err != nil {
		return d, err
	}
	if d.Hosts, err = lookAtHosts(ctx, s, claims); err != nil {
		return d, err
	}
	if d.unknown, err = takeIntruders(s); err != nil {
		return d, err
	}
	d.unknown = unresolved(d.unknown)
	d.Alarms, err = takeAlarms(s)
	d.Alarms = slices.DeleteFunc(d.Alarms, func(a alarmDoc) bool { return a.Resolved })
	return d, err
}

// printSick names the hosts that need a person, or says that none does.
func printSick(o *show.Out, hosts []hostDoc) {
	sick, live := 0, 0
	for _, h := range hosts {
		if h.alive() {
			live++
		}
		if h.severity() == show.Fine {
			continue
		}
		sick++
		o.Cells(h.severity(), "sick", "host "+h.Host+" is "+h.State+": "+orNone(h.Reason), "("+h.next()+")")
	}
	if sick == 0 {
		o.Cells(show.Fine, "well", fmt.Sprintf("%s, %d live, none needs a person", plural(len(hosts), "host"), live))
	}
}

// next is what to do first about a host that needs a person.
func (h hostDoc) next() string {
	switch lease.State(h.State) {
	case lease.Fenced:
		if h.ByPerson {
			return "fencepost resume " + h.Host + " ends it"
		}
		return "look at its log, and start it again"
	case lease.Unfit:
		return "repair that on " + h.Host + ": it takes part again by itself"
	}
	return "is machine " + h.Host + " up, and does it reach the share? then start it again"
}

// claimsByHost counts what each host holds, by listings alone.
func claimsByHost(s *share) (map[string]int, error) {
	n := map[string]int{}
	for _, base := range []string{spool.DirClaims, spool.DirSealed} {
		epochs, err := s.Epochs(base)
		if err != nil {
			return nil, err
		}
		for _, e := range epochs {
			names, err := s.FS.List(spool.EpochDir(base, e.Host, e.Epoch))
			if err != nil && !isMissing(err) {
				return nil, err
			}
			n[e.Host] += len(names)
		}
	}
	return n, nil
}

// lookAtHosts watches the heartbeats until each has changed, or should have.
func lookAtHosts(ctx context.Context, s *share, claims map[string]int) ([]hostDoc, error) {
	states, err := lease.Look(ctx, s.Env, 0)
	if err != nil {
		return nil, err
	}
	return hostDocs(s, states, claims)
}

// glanceAtHosts spares the wait if the hosts that run are on this very machine:
// the time in their records is then of the clock that it is compared with.
// Clocks of two machines are never compared: then it watches.
func glanceAtHosts(ctx context.Context, s *share, claims map[string]int) ([]hostDoc, error) {
	states, err := lease.Look(ctx, s.Env, time.Millisecond)
	if err != nil {
		return nil, err
	}
	boot := ""
	if id, err := lease.Local("x", "x"); err == nil {
		boot = id.BootID
	}
	for i := range states {
		st := &states[i]
		if st.State != lease.Silent || st.Measured {
			continue
		}
		age := s.Env.Wall().Sub(st.Record.At)
		if !st.Seen || boot == "" || st.Record.BootID != boot || age < 0 || age >= missedBeats*st.Record.Interval {
			return lookAtHosts(ctx, s, claims)
		}
		st.State, st.Reason, st.Age, st.Measured = lease.Live, "", age, true
		if why := whyUnfit(st.Record); why != "" {
			st.State, st.Reason = lease.Unfit, why
		}
	}
	return hostDocs(s, states, claims)
}

// missedBeats is how many heartbeats a host may miss before it counts as silent.
const missedBeats = 3

func whyUnfit(r lease.Record) string {
	var why []string
	if r.Unfit != "" {
		why = append(why, r.Unfit)
	}
	for _, st := range r.Stages {
		if !st.Fit {
			why = append(why, string(st.Stage)+": "+orNone(st.Reason))
		}
	}
	return strings.Join(why, "; ")
}

func hostDocs(s *share, states []lease.HostState, claims map[string]int) ([]hostDoc, error) {
	out := []hostDoc{}
	for _, st := range states {
		d := newHostDoc(st)
		d.Claims = claims[st.Host]
		if st.State == lease.Fenced {
			var err error
			if d.ByPerson, err = lease.FencedByPerson(s.FS, st.Host); err != nil {
				return nil, err
			}
		}
		out = append(out, d)
	}
	return out, nil
}

func newHostDoc(st lease.HostState) hostDoc {
	r := st.Record
	d := hostDoc{Host: st.Host, Enrolled: st.Enrolled, State: string(st.State), Reason: st.Reason, Draining: st.Draining,
		Epoch: r.Epoch, Stages: []string{}, Unfit: []string{}, Version: r.Version, Config: r.ConfigDigest,
		Machine: r.MachineID, PID: r.PID, Since: stamp(r.Since), Listen: r.Listen, HTTP: r.HTTP, Hand: r.Claims}
	if st.Seen {
		age := seconds(st.Age)
		d.Age, d.Estimated = &age, !st.Measured
	}
	for _, stage := range st.Member.Stages {
		if !st.Seen {
			d.Stages = append(d.Stages, string(stage)) // that it may serve: it never ran
		}
	}
	for _, stage := range r.Stages {
		d.Stages = append(d.Stages, string(stage.Stage))
		if !stage.Fit {
			d.Unfit = append(d.Unfit, string(stage.Stage))
		}
	}
	return d
}

func printHosts(o *show.Out, hosts []hostDoc) {
	t := o.Table("HOST", "STATE", "EPOCH", "STAGES", "HEARTBEAT", "CLAIMS", "VERSION", "CONFIG", "REASON")
	for _, h := range hosts {
		var stages []string
		for _, s := range h.Stages {
			if contains(h.Unfit, s) {
				s += "(unfit)"
			}
			stages = append(stages, s)
		}
		epoch := dash("")
		if h.Epoch > 0 {
			epoch = fmt.Sprint(h.Epoch)
		}
		t.MarkedRow(h.severity(), h.Host, h.words(), epoch, dash(strings.Join(stages, ",")), age(h), itoa(h.Claims),
			dash(h.Version), dash(h.Config), dash(h.Reason))
	}
	t.End()
}

// alive: its heartbeat changes.
func (h hostDoc) alive() bool {
	return h.State == string(lease.Live) || h.State == string(lease.Unfit)
}

// takes says whether a host takes work of a stage now.
func (h hostDoc) takes(stage string) bool {
	return h.alive() && !h.Draining && contains(h.Stages, stage) && !contains(h.Unfit, stage)
}

// severity says whether a host needs a person.
func (h hostDoc) severity() show.Severity {
	switch lease.State(h.State) {
	case lease.Silent, lease.Unfit:
		return show.Bad
	case lease.Fenced:
		if h.ByPerson {
			return show.Warn // somebody knows
		}
		return show.Bad
	}
	return show.Fine
}

// words are its state, and what else keeps it from work.
func (h hostDoc) words() string {
	state := h.State
	if h.Draining {
		state += ",draining"
	}
	if !h.Enrolled {
		state += ",not-enrolled"
	}
	return state
}

// age is a heartbeat's age for people: about, if it rests on two clocks.
func age(h hostDoc) string {
	if h.Age == nil {
		return "-"
	}
	text := human(*h.Age) + " ago"
	if h.Estimated {
		text = "~" + text
	}
	return text
}
