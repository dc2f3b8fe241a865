package memfs

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"fencepost/spool/vfs"
)

// View is the server as one process sees it.
type View struct {
	m    *Mem
	host string

	// Mem's lock guards these.
	dead   bool
	after  int // operations since its death
	locks  []*lock
	frozen map[string]frozen
}

var _ vfs.FS = (*View)(nil)

// Host returns the host's name.
func (v *View) Host() string { return v.host }

// Mem returns the server.
func (v *View) Mem() *Mem { return v.m }

// Dead says whether the process has died.
func (v *View) Dead() bool {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	return v.dead
}

// Die ends the process: kill -9. Its locks are free at once.
func (v *View) Die() {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	v.die(true)
}

// Vanish ends the process's host, or cuts it off for ever: its locks stay held
// until DropLocks.
func (v *View) Vanish() {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	v.die(false)
}

func (v *View) die(unlock bool) {
	v.dead = true
	if !unlock {
		return
	}
	for _, l := range v.locks {
		l.drop()
	}
	v.locks = nil
}

func (v *View) checkAlive() error {
	if !v.dead {
		return nil
	}
	v.after++
	if v.after > afterlife {
		panic(fmt.Sprintf("memfs: %s is dead, and goes on working for ever", v.host))
	}
	return ErrDead
}

// one runs an operation on one name.
func (v *View) one(kind, name string, do func(p place, verdict Verdict) error) error {
	if err := vfs.CheckName(kind, name); err != nil {
		return err
	}
	var p place
	return v.call(request{
		op:   Op{Kind: kind, From: name},
		find: func() (err error) { p, err = v.m.place(name); return err },
		do:   func(verdict Verdict) error { return do(p, verdict) },
	})
}

// two runs an operation on two names.
func (v *View) two(kind, from, to string, do func(from, to place) error) error {
	if vfs.CheckName(kind, from) != nil || vfs.CheckName(kind, to) != nil {
		return &os.LinkError{Op: kind, Old: from, New: to, Err: syscall.EINVAL}
	}
	var p, q place
	return v.call(request{
		op: Op{Kind: kind, From: from, To: to},
		find: func() (err error) {
			if p, err = v.m.place(from); err == nil {
				q, err = v.m.place(to)
			}
			return err
		},
		do: func(Verdict) error { return do(p, q) },
	})
}

// Create implements vfs.FS.
func (v *View) Create(name string, data []byte) (id vfs.ID, err error) {
	data = slices.Clone(data) // it may land late
	err = v.one(Create, name, func(p place, verdict Verdict) error {
		if verdict.Torn {
			data = data[:len(data)/2]
		}
		n, err := v.m.addFile(p, data)
		if err != nil {
			return err
		}
		if !verdict.Torn {
			n.synced = n.data
		}
		id = n.id()
		return nil
	})
	if err != nil {
		return vfs.ID{}, err
	}
	return id, nil
}

// Read implements vfs.FS.
func (v *View) Read(name string, limit int64) (data []byte, id vfs.ID, err error) {
	err = v.look(Read, name, func(f found) error {
		if int64(len(f.data)) > limit {
			return vfs.ErrTooLarge
		}
		data, id = slices.Clone(f.data), f.id
		return nil
	})
	if err != nil {
		return nil, vfs.ID{}, err
	}
	return data, id, nil
}

// Identify implements vfs.FS.
func (v *View) Identify(name string) (id vfs.ID, err error) {
	err = v.look(Identify, name, func(f found) error {
		id = f.id
		return nil
	})
	if err != nil {
		return vfs.ID{}, err
	}
	return id, nil
}

// List implements vfs.FS.
func (v *View) List(dir string) (names []string, err error) {
	if err := vfs.CheckDir(List, dir); err != nil {
		return nil, err
	}
	var d *node
	err = v.call(request{
		op: Op{Kind: List, From: dir},
		find: func() (err error) {
			if f, ok := v.thaw(dir); ok {
				names, err = f.names, f.listErr
				return err
			}
			d, err = v.m.dir(dir)
			return err
		},
		do: func(verdict Verdict) error {
			if d != nil {
				names = v.m.names(d, verdict.Stale)
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	return names, nil
}

// Rename implements vfs.FS.
func (v *View) Rename(from, to string) error { return v.two(Rename, from, to, v.m.rename) }

// Link implements vfs.FS.
func (v *View) Link(from, to string) error { return v.two(Link, from, to, v.m.link) }

// Mkdir implements vfs.FS.
func (v *View) Mkdir(dir string) error {
	return v.one(Mkdir, dir, func(p place, _ Verdict) error { return v.m.mkdir(p) })
}

// Rmdir implements vfs.FS.
func (v *View) Rmdir(dir string) error {
	return v.one(Rmdir, dir, func(p place, _ Verdict) error { return v.m.rmdir(p) })
}

// Remove implements vfs.FS.
func (v *View) Remove(name string) error {
	return v.one(Remove, name, func(p place, _ Verdict) error { return v.m.remove(p) })
}

// Sync implements vfs.FS. It is one operation, whatever the number of
// directories.
func (v *View) Sync(dirs ...string) error {
	for _, dir := range dirs {
		if err := vfs.CheckDir(Sync, dir); err != nil {
			return err
		}
	}
	if len(dirs) == 0 {
		return nil
	}
	nodes := make([]*node, len(dirs))
	return v.call(request{
		op: Op{Kind: Sync, From: strings.Join(dirs, " ")},
		find: func() (err error) {
			for i, dir := range dirs {
				if nodes[i], err = v.m.dir(dir); err != nil {
					return &fs.PathError{Op: Sync, Path: dir, Err: err}
				}
			}
			return nil
		},
		do: func(Verdict) error {
			v.m.syncDirs(nodes)
			return nil
		},
	})
}
