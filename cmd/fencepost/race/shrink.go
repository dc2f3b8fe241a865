package race

import (
	"time"

	"fencepost/spool/env/simenv"
)

// Shrink looks for a simpler run that breaks the same promise: fewer jobs and
// hosts, fewer decisions that aren't plain. It ends when nothing can be left
// out, or after so much time.
func Shrink(res *Result, budget time.Duration) *Result {
	s := &shrinker{best: res, end: time.Now().Add(budget)}
	for range 4 {
		before := len(s.best.Entries)
		s.fewer()
		s.lanes()
		s.chunks()
		if len(s.best.Entries) == before || s.over() {
			break
		}
	}
	s.smaller()
	return s.best
}

type shrinker struct {
	best *Result
	end  time.Time
	runs int
}

func (s *shrinker) over() bool { return time.Now().After(s.end) }

// try runs a variant, and keeps it if it breaks the same promise.
func (s *shrinker) try(change func(*Options)) bool {
	if s.over() {
		return false
	}
	o := s.best.Options
	o.Replay, o.Record = true, false
	o.Tape = append([]simenv.Entry(nil), s.best.Entries...)
	change(&o)
	s.runs++
	res := Run(o)
	v, want := res.Violation, s.best.Violation
	if v == nil || v.Class != want.Class || v.Kind != want.Kind {
		return false
	}
	// What the run didn't ask for is no part of it.
	s.best = res
	return true
}

// fewer tries fewer jobs and hosts.
func (s *shrinker) fewer() {
	for s.best.Options.Jobs > 1 && s.try(func(o *Options) { o.Jobs-- }) {
	}
	for s.best.Options.Hosts > 1 && s.try(func(o *Options) { o.Hosts-- }) {
	}
}

// lanes tries to leave out whole lanes.
func (s *shrinker) lanes() {
	seen := map[string]bool{}
	for _, e := range s.best.Entries {
		if !seen[e.Lane] {
			seen[e.Lane] = true
			s.try(func(o *Options) {
				o.Tape = without(o.Tape, func(x simenv.Entry, _ int) bool { return x.Lane == e.Lane })
			})
		}
	}
}

// chunks leaves out ever smaller parts (ddmin; Zeller and Hildebrandt 2002).
func (s *shrinker) chunks() {
	for size := (len(s.best.Entries) + 1) / 2; size >= 1 && !s.over(); size /= 2 {
		for at := 0; at < len(s.best.Entries) && !s.over(); {
			if !s.try(func(o *Options) {
				o.Tape = without(o.Tape, func(_ simenv.Entry, i int) bool { return i >= at && i < at+size })
			}) {
				at += size
			}
		}
	}
}

// smaller tries smaller values.
func (s *shrinker) smaller() {
	for i := 0; i < len(s.best.Entries) && !s.over(); i++ {
		for s.best.Entries[i].Value > 1 {
			n := len(s.best.Entries)
			if !s.try(func(o *Options) { o.Tape[i].Value /= 2 }) || len(s.best.Entries) != n {
				break
			}
		}
	}
}

func without(in []simenv.Entry, drop func(simenv.Entry, int) bool) []simenv.Entry {
	var out []simenv.Entry
	for i, e := range in {
		if !drop(e, i) {
			out = append(out, e)
		}
	}
	return out
}
