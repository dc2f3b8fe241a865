package vfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"unsafe"

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
// Names are walked to from the root's descriptor. Those of the directories that
// files are made in, renamed, linked and removed are kept for a second at most,
// see dirs: the walk is most of what a rename costs on a local disk
// (BenchmarkRename). Listings, and what makes or removes directories, always
// walk.
//
// A signal that interrupts a call makes it be called again. For a mutation that
// means that an answer like ENOENT may be due to the first call: "unknown", as
// any other error.
type OS struct {
	path string // absolute; only TryLock uses it
	root int    // O_PATH descriptor of the root
	nfs  bool   // Sync has nothing to do
	ram  bool   // fsync has nothing to do
	walk bool   // the kernel, or a filter, has no openat2
	dirs dirs

	// Group makes files for the group, too, to link: Linux lets a user link another
	// one's file only with read and write permission (fs.protected_hardlinks).
	Group bool

	// Inspect, if set, is asked by Read about each file that was opened: its mode
	// and owner by the descriptor. It is set before the first operation.
	Inspect func(name string, mode, uid uint32) error

	// Unique, if set, tells names that nobody ever makes but this process, once. On
	// NFS they are made without O_EXCL: that costs a call more, since the server
	// keeps its proof of who made the file where its times should be. It is set
	// before the first operation.
	Unique func(name string) bool
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
	o.nfs, o.ram = st.Type == unix.NFS_SUPER_MAGIC, st.Type == unix.TMPFS_MAGIC
	o.walk = !haveOpenat2(fd)
	return o, nil
}

// Root returns the absolute path that was opened.
func (o *OS) Root() string { return o.path }

// Close closes the root. No operation may be under way.
func (o *OS) Close() error {
	o.dirs.drop()
	return unix.Close(o.root)
}

// Create implements FS.
//
// Order: openat(O_CREAT|O_EXCL|O_WRONLY, see Unique) 0440, fstat, write, fsync, close. The
// mode is that of the finished file: who makes a file may write it through the
// descriptor that made it, on NFS, too, and a chmod would be one call more.
func (o *OS) Create(name string, data []byte) (ID, error) {
	mode, flags := uint32(fileMode), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY
	if o.Group {
		mode = groupMode
	}
	if o.nfs && o.Unique != nil && o.Unique(name) {
		flags &^= unix.O_EXCL
	}
	fd, err := o.openIn("create", name, flags, mode)
	if err != nil {
		return ID{}, err
	}
	id, err := fill(fd, data)
	// A failed close of data counts, and is never tried again.
	if cerr := unix.Close(fd); err == nil {
		err = cerr
	}
	if err != nil {
		return ID{}, &fs.PathError{Op: "create", Path: name, Err: err}
	}
	return id, nil
}

func fill(fd int, data []byte) (ID, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return ID{}, err
	}
	if st.Size > 0 || st.Nlink > 1 {
		return ID{}, unix.EEXIST // only where it wasn't made exclusively
	}
	for len(data) > 0 {
		n, err := retryFD(func() (int, error) { return unix.Write(fd, data) })
		if err != nil {
			return ID{}, err
		}
		data = data[n:]
	}
	if err := retry(func() error { return unix.Fsync(fd) }); err != nil {
		return ID{}, err
	}
	return ID{Dev: st.Dev, Ino: st.Ino}, nil
}

