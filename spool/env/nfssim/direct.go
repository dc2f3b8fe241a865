package nfssim

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"fencepost/spool/vfs"
)

// Lookup returns a path's inode and a file's contents, as they are on the
// server.
func (s *Server) Lookup(path string) (ino uint64, data []byte, ok bool) {
	n := s.find(path)
	if n == nil {
		return 0, nil, false
	}
	return n.ino, n.data, true
}

// Data returns the contents of the file that has an inode number.
func (s *Server) Data(ino uint64) ([]byte, bool) {
	if ino >= uint64(len(s.nodes)) || s.nodes[ino] == nil || s.nodes[ino].dir {
		return nil, false
	}
	return s.nodes[ino].data, true
}

// ReadDir returns a directory's names, sorted.
func (s *Server) ReadDir(path string) ([]string, bool) {
	n := s.find(path)
	if n == nil || !n.dir {
		return nil, false
	}
	return sorted(n), true
}

func sorted(n *node) []string {
	names := make([]string, 0, len(n.entries))
	for _, e := range n.entries {
		names = append(names, e.name)
	}
	slices.Sort(names)
	return names
}

// Walk calls f for every name, sorted, directories before what is in them and
// with a slash at their end.
func (s *Server) Walk(f func(path string, ino uint64, data []byte)) { s.walk(s.root, "", f) }

func (s *Server) walk(d *node, path string, f func(path string, ino uint64, data []byte)) {
	for _, name := range sorted(d) {
		n := d.get(s.component(name))
		if n.dir {
			f(join(path, name)+"/", n.ino, nil)
			s.walk(n, join(path, name), f)
		} else {
			f(join(path, name), n.ino, n.data)
		}
	}
}

// Tree is every name, a line each: what a failing check prints.
func (s *Server) Tree() string {
	var b strings.Builder
	s.Walk(func(path string, ino uint64, data []byte) {
		if strings.HasSuffix(path, "/") {
			fmt.Fprintf(&b, "%s\n", path)
		} else {
			fmt.Fprintf(&b, "%s  #%d, %d bytes\n", path, ino, len(data))
		}
	})
	return b.String()
}

// Direct is the server without a client: it answers at once, knows no grace, and
// nobody waits. It is for what is made before a run, and for looks at its state.
type Direct struct{ s *Server }

var _ vfs.FS = (*Direct)(nil)

// Direct returns a direct view.
func (s *Server) Direct() *Direct { return &Direct{s} }

func (d *Direct) serve(q request) (reply, syscall.Errno) {
	var a reply
	grace := d.s.grace
	d.s.grace = -1
	d.s.serve(nil, false, &q, &a)
	d.s.grace = grace
	return a, a.err
}

// at is the directory of a name.
func (d *Direct) at(name string) (*node, component, syscall.Errno) {
	dir, base := vfs.Split(name)
	n, err := d.dir(dir)
	if err == 0 && len(base) > maxName {
		err = syscall.ENAMETOOLONG
	}
	return n, d.s.component(base), err
}

func (d *Direct) dir(path string) (*node, syscall.Errno) {
	n := d.s.root
	if path == "." {
		return n, 0
	}
	for part := range strings.SplitSeq(path, "/") {
		if n = n.get(d.s.component(part)); n == nil {
			return nil, syscall.ENOENT
		}
		if !n.dir {
			return nil, syscall.ENOTDIR
		}
	}
	return n, 0
}

func (d *Direct) one(op opcode, name string) error {
	if err := vfs.CheckName(op.String(), name); err != nil {
		return err
	}
	n, k, err := d.at(name)
	if err == 0 {
		_, err = d.serve(request{op: op, dir: n, name: k})
	}
	return wrap(op.String(), name, err)
}

// openAt opens a file, and makes it if it may.
func (d *Direct) openAt(op, name string, create, excl bool) (*node, error) {
	if err := vfs.CheckName(op, name); err != nil {
		return nil, err
	}
	dir, k, err := d.at(name)
	if err != 0 {
		return nil, pathError(op, name, err)
	}
	d.s.verify++
	a, err := d.serve(request{op: opOpen, dir: dir, name: k, create: create, excl: excl, verifier: d.s.verify})
	switch {
	case err == syscall.EISDIR:
		return nil, pathError(op, name, irregular{err})
	case err != 0:
		return nil, pathError(op, name, err)
	}
	if a.opened {
		a.node.opens-- // it holds nothing open
	}
	return a.node, nil
}

func (d *Direct) write(op, name string, n *node, off int, data []byte) error {
	_, err := d.serve(request{op: opWrite, node: n, off: off, data: slices.Clone(data), stable: true})
	return wrap(op, name, err)
}

// Create implements vfs.FS.
func (d *Direct) Create(name string, data []byte) (vfs.ID, error) {
	n, err := d.openAt("create", name, true, true)
	if err == nil && len(data) > 0 {
		err = d.write("write", name, n, 0, data)
	}
	if err != nil {
		return vfs.ID{}, err
	}
	return vfs.ID{Dev: 1, Ino: n.ino}, nil
}

// Read implements vfs.FS.
func (d *Direct) Read(name string, limit int64) ([]byte, vfs.ID, error) {
	n, err := d.openAt("open", name, false, false)
	if err == nil && int64(len(n.data)) > limit {
		err = pathError("read", name, vfs.ErrTooLarge)
	}
	if err != nil {
		return nil, vfs.ID{}, err
	}
	return append([]byte{}, n.data...), vfs.ID{Dev: 1, Ino: n.ino}, nil
}

