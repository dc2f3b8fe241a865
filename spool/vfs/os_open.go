package vfs

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// resolve keeps every walk below the root and off symbolic links, and off the
// magic ones of /proc, even while somebody swaps directories underneath.
const resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

// parentFlags open a directory that is only named, not read.
const parentFlags = unix.O_PATH | unix.O_DIRECTORY

// haveOpenat2 is false on kernels before 5.6 (ENOSYS) and under system call
// filters that don't know it (EPERM, in old container runtimes).
func haveOpenat2(root int) bool {
	fd, err := retryFD(func() (int, error) {
		return unix.Openat2(root, ".", &unix.OpenHow{Flags: parentFlags | unix.O_CLOEXEC, Resolve: resolve})
	})
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}

// openat opens a checked name below the root. No component may be a symbolic
// link, the last one included (ELOOP, or ENOTDIR in the walk).
func (o *OS) openat(name string, flags int, mode uint32) (int, error) {
	flags |= unix.O_NOFOLLOW | unix.O_CLOEXEC
	if o.walk {
		return o.walkTo(name, flags, mode)
	}
	return retryFD(func() (int, error) {
		return unix.Openat2(o.root, name, &unix.OpenHow{
			Flags: uint64(flags), Mode: uint64(mode), Resolve: resolve,
		})
	})
}

// walkTo does openat2's work where there is none: one openat a component,
// each relative to the last, none through a symbolic link.
func (o *OS) walkTo(name string, flags int, mode uint32) (int, error) {
	dir := o.root
	for {
		part, rest, more := strings.Cut(name, "/")
		f, m := parentFlags|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(0)
		if !more {
			f, m = flags, mode
		}
		fd, err := retryFD(func() (int, error) { return unix.Openat(dir, part, f, m) })
		if dir != o.root {
			unix.Close(dir)
		}
		if err != nil || !more {
			return fd, err
		}
		dir, name = fd, rest
	}
}

// open returns an os.File, whose errors bear the spool-relative name, whose
// Write is complete or fails, and whose Close waits for nobody.
func (o *OS) open(op, name string, flags int, mode uint32) (*os.File, error) {
	if err := CheckName(op, name); err != nil {
		return nil, err
	}
	fd, err := o.openat(name, flags, mode)
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// openRegular refuses whatever isn't a regular file. O_NONBLOCK: to open a
// pipe without it waits for the other end, for ever. With it, a file whose
// delegation a server on this very machine has to take back first gives EAGAIN:
// then it is opened by waiting, once it is known to be no pipe.
func (o *OS) openRegular(op, name string, flags int, mode uint32) (*os.File, *syscall.Stat_t, error) {
	flags |= unix.O_NOCTTY
	f, err := o.open(op, name, flags|unix.O_NONBLOCK, mode)
	if errors.Is(err, unix.EAGAIN) {
		if _, err := o.look(op, name); err != nil {
			return nil, nil, err
		}
		f, err = o.open(op, name, flags, mode)
	}
	if err != nil {
		return nil, nil, notRegular(err)
	}
	st, err := fstat(f)
	if err == nil && st.Mode&syscall.S_IFMT != syscall.S_IFREG {
		err = &fs.PathError{Op: op, Path: name, Err: ErrNotRegular}
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, st, nil
}

// look returns the ID of a regular file without opening it: no lock, no lease
// and no side effect.
func (o *OS) look(op, name string) (ID, error) {
	f, err := o.open(op, name, unix.O_PATH, 0)
	if err != nil {
		return ID{}, notRegular(err)
	}
	defer f.Close()
	st, err := fstat(f)
	if err != nil {
		return ID{}, err
	}
	if st.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return ID{}, &fs.PathError{Op: op, Path: name, Err: ErrNotRegular}
	}
	return ID{Dev: st.Dev, Ino: st.Ino}, nil
}

// notRegular adds ErrNotRegular to the errors by which an open says the same:
// a symbolic link (or one on the way), a directory opened for writing, a
// socket. The errno stays.
func notRegular(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		switch pe.Err {
		case unix.ELOOP, unix.EISDIR, unix.ENXIO:
			pe.Err = irregular{pe.Err}
		}
	}
	return err
}

type irregular struct{ errno error }

func (e irregular) Error() string   { return ErrNotRegular.Error() + ": " + e.errno.Error() }
func (e irregular) Unwrap() []error { return []error{ErrNotRegular, e.errno} }

