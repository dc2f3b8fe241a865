package vfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"
)

// OpenRecord implements FS.
func (o *OS) OpenRecord(name string) (Record, error) {
	f, st, err := o.openRegular("open", name, unix.O_CREAT|unix.O_RDWR, draftMode)
	if err != nil {
		return nil, err
	}
	return &osRecord{f: f, name: name, size: st.Size}, nil
}

// osRecord is used by one goroutine at a time, but for Close.
type osRecord struct {
	f       *os.File
	name    string
	size    int64
	written bool
}

// Write replaces the contents: pwrite at 0, fsync. There is no truncation in
// between that a reader could see, hence one length for the record's life.
// EIO from the fsync is how Linux reports that the server gave the lock away.
func (r *osRecord) Write(data []byte) error {
	if size := int64(len(data)); size != r.size {
		if r.written {
			return &fs.PathError{Op: "write", Path: r.name, Err: syscall.EINVAL}
		}
		if err := r.f.Truncate(size); err != nil {
			return err
		}
		r.size = size
	}
	r.written = true
	if _, err := r.f.WriteAt(data, 0); err != nil {
		return err
	}
	return r.f.Sync()
}

func (r *osRecord) Lock() error {
	var ferr error
	conn, err := r.f.SyscallConn()
	if err == nil {
		err = conn.Control(func(fd uintptr) {
			ferr = retry(func() error { return unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) })
		})
	}
	if err == nil {
		err = ferr
	}
	return lockError(r.name, err)
}

func (r *osRecord) Close() error { return r.f.Close() }

// OpenLog implements FS.
func (o *OS) OpenLog(name string) (Log, error) {
	f, err := o.open("create", name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_APPEND, draftMode)
	if err != nil {
		return nil, err
	}
	return osLog{f}, nil
}

type osLog struct{ f *os.File }

// Append is one write call for what fits in one.
func (l osLog) Append(data []byte) error {
	_, err := l.f.Write(data)
	return err
}

func (l osLog) Sync() error  { return l.f.Sync() }
func (l osLog) Close() error { return l.f.Close() }

// TryLock implements FS, through gofrs/flock.
//
// That library takes a path, not a descriptor. It gets the root's path and the
// name, and O_NOFOLLOW; the strict walk looks before, so that nothing is made
// through a symbolic link, and after, and compares: the lock is on the file
// that the name means below the root that this FS opened, or it is given back
// (ESTALE). Lock files are never moved or removed, so that this can't fail but
// by tampering or a root that was swapped.
func (o *OS) TryLock(name string) (Lock, error) {
	if err := CheckName("lock", name); err != nil {
		return nil, err
	}
	if _, err := o.look("lock", name); err != nil && !errors.Is(err, syscall.ENOENT) {
		return nil, err
	}
	fl := flock.New(filepath.Join(o.path, name),
		flock.SetFlag(os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW|unix.O_NOCTTY),
		flock.SetPermissions(lockMode))
	var got bool
	err := retry(func() error {
		var err error
		if got, err = fl.TryLock(); errors.Is(err, unix.EINTR) {
			return unix.EINTR
		}
		return err
	})
	if err == nil && !got {
		err = unix.EWOULDBLOCK
	}
	if err != nil {
		return nil, lockError(name, err)
	}
	if err := o.sameFile(fl, name); err != nil {
		return nil, errors.Join(err, fl.Unlock())
	}
	return &osLock{fl: fl, name: name}, nil
}

func (o *OS) sameFile(fl *flock.Flock, name string) error {
	id, err := o.look("lock", name)
	if err != nil {
		return err
	}
	fi, err := fl.Stat()
	if err != nil {
		return &fs.PathError{Op: "lock", Path: name, Err: errno(err)}
	}
	st := fi.Sys().(*syscall.Stat_t)
	if (id != ID{Dev: st.Dev, Ino: st.Ino}) {
		return &fs.PathError{Op: "lock", Path: name, Err: syscall.ESTALE}
	}
	return nil
}

type osLock struct {
	fl   *flock.Flock
	name string
}

func (l *osLock) Unlock() error {
	if err := l.fl.Unlock(); err != nil {
		return &fs.PathError{Op: "unlock", Path: l.name, Err: errno(err)}
	}
	return nil
}

// lockError tells "somebody has it" from everything else: ENOLCK is a mount
// without a lock service, never a holder.
func lockError(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EWOULDBLOCK):
		return &fs.PathError{Op: "lock", Path: name, Err: ErrLocked}
	}
	return &fs.PathError{Op: "lock", Path: name, Err: errno(err)}
}

// errno strips the absolute path that the library's errors bear.
func errno(err error) error {
	var e syscall.Errno
	if errors.As(err, &e) {
		return e
	}
	return err
}
