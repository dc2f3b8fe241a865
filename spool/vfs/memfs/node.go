package memfs

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"

	"fencepost/spool/vfs"
)

const maxName = 255

// node is a file or a directory. Mem's lock guards it.
type node struct {
	ino  uint64
	free bool // its number has been given back

	// A file's contents, the part of them on stable storage, its names, the
	// handles that hold it, and who has its flock.
	data   []byte
	synced []byte
	nlink  int
	open   int
	lock   *lock

	// A directory's entries (nil for a file), those on stable storage, and
	// its last change, which a stale listing doesn't show.
	entries map[string]*node
	durable map[string]*node
	last    change
	parent  *node
	dead    bool // removed: nothing goes in or out, by whatever handle
}

func (n *node) isDir() bool { return n.entries != nil }

func (n *node) id() vfs.ID { return vfs.ID{Dev: 1, Ino: n.ino} }

func (m *Mem) newFile(data []byte) *node {
	return &node{ino: m.takeIno(), data: slices.Clone(data)}
}

func (m *Mem) newDir(parent *node) *node {
	return &node{ino: m.takeIno(), entries: map[string]*node{}, durable: map[string]*node{}, parent: parent}
}

func (m *Mem) takeIno() uint64 {
	if n := len(m.freeIno); m.opts.ReuseInodes && n > 0 {
		ino := m.freeIno[n-1]
		m.freeIno = m.freeIno[:n-1]
		return ino
	}
	ino := m.nextIno
	m.nextIno++
	return ino
}

// release gives the number back once no name and no handle is left.
func (m *Mem) release(n *node) {
	if n.free || n.nlink > 0 || n.open > 0 || n.isDir() && !n.dead {
		return
	}
	n.free = true
	m.freeIno = append(m.freeIno, n.ino)
}

// dir walks to a directory.
func (m *Mem) dir(name string) (*node, error) {
	n := m.root
	if name == "." {
		return n, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > maxName {
			return nil, syscall.ENAMETOOLONG
		}
		n = n.entries[part]
		if n == nil {
			return nil, syscall.ENOENT
		}
		if !n.isDir() {
			return nil, syscall.ENOTDIR
		}
	}
	return n, nil
}

// place is a name in a directory that was looked up: what a request carries.
type place struct {
	dir  *node
	base string
}

func (m *Mem) place(name string) (place, error) {
	dir, base := vfs.Split(name)
	d, err := m.dir(dir)
	if err == nil && len(base) > maxName {
		err = syscall.ENAMETOOLONG
	}
	return place{d, base}, err
}

func (p place) node() *node { return p.dir.entries[p.base] }

// get is node, but for a missing one.
func (p place) get() (*node, error) {
	if n := p.node(); n != nil {
		return n, nil
	}
	return nil, syscall.ENOENT
}

// file is get, but for what isn't a regular file.
func (p place) file() (*node, error) {
	n, err := p.get()
	if err == nil && n.isDir() {
		return nil, vfs.ErrNotRegular
	}
	return n, err
}

// edit is a changed entry; change is what one operation did, as a whole.
type edit struct {
	place
	before, after *node
}

type change []edit

// commit makes a change visible, and remembers it until it is durable.
func (m *Mem) commit(c change) {
	for _, e := range c {
		if e.after == nil {
			delete(e.dir.entries, e.base)
		} else {
			e.dir.entries[e.base] = e.after
			e.after.nlink++
		}
		e.dir.last = c
	}
	for _, e := range c {
		if e.before != nil {
			e.before.nlink--
			m.release(e.before)
		}
	}
	if m.opts.SyncExport {
		c.store()
		return
	}
	m.changes = append(m.changes, c)
}

func (m *Mem) addFile(p place, data []byte) (*node, error) {
	if p.dir.dead {
		return nil, syscall.ENOENT
	}
	if p.node() != nil {
		return nil, syscall.EEXIST
	}
	n := m.newFile(data)
	m.commit(change{{p, nil, n}})
	return n, nil
}

func (m *Mem) rename(from, to place) error {
	if from.dir.dead || to.dir.dead {
		return syscall.ENOENT
	}
	src, err := from.get()
	if err != nil {
		return err
	}
	dst := to.node()
	switch {
	case src == dst: // "ok", and both names stay
		return nil
	case src.isDir():
		if err := replaceDir(src, dst, to.dir); err != nil {
			return err
		}
		src.parent = to.dir
		if dst != nil {
			dst.dead = true
		}
	case dst != nil && dst.isDir():
		return syscall.EISDIR
	}
	m.commit(change{{from, src, nil}, {to, dst, src}})
	return nil
}

func replaceDir(src, dst, into *node) error {
	for n := into; n != nil; n = n.parent {
		if n == src {
			return syscall.EINVAL
		}
	}
	if dst == nil {
		return nil
	}
	if !dst.isDir() {
		return syscall.ENOTDIR
	}
	if len(dst.entries) > 0 {
		return syscall.ENOTEMPTY
	}
	return nil
}

func (m *Mem) link(from, to place) error {
	if from.dir.dead || to.dir.dead {
		return syscall.ENOENT
	}
	src, err := from.get()
	if err != nil {
		return err
	}
	if to.node() != nil {
		return syscall.EEXIST
	}
	if src.isDir() {
		return syscall.EPERM
	}
	m.commit(change{{to, nil, src}})
	return nil
}

func (m *Mem) mkdir(p place) error {
	if p.dir.dead {
		return syscall.ENOENT
	}
	if p.node() != nil {
		return syscall.EEXIST
	}
	m.commit(change{{p, nil, m.newDir(p.dir)}})
	return nil
}

func (m *Mem) rmdir(p place) error {
	n, err := p.get()
	switch {
	case err != nil:
		return err
	case !n.isDir():
		return syscall.ENOTDIR
	case len(n.entries) > 0:
		return syscall.ENOTEMPTY
	}
	n.dead = true
	m.commit(change{{p, n, nil}})
	return nil
}

func (m *Mem) remove(p place) error {
	n, err := p.get()
	if err != nil {
		return err
	}
	if n.isDir() {
		return syscall.EISDIR
	}
	m.commit(change{{p, n, nil}})
	return nil
}

// names lists a directory; stale takes its last change back.
func (m *Mem) names(d *node, stale bool) []string {
	shown := d.entries
	if stale {
		shown = maps.Clone(d.entries)
		for _, e := range d.last {
			if e.dir == d && e.before == nil {
				delete(shown, e.base)
			} else if e.dir == d {
				shown[e.base] = e.before
			}
		}
	}
	names := slices.Sorted(maps.Keys(shown))
	if m.rng != nil {
		m.rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	}
	return names
}

func (n *node) print(b *strings.Builder, prefix string) {
	for _, name := range slices.Sorted(maps.Keys(n.entries)) {
		if child := n.entries[name]; child.isDir() {
			fmt.Fprintf(b, "%s%s/\n", prefix, name)
			child.print(b, prefix+name+"/")
		} else {
			fmt.Fprintf(b, "%s%s  #%d, %d bytes\n", prefix, name, child.ino, len(child.data))
		}
	}
}
