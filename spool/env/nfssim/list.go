package nfssim

import (
	"slices"
	"syscall"
)

// list opens, reads and closes a directory. Opening one asks the server whether
// it has changed: a listing is fresh. It is read in pages, and others may change
// the directory in between.
func (c *Client) list(k *Call, path string) ([]string, syscall.Errno) {
	d, err := c.openDir(k, path)
	if err != 0 {
		return nil, err
	}
	if d.listed != 0 && d.listed == d.change {
		return slices.Clone(d.list), 0
	}
	mark := d.change
	var names []string
	var after component
	for first, last := true, false; !last; first = false {
		r := c.rpc(k, opReaddir)
		r.dir, r.after, r.page = d.n, after, c.s.opt.PageSize
		epoch := d.epoch
		if err := r.do(); err != 0 {
			c.staled(r)
			c.put(r)
			return nil, err
		}
		if names == nil {
			names = make([]string, 0, len(r.names))
		}
		for _, e := range r.names {
			names = append(names, e.name)
		}
		if first && !c.opt.NoReaddirPlus && c.opt.LookupCache != LookupNone && epoch == d.epoch {
			c.prime(d, r.names)
		}
		if last = r.last; !last {
			e := r.names[len(r.names)-1]
			after = component{e.name, e.hash}
		}
		c.put(r)
	}
	d.list, d.listed = names, mark
	return slices.Clone(names), 0
}

func (c *Client) openDir(k *Call, path string) (*inode, syscall.Errno) {
	d, err := c.walkTwice(k, path, false)
	if err != 0 {
		return nil, err
	}
	err = c.getattr(k, d)
	if err == syscall.ESTALE {
		if d, err = c.walk(k, path, true); err == 0 {
			err = c.getattr(k, d)
		}
	}
	return d, err
}

// prime puts what a listing showed into the lookup cache.
func (c *Client) prime(d *inode, names []entry) {
	empty := len(d.names) == 0
	if empty { // both have the same order
		d.names = append(d.names, names...)
	}
	for _, e := range names {
		if e.node.dir && !e.node.dead {
			if i := c.inode(e.node); !i.known {
				c.update(i, e.node.change, 0)
			}
		}
		if empty {
			continue
		}
		if at, ok := search(d.names, e.hash, e.name); ok {
			d.names[at].node = e.node
		} else {
			d.names = slices.Insert(d.names, at, e)
		}
	}
}
