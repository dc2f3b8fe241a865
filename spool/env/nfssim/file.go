package nfssim

import (
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// read returns a file's contents: not to be changed by the caller.
func (c *Client) read(k *Call, f *file) ([]byte, syscall.Errno) {
	i := f.i
	if i.n.dir {
		return nil, syscall.EISDIR
	}
	if len(i.dirty) > 0 {
		i.fault = c.flush(k, i)
	}
	if i.read != 0 && i.read == i.change && c.fresh(i) {
		return i.data, 0
	}
	r := c.rpc(k, opRead)
	r.request.node, r.grant = i.n, f.grant
	err := r.do()
	data := r.data()
	switch err {
	case 0:
		c.update(i, r.change, r.length)
		i.data, i.read = data, r.change
	case syscall.ESTALE:
		i.stale = true
	}
	c.put(r)
	return data, err
}

func (r *rpc) data() []byte { return r.reply.data }

// write puts data into the cache: it is stored by a sync, or a close.
func (c *Client) write(f *file, off int, data []byte) syscall.Errno {
	if f.flags&(unix.O_WRONLY|unix.O_RDWR) == 0 {
		return syscall.EBADF
	}
	i := f.i
	if f.flags&unix.O_APPEND != 0 {
		off = i.size
	}
	if n := len(i.dirty); n > 0 && i.dirty[n-1].f == f && i.dirty[n-1].off+len(i.dirty[n-1].data) == off {
		i.dirty[n-1].data = append(i.dirty[n-1].data, data...)
	} else {
		i.dirty = append(i.dirty, segment{off, slices.Clone(data), f})
	}
	i.size = max(i.size, off+len(data))
	return 0
}

// flush stores what was written. What fails is dropped, as Linux does.
func (c *Client) flush(k *Call, i *inode) syscall.Errno {
	segments := i.dirty
	i.dirty = nil
	if len(segments) == 0 {
		return 0
	}
	bytes, pieces := 0, segments[:0:0]
	for _, s := range segments {
		bytes += len(s.data)
		for len(s.data) > c.opt.WriteSize {
			pieces = append(pieces, segment{s.off, slices.Clip(s.data[:c.opt.WriteSize]), s.f})
			s.off, s.data = s.off+c.opt.WriteSize, s.data[c.opt.WriteSize:]
		}
		pieces = append(pieces, s)
	}
	i.flies += bytes
	err := c.store(k, i, pieces)
	i.flies -= bytes
	return err
}

// store writes one piece stably, or several and then commits. If the server has
// restarted in between, what it lost is sent again.
func (c *Client) store(k *Call, i *inode, pieces []segment) syscall.Errno {
	for {
		boot := c.s.boot
		same := true
		for n, p := range pieces {
			got, err := c.writeOut(k, i, p, len(pieces) == 1)
			if err != 0 {
				return err
			}
			if n == 0 {
				boot = got
			}
			same = same && got == boot
		}
		if len(pieces) == 1 {
			return 0
		}
		r := c.rpc(k, opCommit)
		r.request.node = i.n
		err := r.do()
		same = same && r.reply.boot == boot
		c.put(r)
		if err != 0 || same {
			return err
		}
	}
}

func (c *Client) writeOut(k *Call, i *inode, p segment, stable bool) (boot uint64, err syscall.Errno) {
	r := c.rpc(k, opWrite)
	r.request.node, r.off, r.request.data, r.stable, r.grant = i.n, p.off, p.data, stable, p.f.grant
	err = r.do()
	c.wrote(i, r, err)
	boot = r.reply.boot
	c.put(r)
	return boot, err
}

// wrote takes in the answer of a write.
func (c *Client) wrote(i *inode, r *rpc, err syscall.Errno) {
	switch {
	case err == syscall.ESTALE:
		i.stale = true
	case err == 0:
		mine := i.change == r.before
		c.changed(i, r.before, r.now)
		if i.size = max(i.size, r.length); mine && r.off == 0 && len(r.request.data) == r.length {
			i.data, i.read = r.request.data, r.now
		}
	}
}

// fsync stores what was written, and says what became of what the kernel
// stored by itself.
func (c *Client) fsync(k *Call, f *file) syscall.Errno {
	err := c.flush(k, f.i)
	if err == 0 {
		err = f.i.fault
	}
	f.i.fault = 0
	return err
}

func (c *Client) setattr(k *Call, f *file, truncate bool, size int) syscall.Errno {
	if len(f.i.dirty) > 0 {
		f.i.fault = c.flush(k, f.i)
	}
	r := c.rpc(k, opSetattr)
	r.request.node, r.truncate, r.size = f.i.n, truncate, size
	err := r.do()
	switch err {
	case 0:
		read := f.i.read == f.i.change
		c.changed(f.i, r.before, r.now)
		f.i.size = r.length
		if read && !truncate {
			f.i.read = f.i.change
		}
	case syscall.ESTALE:
		f.i.stale = true
	}
	c.put(r)
	return err
}

// close stores what was written and gives the lock back. The file is closed,
// whatever becomes of that.
func (c *Client) close(k *Call, f *file) syscall.Errno {
	if f.closed {
		return syscall.EBADF
	}
	if f.i.n.dir {
		f.closed = true
		return 0
	}
	var err syscall.Errno
	if f.flags&(unix.O_WRONLY|unix.O_RDWR) != 0 && (len(f.i.dirty) > 0 || f.i.fault != 0) {
		err = c.fsync(k, f)
	}
	if f.grant != nil {
		c.unlock(k, f)
	}
	c.localUnlock(f)
	c.tell(k, opClose, f.i.n)
	if silly := c.closed(f); silly != nil {
		c.removeNow(k, opRemove, *silly)
	}
	return err
}

// exit closes a file of a process that has died: the kernel stores what was
// written, then unlocks.
func (c *Client) exit(k *Call, f *file) {
	if f.closed {
		return
	}
	if f.i.n.dir {
		f.closed = true
		return
	}
	segments := f.i.dirty
	f.i.dirty = nil
	silly := c.closed(f)
	then := func() {
		for _, g := range []*grant{f.grant, f.second} {
			if g != nil {
				g.given = true
				c.unlockFor(k, g)
			}
		}
		if silly != nil {
			r := c.rpc(k, opRemove)
			r.dir, r.name = silly.dir.n, silly.name
			r.send(func() { c.removed(r, *silly, r.err) })
		}
	}
	c.localUnlock(f)
	for n := len(segments) - 1; n >= 0; n-- {
		p, next := segments[n], then
		then = func() {
			r := c.rpc(k, opWrite)
			r.request.node, r.off, r.request.data, r.stable, r.grant = f.i.n, p.off, p.data, true, p.f.grant
			r.send(func() {
				c.wrote(f.i, r, r.err)
				next()
			})
		}
	}
	then()
}

// ---- locks ----------------------------------------------------------------------

// nap is how often a lock is asked for that somebody else has.
const nap = time.Second

// flock takes, changes or gives back a file's lock.
func (c *Client) flock(k *Call, f *file, how int) syscall.Errno {
	shared := how&unix.LOCK_SH != 0
	switch {
	case how&unix.LOCK_UN != 0:
		return c.unlock(k, f)
	case !shared && c.s.v4 && f.flags&(unix.O_WRONLY|unix.O_RDWR) == 0:
		return syscall.EBADF
	}
	for {
		err := c.tryLock(k, f, shared)
		if err != syscall.EAGAIN || how&unix.LOCK_NB != 0 {
			return err
		}
		c.sleep(nap)
	}
}

func (c *Client) tryLock(k *Call, f *file, shared bool) syscall.Errno {
	for _, g := range f.i.flock { // the kernel knows of these, though they may be lost
		if g != f && !(shared && g.shared) {
			return syscall.EAGAIN
		}
	}
	if c.local {
		c.localLock(f, shared)
		return 0
	}
	g := f.grant
	lost := g != nil && g.lost
	switch {
	case lost: // to have it again makes nothing good that was lost
		if g = f.second; g == nil || g.lost {
			g = &grant{node: f.i.n, owner: f}
			f.second = g
		}
	case g == nil:
		g = &grant{node: f.i.n, owner: f}
		f.grant = g
	}
	r := c.rpc(k, opLock)
	r.request.node, r.grant, r.shared = f.i.n, g, shared
	err := r.do()
	c.put(r)
	if err != 0 {
		if !g.held && f.grant == g {
			f.grant = nil
		}
		return err
	}
	c.localLock(f, shared)
	f.i.at, f.i.read = -f.i.keep, 0
	return 0
}

func (c *Client) localLock(f *file, shared bool) {
	f.shared = shared
	if !slices.Contains(f.i.flock, f) {
		f.i.flock = append(f.i.flock, f)
	}
}

func (c *Client) localUnlock(f *file) {
	if i := slices.Index(f.i.flock, f); i >= 0 {
		f.i.flock = slices.Delete(f.i.flock, i, i+1)
	}
}

func (c *Client) unlock(k *Call, f *file) syscall.Errno {
	if len(f.i.dirty) > 0 {
		f.i.fault = c.flush(k, f.i)
	}
	g := f.grant
	if g == nil {
		c.localUnlock(f)
		return 0
	}
	r := c.rpc(k, opUnlock)
	r.request.node, r.grant = f.i.n, g
	err := r.do()
	c.put(r)
	if f.second != nil {
		c.unlockFor(k, f.second)
	}
	f.grant, f.second = nil, nil
	c.localUnlock(f)
	if err == syscall.ESTALE {
		err = 0
	}
	return err
}

// unlockFor has the kernel give back a lock.
func (c *Client) unlockFor(k *Call, g *grant) {
	r := c.rpc(k, opUnlock)
	r.request.node, r.grant = g.node, g
	r.send(nil)
}

// sleep has the task wait by the world's clock.
func (c *Client) sleep(d time.Duration) {
	t := c.s.w.Current()
	t.Park(func(wait uint32) { t.WakeIn(wait, d) })
}
