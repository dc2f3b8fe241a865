package nfssim

import (
	"slices"
	"syscall"
	"time"

	"fencepost/spool/env/simenv"
)

// What a mount's lookup cache keeps.
const (
	LookupAll  = "all"
	LookupPos  = "pos" // no names that are absent
	LookupNone = "none"
)

// MountOptions are a client's. Times of 0 are Linux's own; a negative one is 0.
type MountOptions struct {
	// Identifier is the client's name for the server. "" is the machine's. Two
	// machines of one identifier take each other's state away.
	Identifier string

	ACRegMin, ACRegMax time.Duration // 3 s, 60 s
	ACDirMin, ACDirMax time.Duration // 30 s, 60 s

	// LookupCache is LookupAll (also for ""), LookupPos or LookupNone.
	LookupCache string

	// Soft: a call fails with EIO after SoftTime (0: 20 s), done or not.
	Soft     bool
	SoftTime time.Duration

	// LocalLock, and NoLock, keep locks on the machine: version 3 only.
	LocalLock, NoLock bool

	// NewPort: it reconnects from another port each time, as through address
	// translation. A server of version 4.0 or 3 knows a call again by the port.
	NewPort bool

	// WriteSize is the most bytes in one write; 0 means 1 MiB. A file that
	// needs more than one is written unstable, and then committed.
	WriteSize int

	// NoReaddirPlus: the first page of a listing doesn't also fill the lookup
	// cache.
	NoReaddirPlus bool

	// Thorough is for measurements: the client also makes the calls that change
	// nothing anybody sees (CLOSE, and the ACCESS before a LINK), creates files with
	// the mode that they keep, and its tasks wait for the kernel's locks on
	// directories. Processes of such a client aren't killed.
	Thorough bool
}

const defaultWriteSize = 1 << 20

func orDefault(d *time.Duration, def time.Duration) {
	if *d == 0 {
		*d = def
	}
	*d = max(*d, 0)
}

func (o *MountOptions) complete(m *simenv.Machine) {
	if o.Identifier == "" {
		o.Identifier = m.Name()
	}
	orDefault(&o.ACRegMin, 3*time.Second)
	orDefault(&o.ACRegMax, 60*time.Second)
	orDefault(&o.ACDirMin, 30*time.Second)
	orDefault(&o.ACDirMax, 60*time.Second)
	orDefault(&o.SoftTime, 20*time.Second)
	if o.LookupCache == "" {
		o.LookupCache = LookupAll
	}
	if o.WriteSize == 0 {
		o.WriteSize = defaultWriteSize
	}
}

// Client is a machine's NFS client: one mount, with its caches and locks.
type Client struct {
	s       *Server
	machine *simenv.Machine
	opt     MountOptions
	id      string
	index   int // in Server.clients, and in node.views
	local   bool

	cut     bool
	cutAt   time.Duration
	cuts    uint64
	boots   uint64
	st      *state
	waiting []*rpc // until the network is there
	idle    []*rpc

	root    *inode
	open    []*file
	renames turn // from one directory to another
	silly   uint64
	quiet   int // calls in a row that were answered from the cache
}

// Mount mounts the server's root on a machine.
func (s *Server) Mount(m *simenv.Machine, opt MountOptions) *Client {
	opt.complete(m)
	c := &Client{s: s, machine: m, opt: opt, id: opt.Identifier, index: len(s.clients)}
	c.local = s.v3 && (opt.NoLock || opt.LocalLock)
	s.clients = append(s.clients, c)
	s.hello(c)
	c.remount()
	return c
}

// remount gets the root's handle and attributes.
func (c *Client) remount() {
	c.root = c.inode(c.s.root)
	c.update(c.root, c.s.root.change, 0)
}

// Machine is the client's.
func (c *Client) Machine() *simenv.Machine { return c.machine }

// inode is what a client has cached of a file or directory.
type inode struct {
	n      *node
	boots  uint64 // the client's, when it was made: a crash forgets all
	stale  bool   // the server says that the handle is
	known  bool   // has attributes
	change uint64
	size   int
	at     time.Duration // when they came, by the machine's clock
	keep   time.Duration // for how long they are trusted
	grown  time.Duration // when that changed

	// A directory's lookup cache: what is absent has no node. It is void, and
	// so empty, once the directory is seen to have changed.
	names []entry
	epoch uint32 // counts how often it became void, and changes of its own
	turn  turn

	// The last listing, of a directory that had the mark listed.
	list   []string
	listed uint64

	// A file's contents, of one that had the mark read, and what was written.
	data  []byte
	read  uint64
	dirty []segment
	flies int           // bytes on their way to the server
	fault syscall.Errno // of a write that nobody waited for
	opens int
	flock []*file // who has a lock, as far as the machine knows
}

func (c *Client) inode(n *node) *inode {
	if c.index < len(n.views) {
		if i := n.views[c.index]; i != nil && i.boots == c.boots {
			return i
		}
	} else {
		n.views = append(n.views, make([]*inode, len(c.s.clients)-len(n.views))...)
	}
	i := &inode{n: n, boots: c.boots}
	n.views[c.index] = i
	return i
}

