package main

import (
	"fmt"
	"strings"
	"time"

	"fencepost/spool"
)

// whyFacts are what the gates of a job are judged by.
type whyFacts struct {
	id       string
	at       *spool.Found // nil = nowhere
	lastSeen string       // if it is nowhere
	hosts    []hostDoc
	asked    []string // requests that stand
	events   []spool.Event
	told     bool   // its reasons are shown beside the gates
	exit     string // of a job that waits for submit
	limits   spool.Limits
	now      time.Time
}

// gateList collects gates.
type gateList []gateDoc

func (l *gateList) pass(gate, format string, args ...any) {
	*l = append(*l, gateDoc{Gate: gate, Pass: true, Detail: fmt.Sprintf(format, args...)})
}

// wait is for what opens by itself.
func (l *gateList) wait(gate, format string, args ...any) {
	*l = append(*l, gateDoc{Gate: gate, Waits: true, Detail: fmt.Sprintf(format, args...)})
}

func (l *gateList) stop(gate, next, format string, args ...any) {
	*l = append(*l, gateDoc{Gate: gate, Next: next, Detail: fmt.Sprintf(format, args...)})
}

// gates are those between a job and its next step, in order.
func (f *whyFacts) gates() []gateDoc {
	var l gateList
	l.pass("accepted", "%s", f.eventText(spool.EvAccepted, "it passed the gate"))
	if f.at == nil {
		l.stop("on disk", "fencepost audit", "it is nowhere: %s; fencepost audit looks again", or(f.lastSeen, "no journal has anything about it"))
		return l
	}
	l.pass("on disk", "%s", f.at.Path)
	switch f.at.Place {
	case spool.PlaceDone:
		f.requests(&l)
		l.pass("finished", "the cluster has it: cluster id %s", dash(f.at.Name.Cluster))
	case spool.PlaceHandedOver:
		f.requests(&l)
		l.pass("handed over", "the foreign program that does stage %s has it: %s", f.at.Name.Stage, f.at.Name.Cluster)
	case spool.PlaceHeld:
		l.stop("not held", "fencepost release "+f.id, "a person holds it, until it is released%s", f.by(spool.EvHeld))
	case spool.PlaceParked:
		l.stop("not parked", "fencepost unpark "+f.id+" --submitted CLUSTER_ID, or --again", "its outcome is unclear: a person decides%s", f.by(spool.EvParked))
	case spool.PlaceFailed:
		l.stop("not failed", "fencepost retry "+f.id, "it failed: a person may put it back%s",
			f.by(spool.EvFailed, spool.EvRejected, spool.EvCancelled))
	case spool.PlaceWaiting:
		f.waiting(&l)
	case spool.PlaceAccepting:
		f.owner(&l)
		l.wait("published", "it is linked at the gate, and is about to be put into its first stage: by its host, or by who recovers it")
	case spool.PlaceClaimed:
		l.pass("not set aside", "nobody holds, parked or failed it")
		f.requests(&l)
		f.owner(&l)
		l.wait("worked on", "%s%s", f.eventText(spool.EvClaimed, "claimed by host "+f.at.Name.Host), f.since())
	case spool.PlaceSealed:
		l.pass("not set aside", "nobody holds, parked or failed it")
		f.requests(&l)
		f.owner(&l)
		f.sealed(&l)
	}
	return l
}

// requests are what persons asked for: honoured at the job's next step.
func (f *whyFacts) requests(l *gateList) {
	if len(f.asked) == 0 {
		l.pass("no request", "nobody asked to hold or cancel it")
	}
	for _, kind := range f.asked {
		l.stop("no request", "fencepost release "+f.id+" takes it back", "a person asked to %s it: honoured at its next step", kind)
	}
}

