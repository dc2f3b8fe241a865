package nfssim

import (
	"fmt"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// file is an open file.
type file struct {
	c      *Client
	i      *inode
	path   string // that it was opened by
	at     place  // under which name the kernel knows it
	flags  int
	silly  *place
	grant  *grant // of its lock, on its way, held or lost
	second *grant // of a lock that was had again after it was lost
	shared bool
	closed bool
}

// segment is data that was written and isn't stored.
type segment struct {
	off  int
	data []byte
	f    *file
}

// openAt opens a name; flags are those of package unix. A directory is opened,
// too, for reading.
func (c *Client) openAt(k *Call, p place, flags int, afresh bool) (*file, syscall.Errno) {
	n, err := c.openNode(k, p, flags, afresh)
	if err != 0 {
		return nil, err
	}
	f := &file{c: c, i: c.inode(n), path: k.From, at: p, flags: flags}
	if !n.dir {
		f.i.opens++
		c.open = append(c.open, f)
	}
	return f, 0
}

func (c *Client) openNode(k *Call, p place, flags int, afresh bool) (*node, syscall.Errno) {
	create, excl := flags&unix.O_CREAT != 0, flags&unix.O_EXCL != 0
	if create && excl {
		return c.openByName(k, p, flags)
	}
	n, known := p.dir.cached(p.name)
	if afresh || c.s.v3 || known && !(create && n == nil) {
		var err syscall.Errno
		if n, err = c.lookup(k, p.dir, p.name, afresh); err != 0 {
			if err == syscall.ENOENT && create {
				return c.openByName(k, p, flags)
			}
			return nil, err
		}
	}
	switch {
	case n == nil:
		return c.openByName(k, p, flags)
	case n.dir:
		if flags&(unix.O_WRONLY|unix.O_RDWR|unix.O_CREAT) != 0 {
			return nil, syscall.EISDIR
		}
		return n, c.getattr(k, c.inode(n))
	case c.s.v3:
		if known { // close to open
			return n, c.getattr(k, c.inode(n))
		}
		return n, 0
	case !c.s.v41: // opens by name: the cache isn't believed
		return c.openByName(k, p, flags)
	}
	return c.openByHandle(k, n)
}

func (c *Client) openByName(k *Call, p place, flags int) (*node, syscall.Errno) {
	if flags&unix.O_CREAT != 0 {
		defer c.change(p.dir, nil)()
	}
	r := c.rpc(k, opOpen)
	r.dir, r.name, r.create, r.excl = p.dir.n, p.name, flags&unix.O_CREAT != 0, flags&unix.O_EXCL != 0
	c.s.verify++
	r.verifier = c.s.verify
	epoch := p.dir.epoch
	err := r.do()
	n := r.reply.node
	switch {
	case err == 0 && r.made:
		c.changed(p.dir, r.before, r.now)
		c.note(p.dir, p.name, n)
		c.update(c.inode(n), r.change, r.length)
	case err == 0:
		c.found(p.dir, r, epoch, 0)
	case err == syscall.EISDIR && !r.create:
		err = 0
		c.found(p.dir, r, epoch, 0)
	case err == syscall.ESTALE:
		c.staled(r)
	case err == syscall.ENOENT:
		c.found(p.dir, r, epoch, err)
	}
	c.put(r)
	return n, err
}

func (c *Client) openByHandle(k *Call, n *node) (*node, syscall.Errno) {
	r := c.rpc(k, opOpenFile)
	r.request.node = n
	err := r.do()
	switch err {
	case 0:
		c.update(c.inode(n), r.change, r.length)
	case syscall.ESTALE:
		c.staled(r)
	}
	c.put(r)
	return n, err
}

// inUse: a name of a file that is open on this machine isn't removed, but
// renamed, until the file is closed.
func (c *Client) inUse(p place, n *node) bool {
	return slices.ContainsFunc(c.open, func(f *file) bool {
		return f.i.n == n && f.silly == nil && f.at.dir == p.dir && f.at.name == p.name
	})
}

// moved has open files follow a rename that this machine made.
func (c *Client) moved(from, to place) {
	for _, f := range c.open {
		if f.at == from {
			f.at = to
		}
	}
}

func (c *Client) sillyRename(k *Call, p place, n *node) syscall.Errno {
	c.silly++
	to := place{p.dir, c.s.component(fmt.Sprintf(".nfs%016x%08x", n.ino, c.silly))}
	err := c.renameNow(k, p, to, n)
	if err != 0 {
		return err
	}
	for _, f := range c.open {
		if f.at == to && f.i.n == n {
			f.silly = &to
		}
	}
	c.note(p.dir, p.name, nil)
	return 0
}

// closed takes the file from the machine's, and says whether a silly name is
// left to remove.
func (c *Client) closed(f *file) *place {
	f.closed = true
	f.i.opens--
	if i := slices.Index(c.open, f); i >= 0 {
		c.open = slices.Delete(c.open, i, i+1)
	}
	if c.s.v4 && f.i.n.opens > 0 {
		f.i.n.opens--
		c.s.release(f.i.n)
	}
	if f.silly == nil || slices.ContainsFunc(c.open, func(g *file) bool { return g.i == f.i && g.silly != nil }) {
		return nil
	}
	return f.silly
}
