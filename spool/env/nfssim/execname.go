package nfssim

import "syscall"

// The operations that change names.

func (x exec) rename() {
	q, a, s := x.q, x.a, x.s
	src, dst := q.dir.get(q.name), q.to.get(q.toName)
	switch {
	case !q.dir.dir || !q.to.dir:
		a.err = syscall.ENOTDIR
	case s.inGrace():
		a.err = errGrace
	case src == nil:
		a.err = syscall.ENOENT
	case src == dst: // "ok", and both names stay
		a.before, a.now = q.dir.change, q.dir.change
		a.toBefore, a.toNow = q.to.change, q.to.change
		a.node = src
	case src.dir && below(q.to, src):
		a.err = syscall.EINVAL
	case dst != nil && src.dir && !dst.dir:
		a.err = syscall.ENOTDIR
	case dst != nil && !src.dir && dst.dir:
		a.err = syscall.EISDIR
	case dst != nil && dst.dir && len(dst.entries) > 0:
		a.err = syscall.ENOTEMPTY
	default:
		s.set(q.to, q.toName, src)
		s.set(q.dir, q.name, nil)
		a.node = src
		x.changed("rename", src, &q.name, &q.toName, dst)
	}
}

func below(n, top *node) bool {
	for ; n != nil; n = n.parent {
		if n == top {
			return true
		}
	}
	return false
}

// link takes the file's handle: it isn't asked under which name it was found.
func (x exec) link() {
	q, a, s := x.q, x.a, x.s
	switch {
	case !q.to.dir:
		a.err = syscall.ENOTDIR
	case q.to.get(q.toName) != nil:
		a.err = syscall.EEXIST
	case q.node.dir:
		a.err = syscall.EPERM
	case q.node.nlink == 0: // removed, but open
		a.err = syscall.ENOENT
	case s.full:
		a.err = syscall.ENOSPC
	default:
		s.set(q.to, q.toName, q.node)
		s.touch(q.node)
		a.attributes(q.node)
		x.linked()
	}
}

func (x exec) linked() {
	q, a := x.q, x.a
	a.toBefore, a.toNow = x.s.touch(q.to)
	x.mix(q.node, q.toName.hash)
	if x.s.OnEffect == nil {
		return
	}
	e := x.s.newEffect()
	*e = Effect{Op: "link", Ino: q.node.ino, Data: q.node.data, Call: x.k, Again: x.again}
	hint := ""
	if x.k != nil {
		e.From, hint = x.k.From, x.k.To
	}
	e.To = x.s.pathHere(q.to, q.toName.name, hint)
	x.s.tell(e)
}

func (x exec) mkdir() {
	q, a, s := x.q, x.a, x.s
	switch {
	case !q.dir.dir:
		a.err = syscall.ENOTDIR
	case q.dir.get(q.name) != nil:
		a.err = syscall.EEXIST
	case s.full:
		a.err = syscall.ENOSPC
	default:
		n := s.newNode(true)
		s.set(q.dir, q.name, n)
		a.attributes(n)
		x.changed("mkdir", n, &q.name, &q.name, nil)
	}
}

// remove is also rmdir: one request of the protocol, which version 3 tells
// apart and version 4 doesn't.
func (x exec) remove() {
	q, a, s := x.q, x.a, x.s
	n := q.dir.get(q.name)
	rmdir := q.op == opRmdir
	switch {
	case !q.dir.dir:
		a.err = syscall.ENOTDIR
	case s.inGrace():
		a.err = errGrace
	case n == nil:
		a.err = syscall.ENOENT
	case rmdir && !n.dir:
		a.err = syscall.ENOTDIR
	case !rmdir && n.dir:
		a.err = syscall.EISDIR
	case len(n.entries) > 0:
		a.err = syscall.ENOTEMPTY
	default:
		s.set(q.dir, q.name, nil)
		s.touch(n)
		x.changed(q.op.String(), n, &q.name, nil, nil)
	}
}