// waiting are the gates of an entry.
func (f *whyFacts) waiting(l *gateList) {
	n := f.at.Name
	l.pass("not set aside", "nobody holds, parked or failed it")
	f.requests(l)
	l.pass("tries left", "try %d of %d, %d of %d faults", n.Gen+1, f.limits.Gen+1, n.Faults, f.limits.Faults)
	switch f.exit {
	case exitFree:
		l.pass("exit gate", "no file of this id was handed to the cluster")
	case exitOwn:
		l.pass("exit gate", "it is this very file's, by an earlier try")
	case exitOther:
		l.stop("exit gate", "fencepost trace "+f.id, "another file of this id was handed over: this one is a copy, and will be parked")
	}
	takers := f.takers(l, string(n.Stage))
	cause := f.backoff(l)
	if takers == "" {
		return
	}
	if cause != "" {
		cause = fmt.Sprintf("; it came back %s, the last time because: %s", plural(n.Gen, "time"), cause)
	}
	l.wait("its turn", "%s takes it as soon as it has a free hand%s", takers, cause)
}

// takers are the gates that hosts are: each asks those that passed the one
// before. It returns who takes the job, "" if nobody does.
func (f *whyFacts) takers(l *gateList, stage string) string {
	asked := f.hosts
	for _, g := range []struct {
		gate, who, nobody, next string
		ok                      func(hostDoc) bool
		why                     func(hostDoc) string
	}{
		{"a host", "serves " + stage, "no host serves " + stage, "start one: fencepost serve --stages " + stage,
			func(h hostDoc) bool { return contains(h.Stages, stage) }, nil},
		{"alive", "is alive", "no live host takes " + stage, "fencepost hosts",
			func(h hostDoc) bool { return h.alive() }, func(h hostDoc) string { return h.State + ": " + orNone(h.Reason) }},
		{"not draining", "takes new work", "no live host takes " + stage, "fencepost resume HOST",
			func(h hostDoc) bool { return !h.Draining }, func(hostDoc) string { return "draining" }},
		{"fit", "is fit for " + stage, "no live host takes " + stage, "fencepost hosts",
			func(h hostDoc) bool { return !contains(h.Unfit, stage) }, func(h hostDoc) string { return "unfit: " + orNone(h.Reason) }},
	} {
		var yes []hostDoc
		var names, no []string
		for _, h := range asked {
			if g.ok(h) {
				yes, names = append(yes, h), append(names, h.Host)
			} else if g.why != nil {
				no = append(no, h.Host+" is "+g.why(h))
			}
		}
		if len(yes) == 0 {
			l.stop(g.gate, g.next, "%s", strings.Join(append([]string{g.nobody}, no...), "; "))
			return ""
		}
		l.pass(g.gate, "%s", strings.Join(append([]string{strings.Join(names, ", ") + " " + plurally(g.who, len(names))}, no...), "; "))
		asked = yes
	}
	var who []string
	for _, h := range asked {
		who = append(who, fmt.Sprintf("%s (%d in hand)", h.Host, h.Hand))
	}
	return strings.Join(who, " or ")
}

// plurally is a verb's third person, or its plural.
func plurally(verb string, n int) string {
	if n == 1 {
		return verb
	}
	first, rest, _ := strings.Cut(verb, " ")
	if first == "is" {
		return "are " + rest
	}
	return strings.TrimSuffix(first, "s") + " " + rest
}

// backoff is the pause after a way back. Each host counts it by its own clock,
// from when it first saw the entry; here it is told by the journal's. It returns
// why the job came back, if that is known.
func (f *whyFacts) backoff(l *gateList) (cause string) {
	back := spool.Backoff(f.at.Name.Gen)
	if back == 0 {
		return ""
	}
	text := fmt.Sprintf("try %d: taken %s after a host first sees it", f.at.Name.Gen+1, back.Round(time.Second))
	e, ok := f.last(spool.EvReturned, spool.EvReclaimed, spool.EvRetried, spool.EvUnheld, spool.EvUnparked, spool.EvRecovered)
	if !ok {
		l.pass("back-off", "%s", text)
		return ""
	}
	before := fmt.Sprintf("%s by %s/%d %s", e.Event, e.Host, e.Epoch, agoOf(f.now, e.Time))
	if cause = newTraceEvent(e).words(); cause != "" {
		before += ", because: " + cause
	}
	if f.now.Sub(e.Time) < back {
		l.wait("back-off", "%s; %s", before, text)
	} else {
		l.pass("back-off", "%s; %s", before, text)
	}
	return cause
}

