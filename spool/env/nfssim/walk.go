package nfssim

import (
	"strings"
	"syscall"
)

// walk finds a directory, from the root. As the kernel does, it takes handles
// from the lookup cache: one of a directory that has moved follows it.
func (c *Client) walk(k *Call, path string, afresh bool) (*inode, syscall.Errno) {
	d := c.root
	if path == "." {
		return d, 0
	}
	for path != "" {
		part := path
		if i := strings.IndexByte(path, '/'); i >= 0 {
			part, path = path[:i], path[i+1:]
		} else {
			path = ""
		}
		if len(part) > maxName {
			return nil, syscall.ENAMETOOLONG
		}
		n, err := c.lookup(k, d, c.s.component(part), afresh)
		if err != 0 {
			return nil, err
		}
		if !n.dir {
			return nil, syscall.ENOTDIR
		}
		d = c.inode(n)
	}
	return d, 0
}

// place is a name in a directory that was walked to.
type place struct {
	dir  *inode
	name component
}

// parent walks to the directory of a name. A handle that turns out to be stale
// has the walk begin again, all afresh.
func (c *Client) parent(k *Call, path string, afresh bool) (place, syscall.Errno) {
	dir, base := ".", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		dir, base = path[:i], path[i+1:]
	}
	d, err := c.walkTwice(k, dir, afresh)
	switch {
	case err != 0:
		return place{}, err
	case len(base) > maxName:
		return place{}, syscall.ENAMETOOLONG
	}
	return place{d, c.s.component(base)}, 0
}

func (c *Client) walkTwice(k *Call, dir string, afresh bool) (*inode, syscall.Errno) {
	d, err := c.walk(k, dir, afresh)
	if err == syscall.ESTALE && !afresh {
		d, err = c.walk(k, dir, true)
	}
	return d, err
}

// find is the lookup of a place's name, for a call that acts on what is there.
func (c *Client) find(k *Call, p place, afresh bool) (*node, syscall.Errno) {
	return c.lookup(k, p.dir, p.name, afresh)
}

// dirReply takes in what a change of a directory's names says of it; also a
// failed one does so in version 3.
func (c *Client) dirReply(d *inode, before, now uint64, err syscall.Errno) {
	switch {
	case now == 0:
	case err == 0:
		c.changed(d, before, now)
	default:
		c.update(d, now, 0)
	}
}

// rename decides at the server, for what the cache says is there.
func (c *Client) rename(k *Call, from, to place, afresh bool) syscall.Errno {
	defer c.change(from.dir, to.dir)()
	src, err := c.find(k, from, afresh)
	if err != 0 {
		return err
	}
	if dst, ok := to.dir.cached(to.name); ok && dst != nil && c.fresh(to.dir) {
		if dst == src {
			return 0 // the kernel doesn't even ask
		}
		if c.inUse(to, dst) {
			if err := c.sillyRename(k, to, dst); err != 0 {
				return err
			}
		}
	}
	if i := c.known(src); i != nil && len(i.dirty) > 0 {
		i.fault = c.flush(k, i)
	}
	return c.renameNow(k, from, to, src)
}

func (c *Client) renameNow(k *Call, from, to place, src *node) syscall.Errno {
	r := c.rpc(k, opRename)
	r.dir, r.name, r.to, r.toName = from.dir.n, from.name, to.dir.n, to.name
	err := r.do()
	c.dirReply(from.dir, r.before, r.now, err)
	if to.dir != from.dir {
		c.dirReply(to.dir, r.toBefore, r.toNow, err)
	}
	switch err {
	case 0:
		from.dir.drop(from.name)
		c.note(to.dir, to.name, src)
		c.moved(from, to)
		if i := c.known(src); i != nil && !src.dir {
			i.at = -i.keep // its times have changed
		}
	case syscall.ENOENT:
		c.note(from.dir, from.name, nil)
	case syscall.ESTALE:
		c.staled(r)
	}
	c.put(r)
	return err
}

// known is what is cached of a node, nil if nothing.
func (c *Client) known(n *node) *inode {
	if c.index < len(n.views) && n.views[c.index] != nil && n.views[c.index].boots == c.boots {
		return n.views[c.index]
	}
	return nil
}

// link takes the handle of what the cache says is there.
func (c *Client) link(k *Call, from, to place, afresh bool) syscall.Errno {
	src, err := c.find(k, from, afresh)
	if err != 0 {
		return err
	}
	defer c.change(to.dir, nil)()
	if n, ok := to.dir.cached(to.name); ok && n != nil {
		if n, err := c.lookup(k, to.dir, to.name, true); err == 0 && n != nil {
			return syscall.EEXIST
		}
	}
	if src.dir {
		return syscall.EPERM
	}
	c.tell(k, opAccess, src)
	r := c.rpc(k, opLink)
	r.request.node, r.to, r.toName = src, to.dir.n, to.name
	err = r.do()
	c.dirReply(to.dir, r.toBefore, r.toNow, err)
	switch err {
	case 0:
		c.note(to.dir, to.name, src)
		c.update(c.inode(src), r.change, r.length)
	case syscall.ESTALE:
		c.staled(r)
	}
	if err != 0 {
		to.dir.drop(to.name)
	}
	c.put(r)
	return err
}

func (c *Client) mkdir(k *Call, p place, _ bool) syscall.Errno {
	defer c.change(p.dir, nil)()
	if n, ok := p.dir.cached(p.name); ok && n != nil {
		if n, err := c.lookup(k, p.dir, p.name, true); err == 0 && n != nil {
			return syscall.EEXIST
		}
	}
	r := c.rpc(k, opMkdir)
	r.dir, r.name = p.dir.n, p.name
	err := r.do()
	c.dirReply(p.dir, r.before, r.now, err)
	switch err {
	case 0:
		c.note(p.dir, p.name, r.reply.node)
		c.seen(c.inode(r.reply.node), r.change)
	case syscall.ESTALE:
		c.staled(r)
	}
	if err != 0 {
		p.dir.drop(p.name)
	}
	c.put(r)
	return err
}

func (c *Client) rmdir(k *Call, p place, afresh bool) syscall.Errno {
	defer c.change(p.dir, nil)()
	n, err := c.find(k, p, afresh)
	switch {
	case err != 0:
		return err
	case !n.dir:
		return syscall.ENOTDIR
	}
	return c.removeNow(k, opRmdir, p)
}

func (c *Client) remove(k *Call, p place, afresh bool) syscall.Errno {
	defer c.change(p.dir, nil)()
	n, err := c.find(k, p, afresh)
	switch {
	case err != 0:
		return err
	case n.dir:
		return syscall.EISDIR
	case c.inUse(p, n):
		return c.sillyRename(k, p, n)
	}
	return c.removeNow(k, opRemove, p)
}

func (c *Client) removeNow(k *Call, op opcode, p place) syscall.Errno {
	r := c.rpc(k, op)
	r.dir, r.name = p.dir.n, p.name
	err := r.do()
	c.removed(r, p, err)
	c.put(r)
	return err
}

func (c *Client) removed(r *rpc, p place, err syscall.Errno) {
	c.dirReply(p.dir, r.before, r.now, err)
	switch err {
	case 0, syscall.ENOENT:
		c.note(p.dir, p.name, nil)
	case syscall.ESTALE:
		c.staled(r)
	}
}
