package simenv

import (
	"context"
	"fmt"
	"iter"
	"runtime/debug"
	"time"
)

// Task is a coroutine of a process.
type Task struct {
	proc   *Proc
	name   string
	next   func() (struct{}, bool)
	stop   func()
	yield  func(struct{}) bool
	wait   uint32 // which wait it is in; a wake for another one is void
	parked bool
	ended  bool
	group  *ctxWaits
	place  int // in group
}

// killed unwinds a task.
type killed struct{}

func newTask(p *Proc, name string, f func()) *Task {
	t := &Task{proc: p, name: name, parked: true}
	t.next, t.stop = iter.Pull(func(yield func(struct{}) bool) {
		t.yield = yield
		defer t.recovered()
		f()
	})
	return t
}

func (t *Task) recovered() {
	if r := recover(); r != nil {
		if _, ok := r.(killed); !ok {
			t.proc.m.w.Stop(fmt.Sprintf("panic in %s of %s: %v\n%s", t.name, t.proc.name, r, debug.Stack()))
		}
	}
	t.ended = true
}

// Current is the task that runs, nil in the world's own turn.
func (w *World) Current() *Task { return w.current }

// Name is the task's name, Proc its process.
func (t *Task) Name() string { return t.name }

// Proc is the task's process.
func (t *Task) Proc() *Proc { return t.proc }

// run lets the task go on until it waits or ends.
func (t *Task) run() {
	w := t.proc.m.w
	t.parked = false
	t.unwatch()
	outer := w.current
	w.current = t
	_, alive := t.next()
	w.current = outer
	if !alive {
		t.proc.forget(t)
	}
	t.proc.Poll()
}

// end unwinds the task.
func (t *Task) end() {
	w := t.proc.m.w
	outer := w.current
	w.current = t
	t.parked = false
	t.stop()
	w.current = outer
	t.proc.forget(t)
}

func (p *Proc) forget(t *Task) {
	t.ended = true
	for i := len(p.tasks) - 1; i >= 0; i-- {
		if p.tasks[i] == t {
			p.tasks = append(p.tasks[:i], p.tasks[i+1:]...)
			return
		}
	}
}

// begin starts a new wait: wakes of earlier ones are void.
func (t *Task) begin() uint32 {
	if t.proc.dead {
		panic(killed{})
	}
	t.wait++
	return t.wait
}

// park waits until a wake of this wait.
func (t *Task) park() {
	if t.proc.m.w.current != t {
		panic("simenv: a task parks itself only")
	}
	t.parked = true
	if !t.yield(struct{}{}) || t.proc.dead {
		panic(killed{})
	}
}

// Park waits until Wake is called with the number that arrange was given; that
// may be during arrange, or never. If the process is killed it doesn't return.
// It is for what stands outside a process: a network, a cluster.
func (t *Task) Park(arrange func(wait uint32)) {
	wait := t.begin()
	t.parked = true
	arrange(wait)
	t.park()
}

// Wake ends a wait. It returns false if that is over already.
func (t *Task) Wake(wait uint32) bool { return t.WakeIn(wait, 0) }

// WakeIn ends a wait now, but the task goes on only once d has gone by, as one
// whose answer is on its way: nothing else can wake it meanwhile.
func (t *Task) WakeIn(wait uint32, d time.Duration) bool {
	if t.ended || !t.parked || t.wait != wait || t.proc.dead {
		return false
	}
	t.wait++
	t.proc.m.w.push(event{at: t.proc.m.w.now + max(d, 0), task: t, wait: t.wait})
	return true
}

// timer ends the wait after d, by the machine's clock.
func (t *Task) timer(d time.Duration) {
	m := t.proc.m
	m.w.push(event{at: m.w.now + min(d, forever), task: t, wait: t.wait, timer: true, lost: m.lost})
}

// due says whether the task goes on now. If its process is stopped, or its
// machine, it does so later.
func (t *Task) due(e *event) bool {
	p := t.proc
	if t.ended || !t.parked || t.wait != e.wait || p.dead {
		return false
	}
	switch {
	case p.m.frozen:
		p.m.late = append(p.m.late, *e)
		return false
	case e.timer && e.lost < p.m.lost:
		e.at, e.lost = e.at+p.m.lost-e.lost, p.m.lost
		p.m.w.push(*e)
		return false
	case p.stopped:
		e.timer = false // it is due: a freeze of the machine adds nothing
		p.late = append(p.late, *e)
		return false
	}
	return true
}

// ctxWaits are the tasks of a process that a context's end wakes.
type ctxWaits struct {
	done    <-chan struct{}
	waiters []waiter
}

func (t *Task) watch(ctx context.Context) {
	done := ctx.Done()
	if done == nil {
		return
	}
	var g *ctxWaits
	for _, have := range t.proc.waits {
		if have.done == done {
			g = have
			break
		}
	}
	if g == nil {
		g = &ctxWaits{done: done}
		t.proc.waits = append(t.proc.waits, g)
	}
	t.group, t.place = g, len(g.waiters)
	g.waiters = append(g.waiters, waiter{t, t.wait})
}

func (t *Task) unwatch() {
	g := t.group
	if g == nil {
		return
	}
	last := len(g.waiters) - 1
	g.waiters[t.place] = g.waiters[last]
	g.waiters[t.place].t.place = t.place
	g.waiters = g.waiters[:last]
	t.group = nil
	if last > 0 {
		return
	}
	p := t.proc
	for i, have := range p.waits {
		if have == g {
			p.waits = append(p.waits[:i], p.waits[i+1:]...)
			return
		}
	}
}

// Poll wakes the tasks whose context has ended. It is called after each turn of
// a task of the process; who cancels from outside calls it.
func (p *Proc) Poll() {
	for _, g := range p.waits {
		select {
		case <-g.done:
			for _, w := range g.waiters {
				w.t.Wake(w.wait)
			}
		default:
		}
	}
}
