package nfssim

import (
	"slices"
	"syscall"
)

// opcode is a request's.
type opcode uint8

const (
	opGetattr opcode = iota
	opLookup
	opOpen     // by name; creates, if asked to
	opOpenFile // by handle: version 4.1
	opRead
	opWrite
	opCommit
	opSetattr
	opReaddir
	opRename
	opLink
	opMkdir
	opRmdir
	opRemove
	opLock
	opUnlock
	opClose  // asked by a Thorough client alone, as
	opAccess // this
)

func (o opcode) String() string {
	return [...]string{"getattr", "lookup", "open", "openfile", "read", "write", "commit", "setattr", "readdir",
		"rename", "link", "mkdir", "rmdir", "remove", "lock", "unlock", "close", "access"}[o]
}

// request is what the server gets.
type request struct {
	op       opcode
	dir, to  *node // directories
	name     component
	toName   component
	node     *node // a file's handle
	create   bool
	excl     bool
	shared   bool // a lock
	stable   bool // a write
	truncate bool
	verifier uint64
	off      int
	size     int
	data     []byte
	grant    *grant // the lock that a file's state has, or that is to be had
	after    component
	page     int
}

// reply is what the client gets. A directory's marks are those before and after
// the operation.
type reply struct {
	err             syscall.Errno
	node            *node
	change          uint64 // of node, or of dir if there is none
	length          int    // of node
	before, now     uint64 // of dir
	toBefore, toNow uint64 // of to
	data            []byte
	names           []entry
	last            bool
	boot            uint64
	opened, made    bool
}

// errGrace is no errno of a process: the client asks again.
const errGrace = syscall.Errno(10013)

// serve executes a request, now.
func (s *Server) serve(k *Call, again bool, q *request, a *reply) {
	if q.dir != nil && q.dir.dead || q.to != nil && q.to.dead || q.node != nil && q.node.dead {
		a.err = syscall.ESTALE
		return
	}
	x := exec{s, k, again, q, a}
	switch q.op {
	case opGetattr:
		a.attributes(q.node)
	case opLookup:
		x.lookup()
	case opOpen:
		x.open()
	case opOpenFile:
		x.openFile()
	case opRead:
		if q.grant != nil && q.grant.lost {
			a.err = syscall.EIO
			return
		}
		a.attributes(q.node)
		a.data = slices.Clip(q.node.data)
	case opWrite:
		x.write()
	case opCommit:
		x.commit()
	case opSetattr:
		x.setattr()
	case opReaddir:
		x.readdir()
	case opRename:
		x.rename()
	case opLink:
		x.link()
	case opMkdir:
		x.mkdir()
	case opRmdir, opRemove:
		x.remove()
	case opLock:
		s.lock(q, a)
	case opUnlock:
		s.unlock(q.grant)
	}
	if s.v3 && q.dir != nil { // its replies always have the directory's attributes
		a.now = q.dir.change
		if q.to != nil {
			a.toNow = q.to.change
		}
	}
}

type exec struct {
	s     *Server
	k     *Call
	again bool
	q     *request
	a     *reply
}

func (a *reply) attributes(n *node) { a.node, a.change, a.length = n, n.change, len(n.data) }

func (x exec) lookup() {
	switch n := x.q.dir.get(x.q.name); {
	case !x.q.dir.dir:
		x.a.err = syscall.ENOTDIR
	case n == nil:
		x.a.err = syscall.ENOENT
	default:
		x.a.attributes(n)
	}
}

// changed marks the directories and tells of the effect.
func (x exec) changed(op string, n *node, from, to *component, replaced *node) {
	q, a := x.q, x.a
	a.before, a.now = x.s.touch(q.dir)
	a.toBefore, a.toNow = a.before, a.now
	if q.to != nil && q.to != q.dir {
		a.toBefore, a.toNow = x.s.touch(q.to)
	}
	x.mix(n, q.name.hash^q.toName.hash<<1)
	if x.s.OnEffect == nil {
		return
	}
	e := x.s.newEffect()
	*e = Effect{Op: op, Ino: n.ino, Call: x.k, Again: x.again, Data: n.data}
	var hintFrom, hintTo string
	if x.k != nil {
		hintFrom, hintTo = x.k.From, x.k.To
	}
	if from != nil {
		e.From = x.s.pathHere(q.dir, from.name, hintFrom)
	}
	switch {
	case to == from:
		e.To = e.From
	case to != nil:
		e.To = x.s.pathHere(q.to, to.name, hintTo)
	}
	if replaced != nil {
		e.Replaced = replaced.ino
	}
	x.s.tell(e)
}