func (c *Client) bounds(i *inode) (least, most time.Duration) {
	if i.n.dir {
		return c.opt.ACDirMin, c.opt.ACDirMax
	}
	return c.opt.ACRegMin, c.opt.ACRegMax
}

// fresh says whether the attributes are still trusted.
func (c *Client) fresh(i *inode) bool { return i.known && c.machine.Now() < i.at+i.keep }

// update takes attributes in that the server sent. Those of an older change
// than are known have been overtaken on the way.
func (c *Client) update(i *inode, change uint64, size int) {
	now := c.machine.Now()
	least, most := c.bounds(i)
	switch {
	case i.known && change < i.change:
		return
	case !i.known || change != i.change:
		i.change, i.keep, i.grown = change, least, now
		i.void()
	case now >= i.grown+i.keep:
		i.keep, i.grown = min(2*i.keep, most), now
	}
	i.known, i.at = true, now
	if len(i.dirty) > 0 || i.flies > 0 { // the file is as long as was written
		size = max(size, i.size)
	}
	i.size = size
}

// void forgets the names.
func (i *inode) void() {
	i.names = i.names[:0]
	i.epoch++
}

// changed takes in a change that this client made. If it was the only one since
// the last look, the names stay valid.
func (c *Client) changed(i *inode, before, now uint64) {
	if i.known && now <= i.change {
		return
	}
	if !i.known || before != i.change {
		i.void()
		i.keep, _ = c.bounds(i)
	}
	i.epoch++
	i.known, i.change, i.at = true, now, c.machine.Now()
	i.grown = i.at
}

// cached looks into the lookup cache. A node of nil is a name that is absent.
func (i *inode) cached(k component) (*node, bool) {
	if at, ok := search(i.names, k.hash, k.name); ok {
		return i.names[at].node, true
	}
	return nil, false
}

// note puts a name into the lookup cache.
func (c *Client) note(i *inode, k component, n *node) {
	if n == nil && c.opt.LookupCache != LookupAll || c.opt.LookupCache == LookupNone {
		i.drop(k)
		return
	}
	at, ok := search(i.names, k.hash, k.name)
	if ok {
		i.names[at].node = n
	} else {
		i.names = slices.Insert(i.names, at, entry{k.hash, k.name, n})
	}
}

func (i *inode) drop(k component) {
	if at, ok := search(i.names, k.hash, k.name); ok {
		i.names = slices.Delete(i.names, at, at+1)
	}
}

// staled marks the handles of a request that are no good any more.
func (c *Client) staled(r *rpc) {
	for _, n := range []*node{r.dir, r.to, r.request.node} {
		if n != nil && n.dead {
			c.inode(n).stale = true
		}
	}
}

// getattr asks for attributes.
func (c *Client) getattr(k *Call, i *inode) syscall.Errno {
	r := c.rpc(k, opGetattr)
	r.request.node = i.n
	err := r.do()
	switch err {
	case 0:
		c.update(i, r.change, r.length)
	case syscall.ESTALE:
		i.stale = true
	}
	c.put(r)
	return err
}

// lookup finds a name in a directory: in the cache, if the directory's
// attributes say that it holds, unless it has to be asked for afresh.
func (c *Client) lookup(k *Call, d *inode, name component, afresh bool) (*node, syscall.Errno) {
	if !afresh {
		if _, ok := d.cached(name); ok {
			if !c.fresh(d) {
				if err := c.getattr(k, d); err != 0 {
					return nil, err
				}
			}
			if n, ok := d.cached(name); ok && n == nil {
				return nil, syscall.ENOENT
			} else if ok && !c.isStale(n) {
				return n, 0
			}
		}
	}
	r := c.rpc(k, opLookup)
	r.dir, r.name = d.n, name
	epoch := d.epoch
	err := r.do()
	n := r.reply.node
	c.found(d, r, epoch, err)
	c.put(r)
	return n, err
}

func (c *Client) isStale(n *node) bool {
	i := c.known(n)
	return i != nil && i.stale
}

// found takes in the answer of a lookup, or of an open by name.
func (c *Client) found(d *inode, r *rpc, epoch uint32, err syscall.Errno) {
	if c.s.v3 && r.now != 0 {
		c.update(d, r.now, 0)
	}
	switch {
	case err == syscall.ESTALE:
		d.stale = true
	case d.epoch != epoch && d.known: // it changed meanwhile: the answer is no good for long
	case err == syscall.ENOENT:
		c.note(d, r.name, nil)
	case err == 0:
		c.note(d, r.name, r.reply.node)
	}
	if err == 0 && !r.reply.node.dir {
		c.update(c.inode(r.reply.node), r.change, r.length)
	} else if err == 0 {
		c.seen(c.inode(r.reply.node), r.change)
	}
}

// seen takes in attributes of a directory that a lookup brought along.
func (c *Client) seen(i *inode, change uint64) {
	i.stale = false
	c.update(i, change, 0)
}