// parent opens the directory of a checked name. The second result closes it.
func (o *OS) parent(dir string) (int, func(), error) {
	if dir == "." {
		return o.root, func() {}, nil
	}
	fd, err := o.openat(dir, parentFlags, 0)
	if err != nil {
		return -1, nil, err
	}
	return fd, func() { unix.Close(fd) }, nil
}

// one runs a call on the parent of name.
func (o *OS) one(op, name string, call func(fd int, base string) error) error {
	if err := CheckName(op, name); err != nil {
		return err
	}
	dir, base := Split(name)
	fd, done, err := o.parent(dir)
	if err == nil {
		err = retry(func() error { return call(fd, base) })
		done()
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

// two runs a call on the parents of two names.
func (o *OS) two(op, from, to string, call func(fd1 int, b1 string, fd2 int, b2 string) error) error {
	for _, name := range []string{from, to} {
		if CheckName(op, name) != nil {
			return &os.LinkError{Op: op, Old: from, New: to, Err: syscall.EINVAL}
		}
	}
	if err := o.twoDirs(from, to, call); err != nil {
		return &os.LinkError{Op: op, Old: from, New: to, Err: err}
	}
	return nil
}

func (o *OS) twoDirs(from, to string, call func(fd1 int, b1 string, fd2 int, b2 string) error) error {
	dir1, base1 := Split(from)
	dir2, base2 := Split(to)
	d1, err := o.dirs.get(o, dir1)
	if err != nil {
		return err
	}
	d2, err := o.dirs.get(o, dir2)
	if err != nil {
		o.dirs.used(d1, err)
		return err
	}
	err = retry(func() error { return call(d1.fd, base1, d2.fd, base2) })
	o.dirs.used(d1, err)
	o.dirs.used(d2, err)
	return err
}

// openIn opens a file by its directory's descriptor.
func (o *OS) openIn(op, name string, flags int, mode uint32) (int, error) {
	if err := CheckName(op, name); err != nil {
		return -1, err
	}
	dir, base := Split(name)
	d, err := o.dirs.get(o, dir)
	fd := -1
	if err == nil {
		fd, err = retryFD(func() (int, error) {
			return unix.Openat(d.fd, base, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
		})
		o.dirs.used(d, err)
	}
	if err != nil {
		return -1, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return fd, nil
}

// openFile opens a regular file to be read; see openRegular. Where it isn't, its
// directory is walked to again: the one that was open may be gone, and another
// have its name.
//
// On NFS it is read past the cache: files are read once, and who opens with
// O_DIRECT is given no delegation (since 4.1), which would have to be returned, in
// a call of its own, before the file is renamed.
func (o *OS) openFile(op, name string) (int, *unix.Stat_t, error) {
	flags := unix.O_RDONLY | unix.O_NOCTTY
	if o.nfs {
		flags |= unix.O_DIRECT
	}
	fd, err := o.openIn(op, name, flags|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESTALE) {
		fd, err = o.openIn(op, name, flags|unix.O_NONBLOCK, 0)
	}
	if o.nfs && errors.Is(err, unix.EINVAL) { // a kernel whose NFS client can't
		flags &^= unix.O_DIRECT
		fd, err = o.openIn(op, name, flags|unix.O_NONBLOCK, 0)
	}
	if errors.Is(err, unix.EAGAIN) {
		if _, err := o.look(op, name); err != nil {
			return -1, nil, err
		}
		fd, err = o.openIn(op, name, flags, 0)
	}
	if err != nil {
		return -1, nil, notRegular(err)
	}
	st := new(unix.Stat_t)
	err = retry(func() error { return unix.Fstat(fd, st) })
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = ErrNotRegular
	}
	if err != nil {
		unix.Close(fd)
		return -1, nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return fd, st, nil
}

// fstat asks the descriptor, not a name that may be cached.
func fstat(f *os.File) (*syscall.Stat_t, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return fi.Sys().(*syscall.Stat_t), nil
}

func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// raceTries bounds how often openat2 is called again for its EAGAIN, which
// says that it lost a race with a rename.
const raceTries = 32

func retryFD(call func() (int, error)) (int, error) {
	for races := 0; ; {
		fd, err := call()
		if err == unix.EAGAIN && races < raceTries {
			races++
		} else if err != unix.EINTR {
			return fd, err
		}
	}
}
