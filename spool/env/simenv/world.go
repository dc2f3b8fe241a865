package simenv

import (
	"fmt"
	"time"
)

// World has the clock, and everything that is going to happen.
type World struct {
	// Limit ends a run after so many steps, as one that goes on for ever; 0 =
	// no limit.
	Limit uint64

	tape     *Tape
	start    time.Time
	now      time.Duration
	events   heap
	seq      uint64
	steps    uint64
	hash     uint64
	machines []*Machine
	procs    []*Proc // alive, or with tasks that unwind
	current  *Task   // nil: the world's own turn
	failure  string
}

// New returns a world at time 0, where nothing happens yet.
func New(t *Tape) *World {
	return &World{tape: t, hash: fnvStart, start: time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)}
}

// Tape is the world's.
func (w *World) Tape() *Tape { return w.tape }

// Now is the time since the start: no machine's clock.
func (w *World) Now() time.Duration { return w.now }

// Steps counts turns: a task that goes on until it waits again, or an effect
// on a server.
func (w *World) Steps() uint64 { return w.steps }

// Hash is over everything that happened: two runs with the same one took the
// same steps.
func (w *World) Hash() uint64 { return w.hash }

// Mix adds words to the hash.
func (w *World) Mix(words ...string) {
	for _, s := range words {
		w.hash = mixString(w.hash, s)
		w.hash = (w.hash ^ 0xff) * fnvPrime
	}
}

// MixNumber adds a number to the hash.
func (w *World) MixNumber(x uint64) { w.hash = mix(w.hash, x) }

// Failure says why the world stopped by itself: a task's panic, or the limit.
func (w *World) Failure() string { return w.failure }

// Stop stops the world for good: the run in progress returns after this step.
func (w *World) Stop(why string) {
	if w.failure == "" {
		w.failure = why
	}
}

// After has f run once d has gone by, in the world's own turn: it must not
// wait. Events of one moment happen in the order in which they were asked for.
func (w *World) After(d time.Duration, f func()) {
	w.push(event{at: w.now + max(d, 0), f: f})
}

func (w *World) push(e event) {
	w.seq++
	e.seq = w.seq
	w.events.push(e)
}

// Run lets things happen until the given time, or until nothing is left to
// happen, or the world stopped. It returns whether it got there.
func (w *World) Run(until time.Duration) bool {
	for w.failure == "" {
		if len(w.events) == 0 || w.events[0].at > until {
			w.now = max(w.now, until)
			return true
		}
		w.step()
	}
	return false
}

// RunUntil is Run that also ends as soon as a condition holds, asked after
// each step.
func (w *World) RunUntil(until time.Duration, holds func() bool) bool {
	for w.failure == "" && !holds() {
		if len(w.events) == 0 || w.events[0].at > until {
			w.now = max(w.now, until)
			return holds()
		}
		w.step()
	}
	return w.failure == "" && holds()
}

func (w *World) step() {
	e := w.events.pop()
	w.now = e.at
	if e.f == nil && !e.task.due(&e) {
		return
	}
	w.steps++
	w.hash = mix(w.hash, uint64(e.at)^e.seq<<40)
	if e.f != nil {
		e.f()
	} else {
		e.task.run()
	}
	if w.Limit > 0 && w.steps >= w.Limit {
		w.Stop(fmt.Sprintf("still not over after %d steps", w.steps))
	}
}

// Close ends all tasks. The world is of no use afterwards.
func (w *World) Close() {
	w.events = nil
	for len(w.procs) > 0 {
		p := w.procs[0]
		p.Kill()
		p.unwind()
		w.procs = w.procs[1:]
	}
}

// event is something at a time: a function, or a task that goes on if it still
// waits as it did then.
type event struct {
	at   time.Duration
	seq  uint64
	f    func()
	task *Task
	wait uint32 // the task's, when this was asked for
	// timer: it is by the machine's clock, which had been stopped for so long.
	timer bool
	lost  time.Duration
}

// heap is a binary heap by time and order.
type heap []event

func (h heap) less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}

func (h *heap) push(e event) {
	*h = append(*h, e)
	s := *h
	for i := len(s) - 1; i > 0; {
		up := (i - 1) / 2
		if !s.less(i, up) {
			return
		}
		s[i], s[up] = s[up], s[i]
		i = up
	}
}

func (h *heap) pop() event {
	s := *h
	top, n := s[0], len(s)-1
	s[0] = s[n]
	s[n] = event{}
	s = s[:n]
	*h = s
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < n; c++ {
			if s.less(c, least) {
				least = c
			}
		}
		if least == i {
			return top
		}
		s[i], s[least] = s[least], s[i]
		i = least
	}
}