// Identify implements vfs.FS.
func (d *Direct) Identify(name string) (vfs.ID, error) {
	n, err := d.openAt("open", name, false, false)
	if err != nil {
		return vfs.ID{}, err
	}
	return vfs.ID{Dev: 1, Ino: n.ino}, nil
}

// List implements vfs.FS.
func (d *Direct) List(dir string) ([]string, error) {
	if err := vfs.CheckDir("list", dir); err != nil {
		return nil, err
	}
	n, err := d.dir(dir)
	if err != 0 {
		return nil, pathError("list", dir, err)
	}
	return sorted(n), nil
}

// Rename implements vfs.FS.
func (d *Direct) Rename(from, to string) error {
	return d.two("rename", from, to, func(n *node, k component, m *node, l component) (request, syscall.Errno) {
		return request{op: opRename, dir: n, name: k, to: m, toName: l}, 0
	})
}

// Link implements vfs.FS.
func (d *Direct) Link(from, to string) error {
	return d.two("link", from, to, func(n *node, k component, m *node, l component) (request, syscall.Errno) {
		src := n.get(k)
		if src == nil {
			return request{}, syscall.ENOENT
		}
		return request{op: opLink, node: src, to: m, toName: l}, 0
	})
}

func (d *Direct) two(op, from, to string, ask func(*node, component, *node, component) (request, syscall.Errno)) error {
	err := syscall.EINVAL
	if vfs.CheckName(op, from) == nil && vfs.CheckName(op, to) == nil {
		var n, m *node
		var k, l component
		var q request
		if n, k, err = d.at(from); err == 0 {
			if m, l, err = d.at(to); err == 0 {
				if q, err = ask(n, k, m, l); err == 0 {
					_, err = d.serve(q)
				}
			}
		}
	}
	if err != 0 {
		return &os.LinkError{Op: op, Old: from, New: to, Err: err}
	}
	return nil
}

// Mkdir implements vfs.FS.
func (d *Direct) Mkdir(dir string) error { return d.one(opMkdir, dir) }

// Rmdir implements vfs.FS.
func (d *Direct) Rmdir(dir string) error { return d.one(opRmdir, dir) }

// Remove implements vfs.FS.
func (d *Direct) Remove(name string) error { return d.one(opRemove, name) }

// Sync implements vfs.FS.
func (d *Direct) Sync(dirs ...string) error {
	for _, dir := range dirs {
		if err := vfs.CheckDir("sync", dir); err != nil {
			return err
		}
	}
	return nil
}

// OpenRecord implements vfs.FS.
func (d *Direct) OpenRecord(name string) (vfs.Record, error) {
	n, err := d.openAt("open", name, true, false)
	if err != nil {
		return nil, err
	}
	return &directFile{d: d, name: name, n: n, size: len(n.data)}, nil
}

// OpenLog implements vfs.FS.
func (d *Direct) OpenLog(name string) (vfs.Log, error) {
	n, err := d.openAt("create", name, true, true)
	if err != nil {
		return nil, err
	}
	return &directFile{d: d, name: name, n: n}, nil
}

// TryLock implements vfs.FS.
func (d *Direct) TryLock(name string) (vfs.Lock, error) {
	n, err := d.openAt("lock", name, true, false)
	if err != nil {
		return nil, err
	}
	f := &directFile{d: d, name: name, n: n}
	if err := f.Lock(); err != nil {
		return nil, err
	}
	return f, nil
}

// directFile is a record, a log or a lock.
type directFile struct {
	d       *Direct
	name    string
	n       *node
	size    int
	written bool
	closed  bool
	grant   *grant
}

func (f *directFile) check(op string) error {
	if f.closed {
		return pathError(op, f.name, fs.ErrClosed)
	}
	return nil
}

func (f *directFile) Write(data []byte) error {
	err := f.check("write")
	if err == nil && len(data) != f.size {
		if f.written {
			return pathError("write", f.name, syscall.EINVAL)
		}
		f.n.data = nil
	}
	if err == nil {
		f.size, f.written = len(data), true
		err = f.d.write("write", f.name, f.n, 0, data)
	}
	return err
}

func (f *directFile) Append(data []byte) error {
	if err := f.check("write"); err != nil {
		return err
	}
	return f.d.write("write", f.name, f.n, len(f.n.data), data)
}

func (f *directFile) Sync() error { return f.check("sync") }

// Lock takes the lock for a machine of its own.
func (f *directFile) Lock() error {
	if f.grant != nil {
		return nil
	}
	s := f.d.s
	if s.direct == nil {
		s.direct = &Client{s: s, machine: s.w.Machine("direct"), id: "direct"}
		s.hello(s.direct)
	}
	g := &grant{node: f.n, owner: &file{c: s.direct}}
	_, err := f.d.serve(request{op: opLock, node: f.n, grant: g})
	if err == 0 {
		f.grant = g
	}
	return lockError(f.name, err)
}

func (f *directFile) Unlock() error { return f.Close() }

func (f *directFile) Close() error {
	if err := f.check("close"); err != nil {
		return err
	}
	f.closed = true
	if f.grant != nil {
		f.d.s.unlock(f.grant)
	}
	return nil
}

// Locks lists the locks that the server has given out: file, whose, and since
// when it has heard nothing of that client.
func (s *Server) Locks() string {
	var b strings.Builder
	for _, st := range s.states {
		for _, g := range st.grants {
			fmt.Fprintf(&b, "lock of file %d: %s held=%v given=%v unclaimed=%v silent for %v\n", g.node.ino, st.id, g.held, g.given, g.unclaimed, s.silence(st))
		}
	}
	return b.String()
}