// Read implements FS.
func (o *OS) Read(name string, limit int64) ([]byte, ID, error) {
	fd, st, err := o.openFile("open", name)
	if err != nil {
		return nil, ID{}, err
	}
	defer unix.Close(fd)
	if o.Inspect != nil {
		if err := o.Inspect(name, st.Mode, st.Uid); err != nil {
			return nil, ID{}, err
		}
	}
	data, err := readAll(fd, st.Size, limit)
	if err != nil {
		return nil, ID{}, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return data, ID{Dev: st.Dev, Ino: st.Ino}, nil
}

// readAll reads to the end. The size is a hint: the file may grow, and NFS may
// not know yet.
func readAll(fd int, size, limit int64) ([]byte, error) {
	if size > limit {
		return nil, ErrTooLarge
	}
	buf := make([]byte, 0, max(size, 0)+1)
	for {
		n, err := retryFD(func() (int, error) { return unix.Read(fd, buf[len(buf):cap(buf)]) })
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return buf, nil
		}
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > limit {
			return nil, ErrTooLarge
		}
		if len(buf) < cap(buf) && int64(len(buf)) >= size {
			return buf, nil // a read that is short is the last: to ask again would be a call
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
	}
}

// Identify implements FS.
func (o *OS) Identify(name string) (ID, error) {
	fd, st, err := o.openFile("open", name)
	if err != nil {
		return ID{}, err
	}
	unix.Close(fd)
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

// eachBuffer is how many bytes of a listing Each holds at a time.
const eachBuffer = 64 << 10

// Each implements Streamer.
func (o *OS) Each(dir string, do func(name string)) error {
	if err := CheckDir("list", dir); err != nil {
		return err
	}
	fd, err := o.openat(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err == nil {
		defer unix.Close(fd)
		err = eachName(fd, do)
	}
	if err != nil {
		return &fs.PathError{Op: "list", Path: dir, Err: err}
	}
	return nil
}

// eachName reads a directory. The names are in the buffer: a string of its own for
// each of a million, of which a few are kept, would be 50 MB of garbage.
func eachName(fd int, do func(name string)) error {
	buf := make([]byte, eachBuffer)
	for {
		n, err := retryFD(func() (int, error) { return unix.ReadDirent(fd, buf) })
		if err != nil || n <= 0 {
			return err
		}
		for rest := buf[:n]; len(rest) > direntName; {
			size := int(binary.NativeEndian.Uint16(rest[direntSize:]))
			if size <= direntName || size > len(rest) {
				return unix.EIO // no kernel says that
			}
			name := rest[direntName:size]
			if end := bytes.IndexByte(name, 0); end >= 0 {
				name = name[:end]
			}
			if s := unsafe.String(unsafe.SliceData(name), len(name)); s != "." && s != ".." {
				do(s)
			}
			rest = rest[size:]
		}
	}
}

// Where linux_dirent64 has its size and its name.
const (
	direntSize = int(unsafe.Offsetof(unix.Dirent{}.Reclen))
	direntName = int(unsafe.Offsetof(unix.Dirent{}.Name))
)

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
	if err := CheckName("remove", name); err != nil {
		return err
	}
	dir, base := Split(name)
	d, err := o.dirs.get(o, dir)
	if err == nil {
		err = retry(func() error { return unix.Unlinkat(d.fd, base, 0) })
		o.dirs.used(d, err)
	}
	if err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	return nil
}

// Sync implements FS: fsync of each directory, once. All at the same time: one
// after the other, each would wait for a commit of its own wherever others are at
// work; but in memory there is nothing to wait for. On NFS it does nothing: the server answers a change of names
// once it is on its disk, if its export is sync, and fsync of a directory asks it
// nothing.
func (o *OS) Sync(dirs ...string) error {
	for _, dir := range dirs {
		if err := CheckDir("sync", dir); err != nil {
			return err
		}
	}
	if o.nfs {
		return nil
	}
	errs := make([]error, len(dirs))
	var others sync.WaitGroup
	for i, dir := range dirs {
		switch {
		case slices.Contains(dirs[:i], dir):
		case i == len(dirs)-1, o.ram:
			errs[i] = o.syncDir(dir)
		default:
			others.Go(func() { errs[i] = o.syncDir(dir) })
		}
	}
	others.Wait()
	return errors.Join(errs...)
}

func (o *OS) syncDir(dir string) error {
	if err := o.fsyncDir(dir); err != nil {
		return &fs.PathError{Op: "sync", Path: dir, Err: err}
	}
	return nil
}

func (o *OS) fsyncDir(dir string) error {
	d, err := o.dirs.get(o, dir)
	if err != nil {
		return err
	}
	defer d.done()
	if err := retry(func() error { return unix.Fsync(d.fd) }); err != unix.EBADF {
		return err
	}
	// It was opened only to be walked through: this user may not list it.
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
