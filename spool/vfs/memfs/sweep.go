package memfs

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"syscall"
	"testing"
)

// Plan says which operations of a scenario go wrong, and how. The zero Plan
// makes each operation of each view, in turn, fail by each error that is
// plausible for its kind, done and not done, and its process die before it,
// after it and half way through its data.
type Plan struct {
	Options Options

	// Views and Kinds limit the operations that are covered; empty means all.
	Views, Kinds []string

	// Errnos replaces the plausible errors of every kind.
	Errnos []syscall.Errno

	// NoDie leaves deaths out.
	NoDie bool

	// Stale adds listings that don't show the directory's last change. Only
	// for scenarios that promise to survive what NFS doesn't do.
	Stale bool

	// Pairs bounds the runs with two faults, Late those in which a process
	// dies and its operation lands just before some later one that is covered
	// (so those of the hosts that recover should be). None if zero. If there
	// are more, a sample is taken, even, by the seed Sample.
	Pairs, Late int
	Sample      int

	// Replay runs just the faults of a failure's string.
	Replay string
}

// maxFailures ends a sweep: one bug fails many runs.
const maxFailures = 3

// Stats says how far a sweep went.
type Stats struct {
	Ops                   int // covered operations of a run without faults
	Singles, Pairs, Lates int // runs
	PairsAll, LatesAll    int // how many there are
	Failures              int
}

func (s Stats) String() string {
	return fmt.Sprintf("%d operations; runs: %d single, %d of %d pairs, %d of %d late; %d failed",
		s.Ops, s.Singles, s.Pairs, s.PairsAll, s.Lates, s.LatesAll, s.Failures)
}

// Sweep runs a scenario again and again, each time on a new server with other
// faults, and reports the runs that it returns an error from or panics in. The
// first run has no fault.
//
// The scenario contains its recovery and its checks; it is deterministic; it
// returns nil if all promises hold. Errors that faults give to the code under
// test are no failure by themselves.
func Sweep(t testing.TB, p Plan, scenario func(m *Mem) error) Stats {
	t.Helper()
	s := &sweep{t: t, plan: p, scenario: scenario}
	if p.Replay != "" {
		faults, err := parseFaults(p.Replay)
		if err != nil {
			t.Fatalf("memfs: %v", err)
		}
		s.run(faults...)
		return s.stats
	}
	clean := s.run()
	s.stats.Ops = len(clean.kinds)
	if s.stats.Failures > 0 {
		return s.stats // without a fault: nothing to learn from the others
	}
	singles := s.singles(clean)
	s.lates(clean)
	s.pairs(singles)
	t.Logf("memfs: %v", s.stats)
	return s.stats
}

func (p Plan) errors() []error {
	var errs []error
	for _, e := range p.Errnos {
		errs = append(errs, e)
	}
	return errs
}

func (p Plan) covers(op Op) bool {
	return (len(p.Views) == 0 || slices.Contains(p.Views, op.View)) &&
		(len(p.Kinds) == 0 || slices.Contains(p.Kinds, op.Kind))
}

type sweep struct {
	t        testing.TB
	plan     Plan
	scenario func(m *Mem) error
	stats    Stats
}

// outcome is what a run went through.
type outcome struct {
	faults []fault
	kinds  []string // of the covered operations
}

func (s *sweep) over() bool { return s.stats.Failures >= maxFailures }

// run runs the scenario once and reports its failure.
func (s *sweep) run(faults ...fault) outcome {
	s.t.Helper()
	o := outcome{faults: faults}
	m := New(s.plan.Options)
	m.Inject = func(op Op) Verdict {
		if !s.plan.covers(op) {
			return Verdict{}
		}
		n := len(o.kinds)
		o.kinds = append(o.kinds, op.Kind)
		var verdict Verdict
		for _, f := range faults {
			if f.mode == modeLate && f.land == n && n > f.at {
				m.LandAll()
			}
			if f.at == n {
				verdict = f.verdict()
			}
		}
		return verdict
	}
	err := caught(s.scenario, m)
	for _, f := range faults {
		if err == nil && f.at >= len(o.kinds) {
			err = fmt.Errorf("fault %v never came: the scenario isn't deterministic, or its operations changed", f)
		}
	}
	if err != nil {
		s.stats.Failures++
		s.t.Errorf("memfs: with faults %q: %v\n%swhat is there:\n%sto run it again: memfs.Plan{Replay: %q, ...}",
			formatFaults(faults), err, m.Trace(), m.Tree(), formatFaults(faults))
	}
	return o
}

// caught turns a panic into an error, so that its faults are printed.
func caught(scenario func(m *Mem) error, m *Mem) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return scenario(m)
}

// singles runs each single fault, and returns what each run went through: a
// fault may lead to operations that a clean run doesn't have, to be covered by
// the pairs.
func (s *sweep) singles(clean outcome) []outcome {
	var all []outcome
	for at, kind := range clean.kinds {
		for _, f := range s.plan.faultsOf(kind) {
			if s.over() {
				return all
			}
			f.at = at
			all = append(all, s.run(f))
			s.stats.Singles++
		}
	}
	return all
}

// lates: each operation lands before each later one, and at the end.
func (s *sweep) lates(clean outcome) {
	if s.plan.Late == 0 {
		return
	}
	var all []fault
	for at, kind := range clean.kinds {
		if !slices.Contains(mutating, kind) {
			continue
		}
		after := s.run(fault{at: at, mode: modeLate})
		s.stats.Lates++
		for land := at + 1; land < len(after.kinds); land++ {
			all = append(all, fault{at: at, mode: modeLate, land: land})
		}
	}
	s.stats.LatesAll = len(all) + s.stats.Lates
	for _, i := range sample(len(all), s.plan.Late, s.plan.Sample) {
		if s.over() {
			return
		}
		s.run(all[i])
		s.stats.Lates++
	}
}

// pairs: after each single fault, each further one.
func (s *sweep) pairs(singles []outcome) {
	if s.plan.Pairs == 0 {
		return
	}
	type pair struct{ first, second fault }
	var all []pair
	for _, o := range singles {
		first := o.faults[0]
		for at := first.at + 1; at < len(o.kinds); at++ {
			for _, f := range s.plan.faultsOf(o.kinds[at]) {
				f.at = at
				all = append(all, pair{first, f})
			}
		}
	}
	s.stats.PairsAll = len(all)
	for _, i := range sample(len(all), s.plan.Pairs, s.plan.Sample) {
		if s.over() {
			return
		}
		s.run(all[i].first, all[i].second)
		s.stats.Pairs++
	}
}

// sample returns at most max of the indexes below n: one out of each of max
// equal stretches, by chance, so that no rhythm hides a kind of fault.
func sample(n, max, seed int) []int {
	indexes := make([]int, min(n, max))
	coins := rand.New(rand.NewPCG(uint64(seed), 2))
	for i := range indexes {
		from, to := i*n/len(indexes), (i+1)*n/len(indexes)
		indexes[i] = from + coins.IntN(to-from)
	}
	return indexes
}
