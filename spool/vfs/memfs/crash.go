package memfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// store makes a change durable.
func (c change) store() {
	for _, e := range c {
		if e.after == nil {
			delete(e.dir.durable, e.base)
		} else {
			e.dir.durable[e.base] = e.after
		}
	}
}

// fits says whether the durable state is the one that the change started from.
func (c change) fits() bool {
	for _, e := range c {
		if e.dir.durable[e.base] != e.before {
			return false
		}
	}
	return true
}

// syncDirs makes durable what was changed in the directories, with all that it
// builds upon: the earlier changes of the same entries, elsewhere too.
func (m *Mem) syncDirs(dirs []*node) {
	if m.opts.KeepOrder {
		for _, c := range m.changes {
			c.store()
		}
		m.changes = nil
		return
	}
	needed := map[place]bool{}
	keep := make([]bool, len(m.changes))
	for i := len(m.changes) - 1; i >= 0; i-- {
		c := m.changes[i]
		keep[i] = slices.ContainsFunc(c, func(e edit) bool { return needed[e.place] || slices.Contains(dirs, e.dir) })
		if keep[i] {
			for _, e := range c {
				needed[e.place] = true
			}
		}
	}
	rest := m.changes[:0]
	for i, c := range m.changes {
		if keep[i] {
			c.store()
		} else {
			rest = append(rest, c)
		}
	}
	clear(m.changes[len(rest):])
	m.changes = rest
}

// Crash is a power cut of the machine that holds the files. All processes die,
// no lock is left, nothing lands any more. Of what wasn't synced, each
// operation's change of names survives by a coin (one coin for a rename: both
// its halves or none, as with every journal), if what it builds upon did; and
// of appended data any first part. Seed 0 stands for the worst: nothing of it
// survives.
func (m *Mem) Crash(seed uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range m.views {
		v.die(true)
	}
	m.pending = nil
	coins := rand.New(rand.NewPCG(seed, 1))
	first := 0
	if seed != 0 && m.opts.KeepOrder {
		first = coins.IntN(len(m.changes) + 1)
	}
	for i, c := range m.changes {
		if m.opts.KeepOrder && i < first || !m.opts.KeepOrder && seed != 0 && coins.IntN(2) == 0 && c.fits() {
			c.store()
		}
	}
	m.changes = nil
	used := map[uint64]*node{}
	m.reboot(m.root, used, func(unsynced int) int {
		if seed == 0 {
			return 0
		}
		return coins.IntN(unsynced + 1)
	})
	m.freeIno = slices.DeleteFunc(m.freeIno, func(ino uint64) bool { return used[ino] != nil })
}

// reboot makes the durable state the visible one, from n downwards, in the
// order of names so that a seed gives one result.
func (m *Mem) reboot(n *node, used map[uint64]*node, survives func(unsynced int) int) {
	n.nlink++
	if used[n.ino] == n { // another name of a file
		return
	}
	n.nlink, n.open, n.dead, n.free, n.lock = 1, 0, false, false, nil
	if used[n.ino] != nil { // its number was given away, but it came back
		n.ino = m.nextIno
		m.nextIno++
	}
	used[n.ino] = n
	if !n.isDir() {
		tail := n.data[min(len(n.synced), len(n.data)):]
		n.data = append(slices.Clip(n.synced), tail[:survives(len(tail))]...)
		n.synced = n.data
		return
	}
	n.entries, n.last = maps.Clone(n.durable), nil
	for _, name := range slices.Sorted(maps.Keys(n.entries)) {
		child := n.entries[name]
		if child.isDir() {
			child.parent = n
		}
		m.reboot(child, used, survives)
	}
}
