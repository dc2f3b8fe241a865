package nfssim

import (
	"slices"
	"strings"
	"time"
)

const (
	maxName = 255
	rootIno = 1
)

// node is a file or a directory. A pointer to it is its handle.
type node struct {
	ino    uint64
	change uint64 // grows with each change, never the same twice
	dir    bool
	dead   bool // removed: its handle is stale
	nlink  int
	opens  int // that the server knows of: version 4

	// A directory's names, in the order of a listing, and its place.
	entries []entry
	parent  *node
	name    string
	path    string // as of the server's era
	era     uint64

	// A file's contents. After a restart of the server they are stable again.
	data     []byte
	stable   []byte
	unstable bool
	verifier uint64 // of the exclusive create that made it
	grants   []*grant

	views []*inode // what each client has cached
}

// entry is a name. Names lie in the order of their hash, as in many a real
// file system: a listing is in no order that anybody could rely on, and yet in
// the same one each time.
type entry struct {
	hash uint64
	name string
	node *node
}

// search returns the place of a name, or where it would be.
func search(entries []entry, hash uint64, name string) (int, bool) {
	lo, hi := 0, len(entries)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if entries[mid].hash < hash {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	for ; lo < len(entries) && entries[lo].hash == hash; lo++ {
		if entries[lo].name >= name {
			return lo, entries[lo].name == name
		}
	}
	return lo, false
}

// component is a name with its hash.
type component struct {
	name string
	hash uint64
}

const (
	hashK0 = 0x9e3779b97f4a7c15
	hashK1 = 0xff51afd7ed558ccd
)

// hashName is quick, and the same on every machine.
func hashName(s string, salt uint64) uint64 {
	h := salt ^ uint64(len(s))*hashK0
	for len(s) >= 8 {
		w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		h = (h ^ w) * hashK1
		h ^= h >> 29
		s = s[8:]
	}
	var w uint64
	for i := range len(s) {
		w = w<<8 | uint64(s[i])
	}
	h = (h ^ w) * hashK1
	h ^= h >> 32
	return h * hashK0
}

func (s *Server) component(name string) component { return component{name, hashName(name, s.salt)} }

func (n *node) get(k component) *node {
	if i, ok := search(n.entries, k.hash, k.name); ok {
		return n.entries[i].node
	}
	return nil
}

// set changes one name; nil removes it. It is the only place that does.
func (s *Server) set(d *node, k component, n *node) {
	i, ok := search(d.entries, k.hash, k.name)
	var old *node
	switch {
	case ok && n != nil:
		old, d.entries[i].node = d.entries[i].node, n
	case ok:
		old = d.entries[i].node
		d.entries = slices.Delete(d.entries, i, i+1)
	case n != nil:
		d.entries = slices.Insert(d.entries, i, entry{k.hash, k.name, n})
	}
	if n != nil {
		n.nlink++
		n.dead = false
		if n.dir {
			n.parent, n.name = d, k.name
			s.era++
		}
	}
	if old != nil {
		old.nlink--
		s.release(old)
	}
	if s.opt.Async {
		s.undo = append(s.undo, undo{at: s.w.Now(), dir: d, name: k, old: old})
	}
}

// release: a handle dies with the last name and the last open.
func (s *Server) release(n *node) {
	if n.nlink > 0 || n.opens > 0 || n.dead || n == s.root {
		return
	}
	n.dead = true
	if s.opt.Async { // it may come back
		return
	}
	s.nodes[n.ino] = nil
	if s.opt.ReuseInodes {
		s.free = append(s.free, n.ino)
	}
}

func (s *Server) newNode(dir bool) *node {
	n := &node{dir: dir}
	if k := len(s.free); k > 0 {
		n.ino = s.free[k-1]
		s.free = s.free[:k-1]
		s.nodes[n.ino] = n
	} else {
		n.ino = uint64(len(s.nodes))
		s.nodes = append(s.nodes, n)
	}
	s.touch(n)
	return n
}

// touch marks a change, and returns the marks before and after.
func (s *Server) touch(n *node) (before, after uint64) {
	before = n.change
	s.changes++
	n.change = s.changes
	return before, n.change
}

// undo takes one change of a name back: what an asynchronous export forgets.
type undo struct {
	at   time.Duration
	dir  *node
	name component
	old  *node
}

// forget takes back what changed in the last moments before a crash.
func (s *Server) forget() {
	since := s.w.Now() - asyncDelay
	for i := len(s.undo) - 1; i >= 0 && s.undo[i].at >= since; i-- {
		u := s.undo[i]
		s.set(u.dir, u.name, u.old)
		s.touch(u.dir)
	}
	s.undo = s.undo[:0]
}

// pathOf is a directory's path, "" for the root.
func (s *Server) pathOf(d *node) string {
	if d.parent == nil {
		return ""
	}
	if d.era != s.era || d.path == "" {
		d.path, d.era = join(s.pathOf(d.parent), d.name), s.era
	}
	return d.path
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// pathHere is the path of a name in a directory; hint is likely to be it.
func (s *Server) pathHere(d *node, name, hint string) string {
	dir := s.pathOf(d)
	if dir == "" && hint == name {
		return hint
	}
	if len(hint) == len(dir)+1+len(name) && hint[len(dir)] == '/' && hint[:len(dir)] == dir && hint[len(dir)+1:] == name {
		return hint
	}
	return join(dir, name)
}

// find walks on the server itself.
func (s *Server) find(path string) *node {
	n := s.root
	if path == "" || path == "." {
		return n
	}
	for part := range strings.SplitSeq(path, "/") {
		if !n.dir {
			return nil
		}
		if n = n.get(s.component(part)); n == nil {
			return nil
		}
	}
	return n
}
