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
	Version   string   `json:"version"`
	Config    string   `json:"config_digest"`
	Machine   string   `json:"machine_id"`
	PID       int      `json:"pid"`
	Since     string   `json:"since"`
	Listen    string   `json:"listen"`
	HTTP      string   `json:"http"`
}

func newHostsCmd(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "hosts",
		Short: "Show every host: alive or not, fit or not, which epoch, which version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			type both struct {
				Hosts  []hostDoc  `json:"hosts"`
				Alarms []alarmDoc `json:"alarms"`
			}
			doc, err := onSpool(g, cmd, func(ctx context.Context, s *share) (d both, err error) {
				claims, err := claimsByHost(s)
				if err != nil {
					return d, err
				}
				if d.Hosts, err = lookAtHosts(ctx, s, claims); err != nil {
					return d, err
				}
				d.Alarms, err = takeAlarms(s)
				d.Alarms = slices.DeleteFunc(d.Alarms, func(a alarmDoc) bool { return a.Resolved })
				return d, err
			})
			if err != nil {
				return err
			}
			return g.print("hosts", doc, func(o *show.Out) {
				printHosts(o, doc.Hosts)
				printAlarms(o, doc.Alarms)
			})
		},
	}
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
		Machine: r.MachineID, PID: r.PID, Since: stamp(r.Since), Listen: r.Listen, HTTP: r.HTTP}
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
		state, severity := h.State, show.Fine
		switch lease.State(h.State) {
		case lease.Silent, lease.Unfit:
			severity = show.Bad
		case lease.Fenced:
			if severity = show.Bad; h.ByPerson {
				severity = show.Warn
			}
		}
		if h.Draining {
			state += ",draining"
		}
		if !h.Enrolled {
			state += ",not-enrolled"
		}
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
		t.MarkedRow(severity, h.Host, state, epoch, dash(strings.Join(stages, ",")), age(h), itoa(h.Claims),
			dash(h.Version), dash(h.Config), dash(h.Reason))
	}
	t.End()
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
