package lease

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/vfs"
)

// State is a host's state in one word.
type State string

// The states.
const (
	Live    State = "live"
	Stopped State = "stopped" // said goodbye, or never started
	Silent  State = "silent"
	Fenced  State = "fenced"
	Unfit   State = "unfit" // live, but takes no work of some stage
)

// HostState is what an observer knows of a host.
type HostState struct {
	Host     string
	Enrolled bool
	Member   Member // zero if it isn't enrolled
	State    State
	Reason   string
	Record   Record // zero if there is none
	Seen     bool   // whether there is a record
	Draining bool
	// Age of the heartbeat. Measured: on the observer's own clock, since it
	// saw the record change. Otherwise the difference of two hosts' wall
	// clocks: for people only.
	Age      time.Duration
	Measured bool
}

// judge fills in State and Reason.
func (s *HostState) judge(silent bool, fenced string) {
	unfit := unfitness(s.Record)
	switch {
	case fenced != "":
		s.State, s.Reason = Fenced, fenced
	case !s.Seen:
		s.State, s.Reason = Stopped, "never started"
	case s.Record.Goodbye:
		s.State, s.Reason = Stopped, "said goodbye"
	case silent:
		s.State, s.Reason = Silent, "its heartbeat doesn't change"
	case unfit != "":
		s.State, s.Reason = Unfit, unfit
	default:
		s.State, s.Reason = Live, ""
	}
	s.Draining = s.Record.Draining
	if s.State == Live && s.Draining {
		s.Reason = "draining"
	}
}

func unfitness(r Record) string {
	var why []string
	if r.Unfit != "" {
		why = append(why, r.Unfit)
	}
	for _, s := range r.Stages {
		if !s.Fit {
			why = append(why, string(s.Stage)+": "+orUnknown(s.Reason))
		}
	}
	return strings.Join(why, "; ")
}

// whyFenced says whether a host is fenced: by a person, or the epoch of its
// record by a watcher. Empty = it isn't.
func (f files) whyFenced(host string, epoch uint64) (string, error) {
	all, err := names(f.fs, spool.FencedDir(host))
	if err != nil {
		return "", err
	}
	if slices.Contains(all, personName) {
		flag := readFlag(f.fs, personPath(host))
		return fmt.Sprintf("by %s: %s", orUnknown(flag.By), orUnknown(flag.Reason)), nil
	}
	for _, name := range all {
		if n, ok := parseEpoch(name); ok && n == epoch {
			fc := f.readFence(host, epoch)
			return fmt.Sprintf("by %s: %s", orUnknown(fc.By), orUnknown(fc.Why)), nil
		}
	}
	return "", nil
}

// ---- of a watcher ---------------------------------------------------------------

// seeFence looks for fences of hosts that don't live, for show only.
func (w *Watcher) seeFence(h *watched) {
	if h.command {
		return
	}
	if h.known && !h.rec.Goodbye && !w.isSilent(h) {
		h.fenced = ""
		return
	}
	if why, err := w.f.whyFenced(h.owner, h.rec.Epoch); err == nil {
		h.fenced = why
	}
}

func (w *Watcher) isSilent(h *watched) bool { return h.silent >= missedBeats*w.interval(h) }

// show makes what Hosts returns.
func (w *Watcher) show() {
	now, wall := w.cfg.Env.Now(), w.cfg.Env.Wall()
	var own Record
	var written time.Duration
	if w.cfg.Own != nil {
		own, written = w.cfg.Own()
	}
	var state []HostState
	for _, h := range w.hosts {
		member, enrolled := w.members[h.owner]
		// Gone from the roster, and nothing left: nobody asks.
		if h.command || !enrolled && len(h.since) == 0 {
			continue
		}
		s := HostState{Host: h.owner, Enrolled: enrolled, Member: member, Record: h.rec, Seen: h.known}
		switch s.Age, s.Measured = now-h.changed, h.moved; {
		case h.owner == w.cfg.Self && w.cfg.Own != nil:
			s.Record, s.Seen, s.Age, s.Measured = own, true, now-written, true
		case !h.moved && h.known:
			s.Age = max(s.Age, wall.Sub(h.rec.At))
		}
		s.judge(w.isSilent(h), h.fenced)
		state = append(state, s)
	}
	sortHosts(state)
	w.mu.Lock()
	w.state = state
	w.mu.Unlock()
}