// mix makes the effect a part of the run's hash.
func (x exec) mix(n *node, hash uint64) {
	x.s.w.MixNumber(hash ^ n.ino<<8 ^ uint64(x.q.op))
}

// newEffect returns the server's one Effect, unless it is in use: an effect may
// lead to another one.
func (s *Server) newEffect() *Effect {
	e := s.effect
	if s.effect = nil; e == nil {
		e = new(Effect)
	}
	return e
}

func (s *Server) tell(e *Effect) {
	s.OnEffect(e)
	s.effect = e
}

func (x exec) open() {
	q, a, s := x.q, x.a, x.s
	n := q.dir.get(q.name)
	switch {
	case !q.dir.dir:
		a.err = syscall.ENOTDIR
	case s.inGrace():
		a.err = errGrace
	case n == nil && !q.create:
		a.err = syscall.ENOENT
	case n == nil && s.full:
		a.err = syscall.ENOSPC
	case n == nil:
		n = s.newNode(false)
		n.verifier = q.verifier
		s.set(q.dir, q.name, n)
		a.made = true
		x.changed("create", n, &q.name, &q.name, nil)
	case q.excl && (n.dir || n.verifier != q.verifier): // the same verifier: it is this call's
		a.err = syscall.EEXIST
	case n.dir:
		a.err = syscall.EISDIR
	}
	if n != nil && (a.err == 0 || a.err == syscall.EISDIR) {
		a.attributes(n)
		x.opened(n)
	}
}

func (x exec) openFile() {
	if x.s.inGrace() {
		x.a.err = errGrace
		return
	}
	x.a.attributes(x.q.node)
	x.opened(x.q.node)
}

// opened has the server keep the file, whatever becomes of its names.
func (x exec) opened(n *node) {
	if x.s.v4 && !n.dir && !x.a.opened {
		x.a.opened = true
		n.opens++
	}
}

// write: a lock that was lost is found out here.
func (x exec) write() {
	q, a, n := x.q, x.a, x.q.node
	switch {
	case q.grant != nil && q.grant.lost:
		a.err = syscall.EIO
		return
	case x.s.full:
		a.err = syscall.ENOSPC
		return
	}
	if q.stable {
		if n.unstable {
			n.stable, n.unstable = nil, false
		}
	} else if !n.unstable {
		n.stable, n.unstable = n.data, true
		x.s.wet = append(x.s.wet, n)
	}
	n.data = splice(n.data, q.off, q.data)
	a.before, a.now = x.s.touch(n)
	a.attributes(n)
	a.boot = x.s.boot
	x.file("write")
}

// splice writes into a file. Bytes that are there never change: others may hold
// them. An append may take over what lies behind them.
func splice(old []byte, off int, data []byte) []byte {
	if off == 0 && len(data) >= len(old) {
		return slices.Clip(data)
	}
	if off == len(old) {
		return append(old, data...)
	}
	out := make([]byte, max(len(old), off+len(data)))
	copy(out, old)
	copy(out[off:], data)
	return out
}

// file tells of a change of a file.
func (x exec) file(op string) {
	x.mix(x.q.node, uint64(len(x.q.node.data)))
	if x.s.OnEffect == nil {
		return
	}
	path := ""
	if x.k != nil {
		path = x.k.From
	}
	e := x.s.newEffect()
	*e = Effect{Op: op, From: path, To: path, Ino: x.q.node.ino, Data: x.q.node.data, Call: x.k, Again: x.again}
	x.s.tell(e)
}

func (x exec) commit() {
	x.a.attributes(x.q.node)
	x.a.boot = x.s.boot
	if n := x.q.node; n.unstable {
		n.stable, n.unstable = nil, false
	}
}

// setattr sets the size, or the mode.
func (x exec) setattr() {
	q, a, n := x.q, x.a, x.q.node
	if q.truncate && q.size > len(n.data) && x.s.full {
		a.err = syscall.ENOSPC
		return
	}
	if q.truncate {
		size := min(q.size, len(n.data))
		n.data = append(slices.Clip(n.data[:size]), make([]byte, q.size-size)...)
	}
	a.before, a.now = x.s.touch(n)
	a.attributes(n)
	if q.truncate {
		x.file("truncate")
	}
}

func (x exec) readdir() {
	q, a := x.q, x.a
	if !q.dir.dir {
		a.err = syscall.ENOTDIR
		return
	}
	all := q.dir.entries
	if q.after.name != "" {
		i, ok := search(all, q.after.hash, q.after.name)
		if ok {
			i++
		}
		all = all[i:]
	}
	a.last = len(all) <= q.page
	a.names = append(a.names[:0], all[:min(q.page, len(all))]...)
	a.change = q.dir.change
}
