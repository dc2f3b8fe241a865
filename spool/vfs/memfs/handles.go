package memfs

import (
	"io/fs"
	"slices"
	"syscall"

	"fencepost/spool/vfs"
)

// lock is a flock on an open file. Mem's lock guards it.
type lock struct {
	node *node
	view *View
}

// drop frees the file, if it is still this lock's.
func (l *lock) drop() {
	if l.node.lock == l {
		l.node.lock = nil
	}
}

func (l *lock) held() bool { return l.node.lock == l }

func (v *View) lock(n *node) (*lock, error) {
	if n.lock != nil {
		return nil, vfs.ErrLocked
	}
	l := &lock{node: n, view: v}
	n.lock = l
	v.locks = append(v.locks, l)
	return l, nil
}

// DropLocks makes the server give away all locks of a host, as after a
// partition longer than its lease. Nobody is told: the next write through a
// locked record fails, and all later ones.
func (m *Mem) DropLocks(host string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range m.views {
		if v.host == host {
			for _, l := range v.locks {
				l.drop()
			}
		}
	}
}

// handle is an open file.
type handle struct {
	view   *View
	name   string
	node   *node
	closed bool // Mem's lock guards it
}

// call is one operation through the handle: no name is looked up.
func (h *handle) call(kind string, do func(Verdict) error) error {
	return h.view.call(request{
		op: Op{Kind: kind, From: h.name},
		find: func() error {
			if h.closed {
				return fs.ErrClosed
			}
			return nil
		},
		do: do,
	})
}

// openHandle makes the file if need be, or only if it isn't there.
func (v *View) openHandle(kind, name string, exclusive bool) (*handle, error) {
	h := &handle{view: v, name: name}
	err := v.one(kind, name, func(p place, _ Verdict) (err error) {
		n := p.node()
		switch {
		case n == nil:
			if n, err = v.m.addFile(p, nil); err != nil {
				return err
			}
		case exclusive:
			return syscall.EEXIST
		case n.isDir():
			return vfs.ErrNotRegular
		}
		n.open++
		h.node = n
		return nil
	})
	return h, err
}

func (h *handle) close() error {
	return h.call(Close, func(Verdict) error {
		h.closed = true
		h.node.open--
		h.view.m.release(h.node)
		return nil
	})
}

// OpenRecord implements vfs.FS.
func (v *View) OpenRecord(name string) (vfs.Record, error) {
	h, err := v.openHandle(OpenRecord, name, false)
	if err != nil {
		return nil, err
	}
	return &record{handle: h, size: len(h.node.data)}, nil
}

type record struct {
	*handle
	size    int
	written bool
	flock   *lock
	lost    bool // a lock was lost: nothing is written any more
}

func (r *record) Write(data []byte) error {
	data = slices.Clone(data)
	return r.call(RecordWrite, func(verdict Verdict) error {
		if len(data) != r.size && r.written {
			return syscall.EINVAL
		}
		if r.flock != nil && !r.flock.held() {
			r.lost = true
		}
		if r.lost {
			return syscall.EIO
		}
		r.size, r.written = len(data), true
		if verdict.Torn { // as a reader may see it: new bytes, then old ones
			old := r.node.data
			data = append(data[:len(data)/2], old[min(len(data)/2, len(old)):]...)
		}
		r.node.data, r.node.synced = data, data
		return nil
	})
}

// Lock may well say yes after a lock was lost, if nobody has it now, as Linux
// does; the record stays dead all the same.
func (r *record) Lock() error {
	return r.call(RecordLock, func(Verdict) error {
		if r.flock != nil {
			if r.flock.held() {
				return nil
			}
			r.lost = true
		}
		l, err := r.view.lock(r.node)
		if err == nil {
			r.flock = l
		}
		return err
	})
}

func (r *record) Close() error {
	err := r.close()
	r.view.m.mu.Lock()
	defer r.view.m.mu.Unlock()
	if r.closed && r.flock != nil {
		r.flock.drop()
	}
	return err
}

// OpenLog implements vfs.FS.
func (v *View) OpenLog(name string) (vfs.Log, error) {
	h, err := v.openHandle(OpenLog, name, true)
	if err != nil {
		return nil, err
	}
	return &log{handle: h}, nil
}

type log struct{ *handle }

func (l *log) Append(data []byte) error {
	data = slices.Clone(data)
	return l.call(Append, func(verdict Verdict) error {
		if verdict.Torn {
			data = data[:len(data)/2]
		}
		// Clipped: the durable part shares the array.
		l.node.data = append(slices.Clip(l.node.data), data...)
		return nil
	})
}

func (l *log) Sync() error {
	return l.call(LogSync, func(Verdict) error {
		l.node.synced = l.node.data
		return nil
	})
}

func (l *log) Close() error { return l.close() }

// TryLock implements vfs.FS.
func (v *View) TryLock(name string) (vfs.Lock, error) {
	h := &fileLock{handle: handle{view: v, name: name}}
	err := v.one(TryLock, name, func(p place, _ Verdict) (err error) {
		n := p.node()
		if n == nil {
			if n, err = v.m.addFile(p, nil); err != nil {
				return err
			}
		} else if n.isDir() {
			return vfs.ErrNotRegular
		}
		if h.flock, err = v.lock(n); err != nil {
			return err
		}
		n.open++
		h.node = n
		return nil
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

type fileLock struct {
	handle
	flock *lock
}

// Unlock forgets a lock that was lost, as Linux does.
func (l *fileLock) Unlock() error {
	return l.call(Unlock, func(Verdict) error {
		l.flock.drop()
		l.closed = true
		l.node.open--
		l.view.m.release(l.node)
		return nil
	})
}
