package nfssim

import (
	"time"

	"fencepost/spool/env/simenv"
)

// turn is a lock that tasks of one machine hand on in the order in which they
// asked for it.
type turn struct {
	held    bool
	since   time.Duration // it is
	busy    time.Duration // for how long it was, before
	waiting []waiter
}

type waiter struct {
	task *simenv.Task
	wait uint32
}

func (t *turn) take(task *simenv.Task) {
	if !t.held {
		t.held, t.since = true, task.Proc().World().Now()
		return
	}
	task.Park(func(wait uint32) { t.waiting = append(t.waiting, waiter{task, wait}) })
}

func (t *turn) give(now time.Duration) {
	for len(t.waiting) > 0 {
		w := t.waiting[0]
		t.waiting = t.waiting[1:]
		if w.task.Wake(w.wait) {
			return // it is the next one's now
		}
	}
	t.held = false
	t.busy += now - t.since
}

// change takes the kernel's locks for a change of names in a directory, or two.
// They are held while the server is asked: Linux has one lock a directory
// (i_rwsem), and one a file system for renames between directories
// (s_vfs_rename_mutex). What is returned gives them back.
func (c *Client) change(dir, other *inode) (done func()) {
	if !c.opt.Thorough {
		return func() {}
	}
	task := c.s.w.Current()
	if other == nil || other == dir {
		dir.turn.take(task)
		return func() { dir.turn.give(c.s.w.Now()) }
	}
	c.renames.take(task)
	dir.turn.take(task)
	other.turn.take(task)
	return func() {
		now := c.s.w.Now()
		other.turn.give(now)
		dir.turn.give(now)
		c.renames.give(now)
	}
}

// tell asks the server something that changes nothing anybody sees, and that
// only a thorough client asks.
func (c *Client) tell(k *Call, op opcode, n *node) {
	if !c.opt.Thorough || !c.s.v4 {
		return
	}
	r := c.rpc(k, op)
	r.request.node = n
	_ = r.do()
	c.put(r)
}

// Renaming is for how long, so far, a thorough client was renaming from one
// directory to another, or asking for such.
func (c *Client) Renaming() time.Duration {
	if c.renames.held {
		return c.renames.busy + c.s.w.Now() - c.renames.since
	}
	return c.renames.busy
}
