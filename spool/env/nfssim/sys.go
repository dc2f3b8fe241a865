package nfssim

import (
	"syscall"
	"time"

	"fencepost/spool/env/simenv"
	"golang.org/x/sys/unix"
)

// Sys makes a process's system calls, one after the other or by several tasks.
// Errors are syscall.Errno values; names are relative to the mount.
type Sys struct {
	c     *Client
	p     *simenv.Proc
	open  []*file // that the kernel closes if the process dies
	files []*file // by their descriptors
}

// Sys returns the system calls of a process.
func (c *Client) Sys(p *simenv.Proc) *Sys {
	y := &Sys{c: c, p: p}
	p.OnDeath(y.exit)
	return y
}

func (y *Sys) exit() {
	if len(y.open) == 0 {
		return
	}
	for _, f := range y.open {
		y.c.exit(y.c.s.newCall(y.c, y.p, "exit", f.path, ""), f)
	}
	y.open = nil
}

const (
	// manyQuiet is how many calls may be answered from the cache before the
	// task lets others run: a loop that asks nobody must end, too.
	manyQuiet = 64
	quietTime = 100 * time.Microsecond
)

// enter begins a call.
func (y *Sys) enter(op, from, to string) *Call {
	s := y.c.s
	k := s.newCall(y.c, y.p, op, from, to)
	if s.OnCall != nil {
		s.OnCall(k)
	}
	y.settle()
	return k
}

// leave ends it.
func (y *Sys) leave(k *Call, err error) error {
	k.Err = err
	if y.c.s.OnAnswer != nil {
		y.c.s.OnAnswer(k)
	}
	if y.c.quiet++; y.c.quiet > manyQuiet {
		y.c.quiet = 0
		y.c.sleep(quietTime)
	}
	y.settle()
	return err
}

// settle has a task of a process that was just killed, stopped or frozen go no
// further.
func (y *Sys) settle() {
	if y.p.Dead() || y.p.Stopped() || y.c.machine.Frozen() {
		t := y.c.s.w.Current()
		t.Park(func(wait uint32) { t.Wake(wait) })
	}
}

func result(err syscall.Errno) error {
	if err == 0 {
		return nil
	}
	return err
}

// twice makes a call by names; if a handle turns out to be stale, again, with
// all looked up afresh.
func twice(call func(afresh bool) syscall.Errno) syscall.Errno {
	err := call(false)
	if err == syscall.ESTALE {
		err = call(true)
	}
	return err
}

// one is a call on one name.
func (y *Sys) one(op, name string, call func(*Call, place, bool) syscall.Errno) error {
	k := y.enter(op, name, "")
	return y.leave(k, result(twice(func(afresh bool) syscall.Errno {
		p, err := y.c.parent(k, name, afresh)
		if err != 0 {
			return err
		}
		return call(k, p, afresh)
	})))
}

// two is a call on two names.
func (y *Sys) two(op, from, to string, call func(*Call, place, place, bool) syscall.Errno) error {
	k := y.enter(op, from, to)
	return y.leave(k, result(twice(func(afresh bool) syscall.Errno {
		p, err := y.c.parent(k, from, afresh)
		if err != 0 {
			return err
		}
		q, err := y.c.parent(k, to, afresh)
		if err != 0 {
			return err
		}
		return call(k, p, q, afresh)
	})))
}

// Rename is rename(2).
func (y *Sys) Rename(from, to string) error { return y.two("rename", from, to, y.c.rename) }

// RenameNoReplace is renameat2(2) with RENAME_NOREPLACE, which NFS doesn't have.
func (y *Sys) RenameNoReplace(from, to string) error {
	return y.two("rename", from, to, func(k *Call, p, q place, afresh bool) syscall.Errno {
		if _, err := y.c.find(k, p, afresh); err != 0 {
			return err
		}
		if n, ok := q.dir.cached(q.name); ok && n != nil {
			if _, err := y.c.lookup(k, q.dir, q.name, true); err == 0 {
				return syscall.EEXIST
			}
		}
		return syscall.EINVAL
	})
}

