package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fencepost/spool"
)

// FromJournals makes a history of a spool's events, in any order.
//
// Each event stands in its host's lane at the time of its host's clock. Where
// that contradicts the order of a job's life by a second or more, the whole lane
// of a host is moved later, and a note says by how much: what can't be known
// isn't corrected, but an effect never seems to come before its cause because of
// a clock that is an hour off.
//
// A claim and what its owner noted last with its token are joined as one
// operation, the seal as its moment of effect. A claim that somebody else moved
// on has no answer.
func FromJournals(events []spool.Event) []Event {
	all := ordered(events)
	late := delays(all)
	var out []Event
	for _, h := range slices.Sorted(maps.Keys(late)) {
		out = append(out, Event{Kind: Note, Host: h, Op: "clock",
			Text: fmt.Sprintf("the clock of %s is behind: all that it did is drawn %s later, by the order of its jobs", h, late[h].Round(time.Millisecond))})
	}
	return append(out, draw(all, late, time.Time{})...)
}

// Seen is an event that somebody saw who is none of the hosts.
type Seen struct {
	At    time.Time
	For   time.Duration // of a fault that lasted
	Event Event         // T and Until are filled in
}

// FromMachine is FromJournals for hosts that are processes of one machine, with
// what was seen of them from outside: there is one clock, so nothing is moved.
// What a stopped process notes late stands where it was noted.
func FromMachine(events []spool.Event, seen []Seen) []Event {
	all := ordered(events)
	var start time.Time
	for _, e := range all {
		start = earlier(start, e.Time)
	}
	for _, s := range seen {
		start = earlier(start, s.At)
	}
	out := draw(all, nil, start)
	for _, s := range seen {
		e := s.Event
		e.T = s.At.Sub(start).Nanoseconds()
		if s.For > 0 {
			e.Until = e.T + s.For.Nanoseconds()
		}
		out = append(out, e)
	}
	slices.SortStableFunc(out, func(a, b Event) int { return cmp.Compare(a.T, b.T) })
	return out
}

// earlier is the earlier of two times; the zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// draw draws ordered events, each at its time and as late as its host is. The
// time of the first is the start, unless there is an earlier one.
func draw(all []spool.Event, late map[string]time.Duration, start time.Time) (out []Event) {
	at := func(e spool.Event) time.Time { return e.Time.Add(late[host(e)]) }
	slices.SortStableFunc(all, func(a, b spool.Event) int { return at(a).Compare(at(b)) })
	j := joiner{ends: ends(all), calls: map[string]int64{}}
	for i, e := range all {
		start = earlier(start, at(e))
		out = append(out, j.draw(i, e, at(e).Sub(start).Nanoseconds())...)
	}
	return out
}

// host is the lane: commands stand in that of the host where they were typed.
func host(e spool.Event) string { return strings.TrimSuffix(e.Host, "~cmd") }

func proc(e spool.Event) string {
	if e.Epoch == 0 {
		return e.Host
	}
	return fmt.Sprintf("%s/%d", e.Host, e.Epoch)
}

// ordered are the events, those of each job in causal order, so that a stable
// sort by time keeps it where times are the same.
func ordered(events []spool.Event) []spool.Event {
	byJob := map[string][]spool.Event{}
	for _, e := range events {
		byJob[e.Job] = append(byJob[e.Job], e)
	}
	var all []spool.Event
	for _, job := range slices.Sorted(maps.Keys(byJob)) {
		if job != "" {
			spool.SortEvents(byJob[job])
		}
		all = append(all, byJob[job]...)
	}
	return all
}

// chained are the events that can only happen after the one before in a job's
// life; others are noted at any time.
func chained() []string {
	return []string{spool.EvAccepted, spool.EvClaimed, spool.EvSealed, spool.EvPublished, spool.EvReturned, spool.EvReclaimed, spool.EvDone}
}

// noise is how far two hosts' notes may be apart by the way they are written: an
// event is noted after it happened.
const noise = time.Second