// owner is whether the host that has the job still is the instance that took it.
func (f *whyFacts) owner(l *gateList) {
	n := f.at.Name
	for _, h := range f.hosts {
		if h.Host != n.Host {
			continue
		}
		switch {
		case h.alive() && h.Epoch == n.Epoch:
			l.pass("its host", "host %s epoch %d has it and is %s", n.Host, n.Epoch, h.State)
		case h.alive():
			l.wait("its host", "host %s epoch %d has it and is over (epoch %d now): it or another host takes it back", n.Host, n.Epoch, h.Epoch)
		case f.anyAlive():
			l.wait("its host", "host %s epoch %d has it and is %s: another host takes it back", n.Host, n.Epoch, h.State)
		default:
			l.stop("its host", "start a host, or fencepost recover", "host %s epoch %d has it and is %s, and no other host lives to take it back",
				n.Host, n.Epoch, h.State)
		}
		return
	}
	if f.anyAlive() {
		l.wait("its host", "host %s epoch %d has it and is not there: another host takes it back", n.Host, n.Epoch)
		return
	}
	l.stop("its host", "start a host, or fencepost recover", "host %s epoch %d has it and is not there, and no host lives to take it back", n.Host, n.Epoch)
}

func (f *whyFacts) anyAlive() bool {
	for _, h := range f.hosts {
		if h.alive() {
			return true
		}
	}
	return false
}

// sealed are the steps that are left of what was decided.
func (f *whyFacts) sealed(l *gateList) {
	l.pass("sealed", "%s", f.eventText(spool.EvSealed, "the claim is decided"))
	if f.at.Name.Stage != spool.Submit {
		l.wait("published", "its output is about to be put into the next stage")
		return
	}
	if f.at.Name.Cluster == "" {
		l.wait("submitted", "the cluster has no hold: it was sealed first, and what the cluster answers isn't known yet%s", f.since())
		return
	}
	l.pass("submitted", "cluster id %s", f.at.Name.Cluster)
	if _, ok := f.last(spool.EvReleased); !ok {
		l.wait("released", "it is held at the cluster until its host releases it%s", f.since())
		return
	}
	l.pass("released", "%s", f.eventText(spool.EvReleased, ""))
	l.wait("confirmed", "the cluster has to show it, not held, in two complete listings%s", f.since())
}

// last is the newest event of some kinds, of this try.
func (f *whyFacts) last(kinds ...string) (spool.Event, bool) {
	for i := len(f.events) - 1; i >= 0; i-- {
		if e := f.events[i]; contains(kinds, e.Event) && (f.at == nil || e.Gen == f.at.Name.Gen || e.Event == spool.EvAccepted) {
			return e, true
		}
	}
	return spool.Event{}, false
}

// eventText says who did it and when, or otherwise if no journal has it.
func (f *whyFacts) eventText(kind, otherwise string) string {
	e, ok := f.last(kind)
	if !ok {
		return otherwise
	}
	return fmt.Sprintf("%s by host %s epoch %d at %s", e.Event, e.Host, e.Epoch, e.Time.UTC().Format(time.RFC3339))
}

// by says who set it aside, and why.
func (f *whyFacts) by(kinds ...string) string {
	e, ok := f.last(kinds...)
	if !ok || f.told {
		return ""
	}
	out := fmt.Sprintf("; %s by host %s at %s", e.Event, e.Host, e.Time.UTC().Format(time.RFC3339))
	if words := newTraceEvent(e).words(); words != "" {
		out += ": " + words
	}
	return out
}

// since is how long ago the last event was.
func (f *whyFacts) since() string {
	if len(f.events) == 0 {
		return ""
	}
	return "; the last thing that happened was " + agoOf(f.now, f.events[len(f.events)-1].Time)
}
