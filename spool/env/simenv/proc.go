package simenv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"fencepost/spool/env"
	"fencepost/spool/vfs"
)

// ErrKilled is what a killed process's last calls may see on the way to its
// end.
var ErrKilled = errors.New("simenv: this process is dead")

// Machine is what processes run on: it has a clock.
type Machine struct {
	w      *World
	name   string
	frozen bool
	since  time.Duration // of the freeze
	lost   time.Duration // time that its clock doesn't know of
	skew   time.Duration // of its wall clock
	late   []event       // what became due while it was frozen
	starts int
}

// Machine returns a new machine.
func (w *World) Machine(name string) *Machine {
	m := &Machine{w: w, name: name}
	w.machines = append(w.machines, m)
	return m
}

// Name is the machine's name.
func (m *Machine) Name() string { return m.name }

// Freeze stops the machine with its clocks, as a paused virtual machine is: it
// can't notice.
func (m *Machine) Freeze() {
	if !m.frozen {
		m.frozen, m.since = true, m.w.now
	}
}

// Thaw ends a Freeze.
func (m *Machine) Thaw() {
	if !m.frozen {
		return
	}
	m.frozen = false
	m.lost += m.w.now - m.since
	for _, e := range m.late {
		if e.timer {
			e.at, e.lost = e.at+m.lost-e.lost, m.lost
		} else {
			e.at = m.w.now
		}
		m.w.push(e)
	}
	m.late = nil
}

// Frozen says whether it is.
func (m *Machine) Frozen() bool { return m.frozen }

// Stood is for how long the machine has been frozen, by the world's clock; 0 if
// it isn't.
func (m *Machine) Stood() time.Duration {
	if !m.frozen {
		return 0
	}
	return m.w.now - m.since
}

// Skew sets how far the wall clock is ahead: it jumps.
func (m *Machine) Skew(d time.Duration) { m.skew = d }

// Now is the machine's own clock.
func (m *Machine) Now() time.Duration {
	if m.frozen {
		return m.since - m.lost
	}
	return m.w.now - m.lost
}

// Proc is a process: an Env whose tasks live and die together.
type Proc struct {
	m       *Machine
	name    string
	fs      vfs.FS
	random  *Lane
	dead    bool
	stopped bool
	late    []event // what became due while it was stopped
	tasks   []*Task
	waits   []*ctxWaits
	onDeath []func()
}

var _ env.Env = (*Proc)(nil)

// Start starts a process without tasks.
func (m *Machine) Start(name string) *Proc {
	m.starts++
	p := &Proc{m: m, name: name, random: m.w.tape.Lane(fmt.Sprintf("random/%s/%d/%s", m.name, m.starts, name))}
	m.w.procs = append(m.w.procs, p)
	return p
}

// Name, Machine, World: whose it is.
func (p *Proc) Name() string { return p.name }

// Machine is where the process runs.
func (p *Proc) Machine() *Machine { return p.m }

// World is the process's.
func (p *Proc) World() *World { return p.m.w }

// SetFS gives the process its view of the share.
func (p *Proc) SetFS(fs vfs.FS) { p.fs = fs }

// OnDeath has f run when the process is killed, before its tasks unwind.
func (p *Proc) OnDeath(f func()) { p.onDeath = append(p.onDeath, f) }

// Dead says whether the process was killed.
func (p *Proc) Dead() bool { return p.dead }

// Stopped says whether the process is stopped.
func (p *Proc) Stopped() bool { return p.stopped }

// Kill ends the process, as SIGKILL does. Its tasks unwind in a turn of their
// own; the calls that they make on the way see a dead process.
func (p *Proc) Kill() {
	if p.dead {
		return
	}
	p.dead = true
	for _, f := range p.onDeath {
		f()
	}
	p.m.w.After(0, p.unwind)
}

// Stop stops the process, as SIGSTOP does: its clock goes on.
func (p *Proc) Stop() { p.stopped = true }

// Continue ends a Stop.
func (p *Proc) Continue() {
	p.stopped = false
	for _, e := range p.late {
		e.at = p.m.w.now
		p.m.w.push(e)
	}
	p.late = nil
}

// unwind ends the tasks, which run their deferred calls.
func (p *Proc) unwind() {
	for len(p.tasks) > 0 {
		t := p.tasks[len(p.tasks)-1]
		t.end()
	}
	p.waits, p.late = nil, nil
}

// FS implements env.Env.
func (p *Proc) FS() vfs.FS { return p.fs }

// Wall implements env.Env.
func (p *Proc) Wall() time.Time { return p.m.w.start.Add(p.m.Now() + p.m.skew) }

// Now implements env.Env.
func (p *Proc) Now() time.Duration { return p.m.Now() }

// Random implements env.Env.
func (p *Proc) Random(b []byte) {
	for len(b) > 0 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], p.random.Raw())
		b = b[copy(b, word[:]):]
	}
}

// Sleep implements env.Env.
func (p *Proc) Sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	t := p.task()
	t.begin()
	t.timer(max(d, 0))
	t.watch(ctx)
	t.park()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// Go implements env.Env. A dead process starts nothing.
func (p *Proc) Go(name string, f func()) {
	if p.dead {
		return
	}
	t := newTask(p, name, f)
	p.tasks = append(p.tasks, t)
	p.m.w.push(event{at: p.m.w.now, task: t, wait: t.wait})
}

// task is the one that runs, which must be the process's.
func (p *Proc) task() *Task {
	t := p.m.w.current
	if t == nil || t.proc != p {
		panic("simenv: only a task of process " + p.name + " may wait in it")
	}
	return t
}

// NewSignal implements env.Env.
func (p *Proc) NewSignal() env.Signal { return &signal{p: p} }

type signal struct {
	p       *Proc
	kept    bool
	waiters []waiter
}

type waiter struct {
	t    *Task
	wait uint32
}

func (s *signal) Notify() {
	for len(s.waiters) > 0 {
		w := s.waiters[0]
		s.waiters = s.waiters[1:]
		if w.t.Wake(w.wait) {
			return
		}
	}
	s.kept = true
}

func (s *signal) Wait(ctx context.Context, d time.Duration) {
	if s.kept || d <= 0 || ctx.Err() != nil {
		s.kept = false
		return
	}
	t := s.p.task()
	t.begin()
	if d < forever {
		t.timer(d)
	}
	t.watch(ctx)
	s.waiters = append(s.waiters[:0:0], append(s.waiters, waiter{t, t.wait})...)
	t.park()
	s.kept = false
	for i, w := range s.waiters {
		if w.t == t {
			s.waiters = append(s.waiters[:i], s.waiters[i+1:]...)
			break
		}
	}
}

// forever is longer than any run.
const forever = time.Duration(1 << 61)
