package nfssim

import (
	"io/fs"
	"syscall"

	"fencepost/spool/vfs"
	"golang.org/x/sys/unix"
)

// handle is an open file of a process.
type handle struct {
	v    *FS
	f    *file
	name string
}

// call is one operation through the handle: no name is looked up.
func (h *handle) call(op string, do func(*Client, *Call) (string, syscall.Errno)) error {
	if h.f.closed {
		return pathError(op, h.name, fs.ErrClosed)
	}
	k := h.v.y.enter(op, h.name, "")
	step, err := do(h.v.y.c, k)
	return h.v.y.leave(k, wrap(step, h.name, err))
}

func (h *handle) sync(op string) error {
	return h.call(op, func(c *Client, k *Call) (string, syscall.Errno) { return "sync", c.fsync(k, h.f) })
}

func (h *handle) Close() error {
	return h.call("close", func(_ *Client, k *Call) (string, syscall.Errno) { return "close", h.v.close(k, h.f) })
}

// OpenRecord implements vfs.FS.
func (v *FS) OpenRecord(name string) (vfs.Record, error) {
	if err := vfs.CheckName("open", name); err != nil {
		return nil, err
	}
	k := v.y.enter("openrecord", name, "")
	f, err := v.openRegular(k, "open", name, unix.O_CREAT|unix.O_RDWR)
	if err := v.y.leave(k, err); err != nil {
		return nil, err
	}
	return &record{handle: handle{v, f, name}, size: f.i.size}, nil
}

type record struct {
	handle
	size    int
	written bool
}

func (r *record) Write(data []byte) error {
	return r.call("recordwrite", func(c *Client, k *Call) (string, syscall.Errno) {
		if len(data) != r.size {
			if r.written {
				return "write", syscall.EINVAL
			}
			if err := c.setattr(k, r.f, true, len(data)); err != 0 {
				return "truncate", err
			}
			r.size = len(data)
		}
		r.written = true
		if err := c.write(r.f, 0, data); err != 0 {
			return "write", err
		}
		return "sync", c.fsync(k, r.f)
	})
}

func (r *record) Lock() error {
	if r.f.closed {
		return pathError("lock", r.name, fs.ErrClosed)
	}
	k := r.v.y.enter("recordlock", r.name, "")
	err := r.v.y.c.flock(k, r.f, unix.LOCK_EX|unix.LOCK_NB)
	return r.v.y.leave(k, lockError(r.name, err))
}

func lockError(name string, err syscall.Errno) error {
	switch err {
	case 0:
		return nil
	case syscall.EAGAIN:
		return pathError("lock", name, vfs.ErrLocked)
	}
	return pathError("lock", name, err)
}

// OpenLog implements vfs.FS.
func (v *FS) OpenLog(name string) (vfs.Log, error) {
	if err := vfs.CheckName("create", name); err != nil {
		return nil, err
	}
	k := v.y.enter("openlog", name, "")
	f, err := v.openRegular(k, "create", name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_APPEND)
	if err := v.y.leave(k, err); err != nil {
		return nil, err
	}
	return &log{handle{v, f, name}}, nil
}

type log struct{ handle }

func (l *log) Append(data []byte) error {
	return l.call("append", func(c *Client, _ *Call) (string, syscall.Errno) {
		if len(data) == 0 {
			return "write", 0
		}
		return "write", c.write(l.f, 0, data)
	})
}

func (l *log) Sync() error { return l.sync("logsync") }

// TryLock implements vfs.FS: a look, open, flock, and a look whether the name
// still is that file's.
func (v *FS) TryLock(name string) (vfs.Lock, error) {
	if err := vfs.CheckName("lock", name); err != nil {
		return nil, err
	}
	k := v.y.enter("trylock", name, "")
	f, err := v.tryLock(k, name)
	if err := v.y.leave(k, err); err != nil {
		return nil, err
	}
	return &fileLock{handle{v, f, name}}, nil
}

func (v *FS) tryLock(k *Call, name string) (*file, error) {
	if n, err := v.look(k, name); err == 0 && n.dir {
		return nil, pathError("lock", name, vfs.ErrNotRegular)
	} else if err != 0 && err != syscall.ENOENT {
		return nil, pathError("lock", name, err)
	}
	f, oerr := v.openRegular(k, "lock", name, unix.O_CREAT|unix.O_RDWR)
	if oerr != nil {
		return nil, oerr
	}
	err := v.y.c.flock(k, f, unix.LOCK_EX|unix.LOCK_NB)
	if err == 0 {
		var n *node
		if n, err = v.look(k, name); err == 0 && n != f.i.n {
			err = syscall.ESTALE
		}
	}
	if err != 0 {
		_ = v.close(k, f)
		return nil, lockError(name, err)
	}
	return f, nil
}

// look finds what a name is, as the caches have it.
func (v *FS) look(k *Call, name string) (n *node, err syscall.Errno) {
	err = twice(func(afresh bool) syscall.Errno {
		p, err := v.y.c.parent(k, name, afresh)
		if err == 0 {
			n, err = v.y.c.find(k, p, afresh)
		}
		return err
	})
	return n, err
}

type fileLock struct{ handle }

func (l *fileLock) Unlock() error {
	return l.call("unlock", func(_ *Client, k *Call) (string, syscall.Errno) { return "unlock", l.v.close(k, l.f) })
}
