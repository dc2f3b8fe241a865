package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// Modes of what is made. The umask takes away from all of them. A file loses
// its write bits once it is written, a directory is for the spool's group too.
const (
	draftMode = 0o640
	fileMode  = 0o440
	groupMode = 0o660 // of both, where the group may write
	dirMode   = 0o770
	lockMode  = 0o660
)

// listTries bounds how often a listing is read again from its start: a server
// that mixes up its directory cookies answers ELOOP, a removed or restarted
// one ESTALE.
const listTries = 4

// OS is the operating system's FS. It is Linux only.
//
// Only the root's descriptor is kept. Every operation walks from there: one
// openat2 for a file, one a parent directory for a rename. Directories'
// descriptors are not cached, on purpose: a cached handle follows a directory
// that is moved, and goes on after one that is removed and made again. What
// that costs is measured by BenchmarkRename; on NFS the walk is answered from
// the client's own cache. An operation holds three descriptors at most.
//
// A signal that interrupts a call makes it be called again. For a mutation that
// means that an answer like ENOENT may be due to the first call: "unknown", as
// any other error.
type OS struct {
	path string // absolute; only TryLock uses it
	root int    // O_PATH descriptor of the root
	nfs  bool   // Sync has nothing to do
	walk bool   // the kernel, or a filter, has no openat2

	// Group makes files for the group, too, to link: Linux lets a user link another
	// one's file only with read and write permission (fs.protected_hardlinks).
	Group bool

	// Inspect, if set, is asked by Read about each file that was opened: its mode
	// and owner by the descriptor. It is set before the first operation.
	Inspect func(name string, mode, uid uint32) error
}

var _ FS = (*OS)(nil)

// OpenOS opens the directory root, which may be reached through symbolic
// links: only names below it may not.
func OpenOS(root string) (*OS, error) {
	path, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("resolve %q: %w", root, err)
	}
	fd, err := retryFD(func() (int, error) {
		return unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: root, Err: err}
	}
	o := &OS{path: path, root: fd}
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Fstatfs(fd, &st) }); err != nil {
		unix.Close(fd)
		return nil, &fs.PathError{Op: "statfs", Path: root, Err: err}
	}
	o.nfs = st.Type == unix.NFS_SUPER_MAGIC
	o.walk = !haveOpenat2(fd)
	return o, nil
}

// Root returns the absolute path that was opened.
func (o *OS) Root() string { return o.path }

// Close closes the root. No operation may be under way.
func (o *OS) Close() error { return unix.Close(o.root) }

// Create implements FS.
//
// Order: openat2(O_CREAT|O_EXCL|O_WRONLY) 0640, fstat, write, fsync, fchmod
// 0440, close. The mode isn't worth a second fsync: a crash leaves a draft that
// is writable, never one that is incomplete.
func (o *OS) Create(name string, data []byte) (ID, error) {
	draft, whole := uint32(draftMode), uint32(fileMode)
	if o.Group {
		draft, whole = groupMode, groupMode
	}
	f, err := o.open("create", name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, draft)
	if err != nil {
		return ID{}, err
	}
	id, err := fill(f, data, whole)
	// A failed close of data counts, and is never tried again.
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return ID{}, err
	}
	return id, nil
}

func fill(f *os.File, data []byte, mode uint32) (ID, error) {
	st, err := fstat(f)
	if err != nil {
		return ID{}, err
	}
	if _, err := f.Write(data); err != nil {
		return ID{}, err
	}
	if err := f.Sync(); err != nil {
		return ID{}, err
	}
	// Bits that the umask took away stay away.
	if err := f.Chmod(fs.FileMode(st.Mode & mode)); err != nil {
		return ID{}, err
	}
	return ID{Dev: st.Dev, Ino: st.Ino}, nil
}