// Link is link(2).
func (y *Sys) Link(from, to string) error { return y.two("link", from, to, y.c.link) }

// Mkdir is mkdir(2).
func (y *Sys) Mkdir(dir string) error { return y.one("mkdir", dir, y.c.mkdir) }

// Rmdir is rmdir(2).
func (y *Sys) Rmdir(dir string) error { return y.one("rmdir", dir, y.c.rmdir) }

// Remove is unlink(2).
func (y *Sys) Remove(name string) error { return y.one("remove", name, y.c.remove) }

// Stat returns the inode's number, as the caches have it.
func (y *Sys) Stat(name string) (ino uint64, err error) {
	if name == "." {
		return rootIno, nil
	}
	err = y.one("stat", name, func(k *Call, p place, afresh bool) syscall.Errno {
		n, err := y.c.find(k, p, afresh)
		if err != 0 {
			return err
		}
		if i := y.c.inode(n); !y.c.fresh(i) {
			if err := y.c.getattr(k, i); err != 0 {
				return err
			}
		}
		ino = n.ino
		return 0
	})
	return ino, err
}

// List is opendir, readdir until its end, closedir.
func (y *Sys) List(dir string) ([]string, error) {
	k := y.enter("list", dir, "")
	names, err := y.c.list(k, dir)
	return names, y.leave(k, result(err))
}

// ---- descriptors ----------------------------------------------------------------

func (y *Sys) opened(f *file) { y.open = append(y.open, f) }

func (y *Sys) closed(f *file) {
	for i := range y.open {
		if y.open[i] == f {
			y.open = append(y.open[:i], y.open[i+1:]...)
			return
		}
	}
}

// Open is open(2), with the flags of package unix.
func (y *Sys) Open(name string, flags int) (fd int, err error) {
	fd = -1
	err = y.one("open", name, func(k *Call, p place, afresh bool) syscall.Errno {
		f, err := y.c.openAt(k, p, flags, afresh)
		if err == 0 {
			y.opened(f)
			y.files = append(y.files, f)
			fd = len(y.files) - 1
			if flags&unix.O_TRUNC != 0 && f.i.size > 0 {
				err = y.c.setattr(k, f, true, 0)
			}
		}
		return err
	})
	return fd, err
}

// with makes a call on a descriptor.
func (y *Sys) with(op string, fd int, call func(*Call, *file) syscall.Errno) error {
	if fd < 0 || fd >= len(y.files) || y.files[fd].closed {
		return syscall.EBADF
	}
	f := y.files[fd]
	k := y.enter(op, f.path, "")
	return y.leave(k, result(call(k, f)))
}

// Read reads up to n bytes from the start.
func (y *Sys) Read(fd, n int) (data []byte, err error) {
	err = y.with("read", fd, func(k *Call, f *file) syscall.Errno {
		all, err := y.c.read(k, f)
		data = append([]byte{}, all[:min(n, len(all))]...)
		return err
	})
	return data, err
}

// Write writes at the start, or at the end if the descriptor appends.
func (y *Sys) Write(fd int, data []byte) error {
	return y.with("write", fd, func(_ *Call, f *file) syscall.Errno { return y.c.write(f, 0, data) })
}

// Fsync is fsync(2).
func (y *Sys) Fsync(fd int) error { return y.with("fsync", fd, y.c.fsync) }

// Close is close(2).
func (y *Sys) Close(fd int) error {
	return y.with("close", fd, func(k *Call, f *file) syscall.Errno {
		err := y.c.close(k, f)
		y.closed(f)
		return err
	})
}

// Flock is flock(2).
func (y *Sys) Flock(fd, how int) error {
	return y.with("flock", fd, func(k *Call, f *file) syscall.Errno { return y.c.flock(k, f, how) })
}
