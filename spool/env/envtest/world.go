package envtest

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"fencepost/spool/vfs/memfs"
)

// maxSteps ends a test whose tasks run for ever without time going by.
const maxSteps = 1_000_000

// World has the clock and decides which task runs. Its fields belong to
// whoever runs: the test, or the one task that the test has resumed; the
// channels hand them over.
type World struct {
	seed    uint64
	rng     *rand.Rand // nil: tasks take turns
	start   time.Time
	now     time.Duration
	hosts   []*Host
	tasks   []*task
	current *task
	parked  chan struct{} // the current task waits, or has ended
	turns   int
	spin    int // steps since the clock last moved
}

// task is a goroutine that runs only between a resume and the next parked.
type task struct {
	host   *Host
	name   string
	resume chan struct{}
	turn   int // when it waited last: who waits longest goes first

	ready    func() bool   // while it waits
	deadline time.Duration // by its host's clock; forever if none
	ended    bool
}

const forever = time.Duration(1<<63 - 1)

// New returns a world that ends with the test. Seed 0 lets tasks take turns;
// another one picks at random who is next.
func New(t testing.TB, seed uint64) *World {
	w := &World{
		seed:   seed,
		start:  time.Date(2001, 9, 9, 1, 46, 40, 0, time.UTC),
		parked: make(chan struct{}),
	}
	if seed != 0 {
		w.rng = rand.New(rand.NewPCG(seed, 3))
	}
	t.Cleanup(func() {
		w.Close()
		if t.Failed() {
			t.Logf("envtest: seed %d, at %v", seed, w.now)
		}
	})
	return w
}

// Close kills all hosts and ends their tasks. New has it called.
func (w *World) Close() {
	w.outside()
	for _, h := range w.hosts {
		h.Kill()
	}
	for w.step(w.now) {
	}
}

// Now returns the time since the world's start.
func (w *World) Now() time.Duration { return w.now }

// Run lets tasks run, and time go by, until all have ended. It returns an error
// that names those that wait for something that can't come.
func (w *World) Run() error {
	w.outside()
	for w.step(forever) {
	}
	if len(w.tasks) > 0 {
		return fmt.Errorf("waiting for ever: %s", w.waiting())
	}
	return nil
}

// RunFor lets d go by.
func (w *World) RunFor(d time.Duration) {
	w.RunUntil(d, func() bool { return false })
}

// RunUntil lets time go by until the condition holds, but at most d. It asks
// after each step of a task.
func (w *World) RunUntil(d time.Duration, holds func() bool) bool {
	w.outside()
	end := w.now + d
	for !holds() {
		if !w.step(end) {
			w.now, w.spin = max(w.now, end), 0
			return holds()
		}
	}
	return true
}

// Do runs a function as a task of h and returns when it has ended. It panics if
// that can't happen.
func (w *World) Do(h *Host, name string, f func()) {
	done := false
	h.Go(name, func() {
		defer func() { done = true }()
		f()
	})
	w.outside()
	for !done {
		if !w.step(forever) {
			panic(fmt.Sprintf("envtest: %s/%s never ends; waiting: %s", h.name, name, w.waiting()))
		}
	}
}

// Interleave makes each file operation a point at which another task may run.
func (w *World) Interleave(m *memfs.Mem) {
	m.Before = func(memfs.Op) { w.Yield() }
}

// Yield lets other tasks run, if a task calls it.
func (w *World) Yield() {
	if w.current != nil {
		w.wait(func() bool { return true }, forever)
	}
}

func (w *World) outside() {
	if w.current != nil {
		panic("envtest: only the test runs the world, not the task " + w.current.name)
	}
}

// step runs one task until it waits or ends. If none is ready, it first moves
// the clock to the next deadline, unless that is after end. It returns false
// if there is nothing to run until then.
func (w *World) step(end time.Duration) bool {
	w.turns++
	w.spin++
	if w.spin > maxSteps {
		panic("envtest: too many steps; waiting: " + w.waiting())
	}
	t := w.pick()
	if t == nil {
		next := forever
		for _, t := range w.tasks {
			next = min(next, t.due())
		}
		if next == forever || next > end {
			return false
		}
		w.now, w.spin = next, 0
		t = w.pick()
	}
	w.current = t
	t.resume <- struct{}{}
	<-w.parked
	w.current = nil
	if t.ended {
		w.forget(t)
	}
	return true
}

// pick returns a task that can go on.
func (w *World) pick() *task {
	var ready []*task
	for _, t := range w.tasks {
		if t.runnable() {
			ready = append(ready, t)
		}
	}
	if len(ready) == 0 {
		return nil
	}
	if w.rng != nil {
		return ready[w.rng.IntN(len(ready))]
	}
	first := ready[0]
	for _, t := range ready {
		if t.turn < first.turn {
			first = t
		}
	}
	return first
}

func (w *World) forget(t *task) {
	for i := range w.tasks {
		if w.tasks[i] == t {
			w.tasks = append(w.tasks[:i], w.tasks[i+1:]...)
			return
		}
	}
}

func (w *World) waiting() string {
	var names []string
	for _, t := range w.tasks {
		names = append(names, t.host.name+"/"+t.name)
	}
	return strings.Join(names, ", ")
}

// runnable: a killed host's tasks are run once more, to unwind.
func (t *task) runnable() bool {
	if t.host.killed {
		return true
	}
	return !t.host.stopped && !t.host.frozen && (t.ready() || t.deadline <= t.host.Now())
}

// due is the task's deadline by the world's clock.
func (t *task) due() time.Duration {
	if t.deadline >= forever-t.host.lost || t.host.stopped || t.host.frozen {
		return forever
	}
	return t.deadline + t.host.lost
}

// wait parks the current task until ready, its host's clock at deadline.
func (w *World) wait(ready func() bool, deadline time.Duration) {
	t := w.current
	if !t.host.killed {
		t.ready, t.deadline, t.turn = ready, deadline, w.turns
		w.parked <- struct{}{}
		<-t.resume
	}
	if t.host.killed {
		runtime.Goexit() // with its deferred calls, whose file operations find a dead view
	}
}

// spawn makes a task that is ready.
func (w *World) spawn(h *Host, name string, f func()) {
	t := &task{
		host: h, name: name, resume: make(chan struct{}), turn: w.turns,
		ready: func() bool { return true }, deadline: forever,
	}
	w.tasks = append(w.tasks, t)
	go func() {
		<-t.resume
		defer func() {
			t.ended = true
			w.parked <- struct{}{}
		}()
		if !h.killed {
			f()
		}
	}()
}