// Read implements FS.
func (o *OS) Read(name string, limit int64) ([]byte, ID, error) {
	f, st, err := o.openRegular("open", name, unix.O_RDONLY, 0)
	if err != nil {
		return nil, ID{}, err
	}
	defer f.Close()
	if o.Inspect != nil {
		if err := o.Inspect(name, st.Mode, st.Uid); err != nil {
			return nil, ID{}, err
		}
	}
	if st.Size > limit {
		return nil, ID{}, &fs.PathError{Op: "read", Path: name, Err: ErrTooLarge}
	}
	// The size is a hint: the file may grow, and NFS may not know yet.
	buf := make([]byte, 0, max(st.Size, 0)+1)
	for {
		n, err := f.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > limit {
			return nil, ID{}, &fs.PathError{Op: "read", Path: name, Err: ErrTooLarge}
		}
		if err == io.EOF {
			return buf, ID{Dev: st.Dev, Ino: st.Ino}, nil
		}
		if err != nil {
			return nil, ID{}, err
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
	}
}

// Identify implements FS.
func (o *OS) Identify(name string) (ID, error) {
	f, st, err := o.openRegular("open", name, unix.O_RDONLY, 0)
	if err != nil {
		return ID{}, err
	}
	defer f.Close()
	return ID{Dev: st.Dev, Ino: st.Ino}, nil
}

// List implements FS.
func (o *OS) List(dir string) ([]string, error) {
	if err := CheckDir("list", dir); err != nil {
		return nil, err
	}
	var err error
	for range listTries {
		var names []string
		names, err = o.listOnce(dir)
		if err == nil {
			return names, nil
		}
		if !errors.Is(err, syscall.ELOOP) && !errors.Is(err, syscall.ESTALE) {
			return nil, err
		}
	}
	return nil, err
}

// listOnce never returns a listing that stopped half way: a name that it lacks
// would be taken for absent.
func (o *OS) listOnce(dir string) ([]string, error) {
	fd, err := o.openat(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: err}
	}
	f := os.NewFile(uintptr(fd), dir)
	defer f.Close()
	return f.Readdirnames(-1)
}

// Rename implements FS: renameat, with both parents' descriptors.
func (o *OS) Rename(from, to string) error {
	return o.two("rename", from, to, func(d1 int, b1 string, d2 int, b2 string) error {
		return unix.Renameat(d1, b1, d2, b2)
	})
}

// Link implements FS: linkat, which doesn't follow a symbolic link.
func (o *OS) Link(from, to string) error {
	return o.two("link", from, to, func(d1 int, b1 string, d2 int, b2 string) error {
		return unix.Linkat(d1, b1, d2, b2, 0)
	})
}

// Mkdir implements FS.
func (o *OS) Mkdir(dir string) error {
	return o.one("mkdir", dir, func(fd int, base string) error {
		return unix.Mkdirat(fd, base, dirMode)
	})
}

// Rmdir implements FS. A directory that isn't empty is always ENOTEMPTY here,
// though POSIX lets a file system say EEXIST.
func (o *OS) Rmdir(dir string) error {
	return o.one("rmdir", dir, func(fd int, base string) error {
		err := unix.Unlinkat(fd, base, unix.AT_REMOVEDIR)
		if err == unix.EEXIST {
			return unix.ENOTEMPTY
		}
		return err
	})
}

// Remove implements FS.
func (o *OS) Remove(name string) error {
	return o.one("remove", name, func(fd int, base string) error {
		return unix.Unlinkat(fd, base, 0)
	})
}

// Sync implements FS: open, fsync, close of each directory, once. On NFS it
// does nothing: the server answers a change of names once it is on its disk,
// if its export is sync, and fsync of a directory asks it nothing.
func (o *OS) Sync(dirs ...string) error {
	for i, dir := range dirs {
		if err := CheckDir("sync", dir); err != nil {
			return err
		}
		if o.nfs || slices.Contains(dirs[:i], dir) {
			continue
		}
		if err := o.syncDir(dir); err != nil {
			return &fs.PathError{Op: "sync", Path: dir, Err: err}
		}
	}
	return nil
}

func (o *OS) syncDir(dir string) error {
	fd, err := o.openat(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	err = retry(func() error { return unix.Fsync(fd) })
	if cerr := unix.Close(fd); err == nil {
		err = cerr
	}
	return err
}