// delays says by how much each host's events must be moved later, at least, so
// that no job's life runs backwards. Hosts that need none are left out. A clock
// that was set while a host ran may leave contradictions.
func delays(all []spool.Event) map[string]time.Duration {
	type edge struct{ from, to string }
	least := map[edge]time.Duration{}
	hosts := map[string]bool{}
	var last spool.Event
	for _, e := range all {
		if e.Job == "" || !slices.Contains(chained(), e.Event) {
			continue
		}
		hosts[host(e)] = true
		if k := (edge{host(last), host(e)}); e.Job == last.Job && k.from != k.to {
			by := last.Time.Sub(e.Time)
			if was, ok := least[k]; ok {
				by = max(by, was)
			}
			least[k] = by
		}
		last = e
	}
	edges := slices.SortedFunc(maps.Keys(least), func(a, b edge) int {
		return cmp.Or(strings.Compare(a.from, b.from), strings.Compare(a.to, b.to))
	})
	late := map[string]time.Duration{}
	for range hosts { // the longest way from a host to another has so many steps
		for _, k := range edges {
			if want := late[k.from] + least[k]; want >= noise && want > late[k.to] {
				late[k.to] = want
			}
		}
	}
	return late
}

// ends finds, for each token, the last event that its owner noted with it.
func ends(all []spool.Event) map[string]int {
	last := map[string]int{}
	for i, e := range all {
		if e.Token == "" || !strings.HasPrefix(e.Token, proc(e)+"/") || e.Job == "" {
			continue
		}
		switch e.Event {
		case spool.EvPublished, spool.EvDone, spool.EvReturned, spool.EvRejected, spool.EvFailed, spool.EvParked,
			spool.EvHeld, spool.EvCancelled, spool.EvLost:
			last[e.Token] = i
		}
	}
	return last
}

// joiner turns one journal's event after the other into the history's.
type joiner struct {
	ends  map[string]int   // a token's last event
	calls map[string]int64 // a token's operation
}

func (j *joiner) draw(i int, e spool.Event, t int64) []Event {
	out := Event{T: t, Kind: kind(e), Host: host(e), Proc: proc(e), Op: e.Event, Job: e.Job, Text: words(e)}
	if e.Job == "" || e.Stage == "" {
		return []Event{out}
	}
	out.Task = string(e.Stage) + " " + e.Job
	span := Event{T: t, Host: out.Host, Proc: out.Proc, Task: out.Task, Op: string(e.Stage), Job: e.Job, Call: j.calls[e.Token]}
	switch {
	case e.Token == "":
	case e.Event == spool.EvClaimed && span.Call == 0:
		j.calls[e.Token] = int64(len(j.calls) + 1)
		span.Kind, span.Call = Call, j.calls[e.Token]
		return []Event{span, out}
	case span.Call == 0: // claimed before the journals begin
	case e.Event == spool.EvSealed:
		span.Kind = Effect
		return []Event{span, out}
	}
	if last, ok := j.ends[e.Token]; ok && last == i && span.Call != 0 {
		span.Kind = Answer
		if e.Event == spool.EvLost {
			span.Err = e.Event
		}
		return []Event{out, span}
	}
	return []Event{out}
}

// kind: what the audit misses or finds twice is a promise broken; what ends an
// instance or keeps it from work is drawn as a fault.
func kind(e spool.Event) string {
	switch e.Event {
	case spool.EvVanished, spool.EvDuplicated:
		return Violation
	case spool.EvCanary, spool.EvGap, "reclaim", "stopped", "unfit":
		return Fault
	}
	if e.Job == "" {
		return Note
	}
	return Job
}

// words are what an event says of itself beside who, what and when.
func words(e spool.Event) string {
	var out []string
	add := func(name, value string) {
		if value != "" {
			out = append(out, name+value)
		}
	}
	add("", e.Result)
	add("", e.Detail)
	add("cluster id ", e.Cluster)
	add("token ", e.Token)
	if e.Gen > 0 {
		add("generation ", fmt.Sprint(e.Gen))
	}
	if e.Faults > 0 {
		add("faults ", fmt.Sprint(e.Faults))
	}
	return strings.Join(out, ", ")
}
