package nfssim

import (
	"io/fs"
	"os"
	"strings"
	"syscall"

	"fencepost/spool/env/simenv"
	"fencepost/spool/vfs"
	"golang.org/x/sys/unix"
)

// FS is vfs.FS for a process: the system calls that vfs.OS makes, in their
// order, on this client.
//
// A change of names is made in open directories, as vfs.OS does: if one of them
// turns out to be stale, the answer is ESTALE. Whatever is opened is walked to
// again, from the root, and the answer is ENOENT.
type FS struct {
	// NoFsync leaves what Create wrote in the client's memory, for the
	// simulator's seeded bug: neither fsync nor close stores it.
	NoFsync bool

	y *Sys
}

var _ vfs.FS = (*FS)(nil)

// FS returns the file system as a process sees it.
func (c *Client) FS(p *simenv.Proc) *FS { return &FS{y: c.Sys(p)} }

// Sys is the process's system calls.
func (v *FS) Sys() *Sys { return v.y }

func pathError(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

func wrap(op, name string, err syscall.Errno) error {
	if err == 0 {
		return nil
	}
	return pathError(op, name, err)
}

// irregular is how an open says that something is no regular file.
type irregular struct{ errno syscall.Errno }

func (e irregular) Error() string   { return vfs.ErrNotRegular.Error() + ": " + e.errno.Error() }
func (e irregular) Unwrap() []error { return []error{vfs.ErrNotRegular, e.errno} }

// openRegular opens a file, which the process has open from then on.
func (v *FS) openRegular(k *Call, op, name string, flags int) (*file, error) {
	var f *file
	err := twice(func(afresh bool) syscall.Errno {
		p, err := v.y.c.parent(k, name, afresh)
		if err == 0 {
			f, err = v.y.c.openAt(k, p, flags, afresh)
		}
		return err
	})
	switch {
	case err == syscall.EISDIR:
		return nil, pathError(op, name, irregular{err})
	case err != 0:
		return nil, pathError(op, name, err)
	case f.i.n.dir:
		return nil, pathError(op, name, vfs.ErrNotRegular)
	}
	v.y.opened(f)
	return f, nil
}

func (v *FS) close(k *Call, f *file) syscall.Errno {
	err := v.y.c.close(k, f)
	v.y.closed(f)
	return err
}

// Create implements vfs.FS.
func (v *FS) Create(name string, data []byte) (vfs.ID, error) {
	if err := vfs.CheckName("create", name); err != nil {
		return vfs.ID{}, err
	}
	k := v.y.enter("create", name, "")
	id, err := v.create(k, name, data)
	return id, v.y.leave(k, err)
}

func (v *FS) create(k *Call, name string, data []byte) (vfs.ID, error) {
	c := v.y.c
	f, err := v.openRegular(k, "create", name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY)
	if err != nil {
		return vfs.ID{}, err
	}
	step, no := "write", syscall.Errno(0)
	if len(data) > 0 {
		no = c.write(f, 0, data)
	}
	if no == 0 && v.NoFsync {
		id := vfs.ID{Dev: 1, Ino: f.i.n.ino}
		c.closed(f)
		v.y.closed(f)
		return id, nil
	}
	if no == 0 {
		step, no = "sync", c.fsync(k, f)
	}
	if no == 0 && !c.opt.Thorough {
		step, no = "chmod", c.setattr(k, f, false, 0)
	}
	if cerr := v.close(k, f); no == 0 {
		step, no = "close", cerr
	}
	if no != 0 {
		return vfs.ID{}, pathError(step, name, no)
	}
	return idOf(f), nil
}

func idOf(f *file) vfs.ID { return vfs.ID{Dev: 1, Ino: f.i.n.ino} }

// Read implements vfs.FS.
func (v *FS) Read(name string, limit int64) ([]byte, vfs.ID, error) {
	if err := vfs.CheckName("open", name); err != nil {
		return nil, vfs.ID{}, err
	}
	k := v.y.enter("read", name, "")
	data, id, err := v.read(k, name, limit)
	return data, id, v.y.leave(k, err)
}

func (v *FS) read(k *Call, name string, limit int64) ([]byte, vfs.ID, error) {
	f, err := v.openRegular(k, "open", name, unix.O_RDONLY)
	if err != nil {
		return nil, vfs.ID{}, err
	}
	var all []byte
	no := syscall.Errno(0)
	if int64(f.i.size) <= limit {
		all, no = v.y.c.read(k, f)
	}
	large := int64(max(f.i.size, len(all))) > limit
	data := append(make([]byte, 0, len(all)), all...)
	id := idOf(f)
	_ = v.close(k, f) // nothing was written
	switch {
	case no != 0:
		return nil, vfs.ID{}, pathError("read", name, no)
	case large:
		return nil, vfs.ID{}, pathError("read", name, vfs.ErrTooLarge)
	}
	return data, id, nil
}

// Identify implements vfs.FS.
func (v *FS) Identify(name string) (vfs.ID, error) {
	if err := vfs.CheckName("open", name); err != nil {
		return vfs.ID{}, err
	}
	k := v.y.enter("identify", name, "")
	f, err := v.openRegular(k, "open", name, unix.O_RDONLY)
	if err != nil {
		return vfs.ID{}, v.y.leave(k, err)
	}
	id := idOf(f)
	_ = v.close(k, f)
	return id, v.y.leave(k, nil)
}

// listTries is how often vfs.OS reads a listing.
const listTries = 4

// List implements vfs.FS.
func (v *FS) List(dir string) ([]string, error) {
	if err := vfs.CheckDir("list", dir); err != nil {
		return nil, err
	}
	k := v.y.enter("list", dir, "")
	names, err := v.y.c.list(k, dir)
	for n := 1; err == syscall.ESTALE && n < listTries; n++ {
		names, err = v.y.c.list(k, dir)
	}
	return names, v.y.leave(k, wrap("list", dir, err))
}

// one is a call on a name in an open directory.
func (v *FS) one(op, name string, call func(*Client, *Call, place, bool) syscall.Errno) error {
	if err := vfs.CheckName(op, name); err != nil {
		return err
	}
	k := v.y.enter(op, name, "")
	p, err := v.y.c.parent(k, name, false)
	if err == 0 {
		err = twice(func(afresh bool) syscall.Errno { return call(v.y.c, k, p, afresh) })
	}
	return v.y.leave(k, wrap(op, name, err))
}

// two is a call on names in two open directories.
func (v *FS) two(op, from, to string, call func(*Client, *Call, place, place, bool) syscall.Errno) error {
	if vfs.CheckName(op, from) != nil || vfs.CheckName(op, to) != nil {
		return &os.LinkError{Op: op, Old: from, New: to, Err: syscall.EINVAL}
	}
	k := v.y.enter(op, from, to)
	p, q, err := v.y.c.parents(k, from, to)
	if err == 0 {
		err = twice(func(afresh bool) syscall.Errno { return call(v.y.c, k, p, q, afresh) })
	}
	if err != 0 {
		return v.y.leave(k, &os.LinkError{Op: op, Old: from, New: to, Err: err})
	}
	return v.y.leave(k, nil)
}

// parents walks to both directories, once if they are one.
func (c *Client) parents(k *Call, from, to string) (p, q place, err syscall.Errno) {
	if p, err = c.parent(k, from, false); err != 0 {
		return p, q, err
	}
	i, j := strings.LastIndexByte(from, '/'), strings.LastIndexByte(to, '/')
	if i != j || i >= 0 && from[:i] != to[:i] {
		q, err = c.parent(k, to, false)
		return p, q, err
	}
	if len(to)-j-1 > maxName {
		return p, q, syscall.ENAMETOOLONG
	}
	return p, place{p.dir, c.s.component(to[j+1:])}, 0
}

// Rename implements vfs.FS.
func (v *FS) Rename(from, to string) error { return v.two("rename", from, to, (*Client).rename) }

// Link implements vfs.FS.
func (v *FS) Link(from, to string) error { return v.two("link", from, to, (*Client).link) }

// Mkdir implements vfs.FS.
func (v *FS) Mkdir(dir string) error { return v.one("mkdir", dir, (*Client).mkdir) }

// Rmdir implements vfs.FS.
func (v *FS) Rmdir(dir string) error { return v.one("rmdir", dir, (*Client).rmdir) }

// Remove implements vfs.FS.
func (v *FS) Remove(name string) error { return v.one("remove", name, (*Client).remove) }

// Sync implements vfs.FS: on NFS there is nothing to do.
func (v *FS) Sync(dirs ...string) error {
	for _, dir := range dirs {
		if err := vfs.CheckDir("sync", dir); err != nil {
			return err
		}
	}
	return nil
}