func sortHosts(s []HostState) {
	slices.SortFunc(s, func(a, b HostState) int { return strings.Compare(a.Host, b.Host) })
}

// ---- of a command ---------------------------------------------------------------

// The wait of Look: at most two heartbeats as the records say, and this long.
const (
	lookBeats = 2
	maxLook   = 10 * time.Second
	lookTurns = 8 // reads within the wait
)

// Look judges all hosts by reading their records, and again until each has
// changed, for wait at most, or for two heartbeats as the records say if wait is
// 0. Hosts that are stopped or fenced need no wait. If ctx ends first, what is
// known then is returned with its cause.
func Look(ctx context.Context, e env.Env, wait time.Duration) ([]HostState, error) {
	f := filesOf(e)
	seen, err := f.glimpses()
	if err != nil {
		return nil, err
	}
	start := e.Now()
	longest := time.Duration(0)
	for _, g := range seen {
		if g.waits() {
			longest = max(longest, lookBeats*cmp.Or(g.Record.Interval, DefaultHeartbeat))
		}
	}
	if wait == 0 {
		wait = min(longest, maxLook)
	}
	for ctx.Err() == nil && e.Now()-start < wait && slices.ContainsFunc(seen, (*glimpse).waits) {
		if e.Sleep(ctx, max(wait/lookTurns, time.Millisecond)) != nil {
			break
		}
		for _, g := range seen {
			if g.waits() {
				g.again(f.fs, e.Now())
			}
		}
	}
	var all []HostState
	for _, g := range seen {
		g.judge(g.waits(), g.fenced)
		g.Age, g.Measured = e.Now()-g.changed, g.moved
		if !g.moved {
			g.Age = max(e.Now()-start, e.Wall().Sub(g.Record.At))
		}
		if !g.Seen {
			g.Age = 0
		}
		if g.unreadable != nil {
			g.State, g.Reason = Silent, g.unreadable.Error()
		}
		all = append(all, g.HostState)
	}
	sortHosts(all)
	return all, context.Cause(ctx)
}

// glimpse is a host as Look sees it.
type glimpse struct {
	HostState
	raw        []byte
	moved      bool
	changed    time.Duration
	fenced     string
	torn       bool // caught in the middle of a write, perhaps
	unreadable error
}

// waits: only another read can tell whether it lives.
func (g *glimpse) waits() bool {
	return (g.Seen && !g.Record.Goodbye || g.torn) && g.fenced == "" && !g.moved
}

func (g *glimpse) again(fs vfs.FS, now time.Duration) {
	data, err := readRaw(fs, g.Host)
	if err != nil || bytes.Equal(data, g.raw) {
		return
	}
	g.raw, g.moved, g.changed = data, true, now
	if r, err := DecodeRecord(data); err == nil {
		g.Record, g.Seen = r, true
	}
}

// glimpses reads the roster and all records once. Hosts that are not enrolled
// show only if they seem to run.
func (f files) glimpses() ([]*glimpse, error) {
	members, err := Roster(f.fs)
	if err != nil && len(members) == 0 {
		return nil, err
	}
	enrolled := map[string]Member{}
	var hosts []string
	for _, m := range members {
		enrolled[m.Host] = m
		hosts = append(hosts, m.Host)
	}
	others, err := names(f.fs, spool.DirHosts)
	if err != nil {
		return nil, fmt.Errorf("list hosts: %w", err)
	}
	hosts = append(hosts, others...)
	slices.Sort(hosts)
	var seen []*glimpse
	for _, host := range slices.Compact(hosts) {
		if !spool.ValidHost(host) {
			continue
		}
		g := &glimpse{}
		g.Host = host
		g.Member, g.Enrolled = enrolled[host]
		g.first(f)
		if g.Enrolled || g.Seen && !g.Record.Goodbye {
			seen = append(seen, g)
		}
	}
	return seen, nil
}

func (g *glimpse) first(f files) {
	var err error
	if g.raw, err = readRaw(f.fs, g.Host); err == nil {
		g.Record, err = DecodeRecord(g.raw)
		g.Seen = err == nil
	}
	g.torn = errors.Is(err, ErrTorn) && len(g.raw) > 0
	// Nothing, or nothing whole yet: it never got as far as a heartbeat.
	if err != nil && !notThere(err) && !errors.Is(err, ErrTorn) {
		g.unreadable = err
	}
	if why, err := f.whyFenced(g.Host, g.Record.Epoch); err == nil {
		g.fenced = why
	}
}
