package memfs

import (
	"fmt"
	"slices"
	"strings"

	"fencepost/spool/vfs"
)

// Point is a moment: an operation that matches, the Nth of them (from 0), just
// before or just after. Empty fields match everything.
type Point struct {
	View, Kind string
	Name       string // part of From or To
	N          int
	After      bool
}

func (p Point) matches(op Op, after bool) bool {
	return p.After == after &&
		(p.View == "" || p.View == op.View) &&
		(p.Kind == "" || p.Kind == op.Kind) &&
		(strings.Contains(op.From, p.Name) || strings.Contains(op.To, p.Name))
}

func (p Point) String() string {
	when := "before"
	if p.After {
		when = "after"
	}
	return fmt.Sprintf("%s %q %q %q #%d", when, p.View, p.Kind, p.Name, p.N)
}

type point struct {
	Point
	run func()
}

// At has f run once, at the point. f may use every view, kill one, and set
// further points.
func (m *Mem) At(p Point, f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.points = append(m.points, &point{p, f})
}

// Unfired returns the points that never came: a schedule that wasn't.
func (m *Mem) Unfired() []Point {
	m.mu.Lock()
	defer m.mu.Unlock()
	var left []Point
	for _, p := range m.points {
		left = append(left, p.Point)
	}
	return left
}

// runPoints takes the points that are due off the list, then runs them: what
// they do can't set them off again.
func (m *Mem) runPoints(op Op, after bool) {
	m.mu.Lock()
	var due []*point
	m.points = slices.DeleteFunc(m.points, func(p *point) bool {
		if !p.matches(op, after) {
			return false
		}
		p.N--
		if p.N < 0 {
			due = append(due, p)
		}
		return p.N < 0
	})
	m.mu.Unlock()
	for _, p := range due {
		p.run()
	}
}

// pending is a request that was delayed on its way.
type pending struct {
	request
	err error // of its look-up
}

// Pending returns the operations that have yet to land, oldest first.
func (m *Mem) Pending() []Op {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ops []Op
	for _, p := range m.pending {
		ops = append(ops, p.op)
	}
	return ops
}

// Land lets the delayed operation with number n take effect now. It returns
// the error that nobody waits for any more, and panics if n isn't pending.
func (m *Mem) Land(n int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.pending, func(p *pending) bool { return p.op.N == n })
	if i < 0 {
		panic(fmt.Sprintf("memfs: operation %d isn't pending", n))
	}
	p := m.pending[i]
	m.pending = slices.Delete(m.pending, i, i+1)
	err := p.err
	if err == nil {
		err = p.do(Verdict{Apply: true})
	}
	if !m.opts.NoTrace {
		m.trace = append(m.trace, Entry{Op: p.op, Err: err, Landed: true})
	}
	return err
}

// LandAll lands everything, oldest first.
func (m *Mem) LandAll() {
	for _, op := range m.Pending() {
		_ = m.Land(op.N)
	}
}

// frozen is an answer from the past.
type frozen struct {
	names   []string
	listErr error
	file    found
	fileErr error
}

// found is a file that was looked up.
type found struct {
	data []byte
	id   vfs.ID
}

// Freeze has the view's next List, Read or Identify of exactly this name
// answered with what holds now: a client's cache. Once.
func (v *View) Freeze(name string) {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	var f frozen
	d, err := v.m.dir(name)
	f.listErr = err
	if err == nil {
		f.names = v.m.names(d, false)
	}
	p, err := v.m.place(name)
	var n *node
	if err == nil {
		n, err = p.file()
	}
	f.fileErr = err
	if err == nil {
		f.file = found{n.data, n.id()}
	}
	v.frozen[name] = f
}

func (v *View) thaw(name string) (frozen, bool) {
	f, ok := v.frozen[name]
	delete(v.frozen, name)
	return f, ok
}

// look runs an operation that reads a file.
func (v *View) look(kind, name string, do func(found) error) error {
	if err := vfs.CheckName(kind, name); err != nil {
		return err
	}
	var p place
	var old *frozen
	return v.call(request{
		op: Op{Kind: kind, From: name},
		find: func() (err error) {
			if f, ok := v.thaw(name); ok {
				old = &f
				return f.fileErr
			}
			p, err = v.m.place(name)
			return err
		},
		do: func(Verdict) error {
			if old != nil {
				return do(old.file)
			}
			n, err := p.file()
			if err != nil {
				return err
			}
			return do(found{n.data, n.id()})
		},
	})
}
