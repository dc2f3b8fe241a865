package spool_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"fencepost/spool/vfs/memfs"
)

// actor is one task in an exploration. It runs until its next operation, then
// waits until the scheduler picks it again: paused there, it is a host that is
// stopped, or whose operation is late.
type actor struct {
	name string
	run  func() error

	grant chan struct{}
	ended bool
	steps int // operations it made
}

// turn makes another actor go on at a step, or, with fault, makes the operation
// of that step go wrong.
type turn struct {
	step  int
	to    string
	fault string
}

func (t turn) String() string { return fmt.Sprintf("%d:%s%s", t.step, t.to, t.fault) }

func planString(plan []turn) string {
	var parts []string
	for _, t := range plan {
		parts = append(parts, t.String())
	}
	return strings.Join(parts, " ")
}

func parsePlan(s string) (plan []turn) {
	for _, part := range strings.Fields(s) {
		step, what, _ := strings.Cut(part, ":")
		t := turn{step: must(strconv.Atoi(step)), to: what}
		if i := strings.IndexAny(what, "-+=~"); i >= 0 {
			t.to, t.fault = what[:i], what[i:]
		}
		plan = append(plan, t)
	}
	return plan
}

// explorer runs one schedule: one actor at a time, switched at operations.
type explorer struct {
	m       *memfs.Mem
	actors  []*actor
	running *actor
	back    chan *actor
	plan    map[int][]turn
	log     []step
	check   func() error
	broken  error
	verdict memfs.Verdict // of the operation that was let through
}

// step is what a schedule could have done otherwise.
type step struct {
	ran    string
	others []string
	kind   string
}

// unscheduled operations are no scheduling points: they concern nobody else.
var unscheduled = map[string]bool{memfs.Append: true, memfs.LogSync: true, memfs.Sync: true, memfs.OpenLog: true}

func (e *explorer) before(op memfs.Op) {
	a := e.running
	if a == nil || op.View == "check" || unscheduled[op.Kind] {
		return
	}
	e.log[len(e.log)-1].kind = "" // the step before ended here
	e.back <- a
	<-a.grant
	a.steps++
	e.log[len(e.log)-1].kind = op.Kind
}

func (e *explorer) inject(op memfs.Op) memfs.Verdict {
	if e.running == nil || unscheduled[op.Kind] {
		return memfs.Verdict{}
	}
	v := e.verdict
	e.verdict = memfs.Verdict{}
	return v
}

// run lets the actors go on, in their order unless the plan says otherwise,
// until all have ended.
func (e *explorer) run(plan []turn) {
	e.back = make(chan *actor)
	for _, t := range plan {
		if e.plan == nil {
			e.plan = map[int][]turn{}
		}
		e.plan[t.step] = append(e.plan[t.step], t)
	}
	for _, a := range e.actors {
		a.grant = make(chan struct{})
		go func() {
			<-a.grant
			_ = a.run()
			a.ended = true
			e.back <- a
		}()
	}
	var current *actor
	for len(e.log) < 2000 {
		var ready []*actor
		for _, a := range e.actors {
			if !a.ended {
				ready = append(ready, a)
			}
		}
		if len(ready) == 0 {
			break
		}
		if current == nil || current.ended {
			current = ready[0]
		}
		e.verdict = memfs.Verdict{}
		for _, t := range e.plan[len(e.log)] {
			if t.fault != "" {
				e.verdict = verdictOf(t.fault)
				continue
			}
			if i := slices.IndexFunc(ready, func(a *actor) bool { return a.name == t.to }); i >= 0 {
				current = ready[i]
			}
		}
		s := step{ran: current.name}
		for _, a := range ready {
			if a != current {
				s.others = append(s.others, a.name)
			}
		}
		e.log = append(e.log, s)
		e.running = current
		current.grant <- struct{}{}
		<-e.back
		e.running = nil
		if err := e.check(); err != nil && e.broken == nil {
			e.broken = fmt.Errorf("after step %d of %s: %w", len(e.log)-1, current.name, err)
		}
	}
}

func verdictOf(fault string) memfs.Verdict {
	errs := map[string]error{}
	for _, e := range everyErrno {
		errs[errnoName(e)] = e
	}
	v := memfs.Verdict{Apply: fault[0] != '-', Err: errs[fault[1:]], Stale: fault[0] == '='}
	v.Die = fault[1:] == "die"
	return v
}

// setting is a world with its actors, made anew for each schedule; end checks
// what came of it.
type setting func(w *world) (actors []*actor)

// explorePlan bounds an exploration: at most switches preemptions, and, with
// faults, one of them at any operation as well; at most runs schedules, evenly
// picked.
type explorePlan struct {
	switches int
	faults   []string
	runs     int
	replay   string
}

// explore runs all schedules of a setting within the bounds, and requires of
// each that every promise holds on the way and after recovery.
func explore(t *testing.T, p explorePlan, set setting) {
	t.Helper()
	if thorough {
		p.runs = 1 << 30
	}
	if p.replay != "" {
		if _, err := exploreOne(set, parsePlan(p.replay)); err != nil {
			t.Error(err)
		}
		return
	}
	level := [][]turn{nil}
	runs, failed, all := 0, 0, 1
	for depth := 0; len(level) > 0; depth++ {
		var next [][]turn
		for _, plan := range level {
			log, err := exploreOne(set, plan)
			runs++
			if err != nil {
				t.Errorf("schedule %q: %v", planString(plan), err)
				if failed++; failed == 3 {
					return
				}
			}
			next = append(next, p.children(plan, log)...)
		}
		if all += len(next); len(next) > p.runs {
			next = thin(next, p.runs)
		}
		level = next
	}
	t.Logf("%d schedules of %d", runs, all)
}

// thin picks evenly, off the rhythm of the list.
func thin(plans [][]turn, n int) [][]turn {
	out := make([][]turn, n)
	for i := range out {
		from, to := i*len(plans)/n, (i+1)*len(plans)/n
		out[i] = plans[from+i*7919%(to-from)]
	}
	return out
}

// children are the schedules with one more turn, after the last one.
func (p explorePlan) children(plan []turn, log []step) (out [][]turn) {
	from, switches, faults := 0, 0, 0
	for _, t := range plan {
		from = max(from, t.step)
		if t.fault == "" {
			switches++
		} else {
			faults++
		}
	}
	if len(plan) > 0 {
		from++
	}
	for i := from; i < len(log); i++ {
		if switches < p.switches {
			for _, other := range log[i].others {
				out = append(out, append(slices.Clone(plan), turn{step: i, to: other}))
			}
		}
		if faults == 0 && log[i].kind != "" {
			for _, f := range p.faults {
				if f[0] == '=' && log[i].kind != memfs.List || f[0] == '+' && !changes[log[i].kind] {
					continue
				}
				out = append(out, append(slices.Clone(plan), turn{step: i, fault: f}))
			}
		}
	}
	return out
}

func exploreOne(set setting, plan []turn) (log []step, err error) {
	m := memfs.New(memfs.Options{SyncExport: true})
	w := newWorld(m)
	e := &explorer{m: m, check: w.check}
	m.Quiet(func() { e.actors = set(w) })
	m.Before, m.Inject = e.before, e.inject
	e.run(plan)
	err = e.broken
	m.Calm()
	if err == nil {
		err = w.recoverAll()
	}
	if err != nil {
		err = fmt.Errorf("%w\n%v%s", err, tail(m.Trace()), m.Tree())
	}
	return e.log, err
}

func tail(t memfs.Trace) memfs.Trace {
	return slices.DeleteFunc(t, func(e memfs.Entry) bool { return e.View == "init" || e.View == "check" })
}
