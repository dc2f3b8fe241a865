package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// slots bounds the number of jobs at once. Slot N is the file slot.N, locked
// with flock before a wrapper starts; the wrapper inherits the locked
// descriptor, so that the lock lasts until it dies, however it dies, and also
// if the daemon dies before it.
type slots struct {
	dir string
	id  string // of the directory: a path alone may mean another one after a restart
	n   int

	mu sync.Mutex // one look at a time: a look takes the locks for a moment
}

// openSlots makes the directory. It must not be on a share: there a lock
// belongs to a process, and isn't inherited.
func openSlots(dir string, n int, fresh string) (*slots, error) {
	// Before, so that nothing is made through another's link; and after.
	if err := ownPath(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := ownPath(dir); err != nil {
		return nil, err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return nil, fmt.Errorf("statfs %s: %w", dir, err)
	}
	if st.Type == unix.NFS_SUPER_MAGIC {
		return nil, fmt.Errorf("run directory %s is on NFS: it must be on this machine", dir)
	}
	id, err := dirID(filepath.Join(dir, "id"), fresh)
	if err != nil {
		return nil, err
	}
	return &slots{dir: dir, id: id, n: n}, nil
}

// ownPath refuses a directory that another user of this machine could put something
// into, or in the place of: its name is easily guessed, and may be below /tmp.
func ownPath(dir string) error {
	if err := ownEach(dir); err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil // it will be looked at when it is there
		}
		return err
	}
	return ownEach(real)
}

// ownEach looks at a directory, and at all above it.
func ownEach(dir string) error {
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Lstat(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err == nil {
			if why := othersWay(info); why != "" {
				return fmt.Errorf("run directory: %s %s: remove it, or set XDG_RUNTIME_DIR (root: TMPDIR) to a directory of this user's own", dir, why)
			}
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// othersWay says how another user could get in; "" = not at all.
func othersWay(info os.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case ok && st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return fmt.Sprintf("belongs to user %d", st.Uid)
	case info.Mode()&os.ModeSymlink == 0 && info.Mode().Perm()&0o002 != 0 && info.Mode()&os.ModeSticky == 0:
		return fmt.Sprintf("has mode %04o, so that others may write there", info.Mode().Perm())
	}
	return ""
}

// dirID reads the directory's id, or gives it one.
func dirID(name, fresh string) (string, error) {
	tmp := name + "." + fresh
	if err := os.WriteFile(tmp, []byte(fresh), 0o600); err != nil {
		return "", err
	}
	defer os.Remove(tmp)
	if err := os.Link(tmp, name); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	b, err := os.ReadFile(name)
	return string(b), err
}

func (s *slots) path(i int) string { return filepath.Join(s.dir, "slot."+strconv.Itoa(i)) }

// tryLock locks a slot file, which it makes if create; nil if it is held.
func tryLock(name string, create bool) (*os.File, error) {
	flags := os.O_RDWR | syscall.O_NOFOLLOW // it is going to be written
	if create {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(name, flags, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, fmt.Errorf("lock %s: %w", name, err)
}

// free counts. Slots beyond a limit that was lowered count as used.
func (s *slots) free() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	files, err := filepath.Glob(filepath.Join(s.dir, "slot.*"))
	if err != nil {
		return 0, err
	}
	used := 0
	for _, name := range files {
		f, err := tryLock(name, false)
		switch {
		case err != nil:
			return 0, err
		case f == nil:
			used++
		default:
			f.Close()
		}
	}
	return max(0, s.n-used), nil
}

// acquire locks a free slot and writes into it who it is for; nil if there is
// none.
func (s *slots) acquire(who string) (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.n {
		f, err := tryLock(s.path(i), true)
		if err != nil {
			return nil, err
		}
		if f == nil {
			continue
		}
		if err := errors.Join(f.Truncate(0), writeAt(f, who)); err != nil {
			f.Close()
			return nil, err
		}
		return f, nil
	}
	return nil, nil
}

func writeAt(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}

// gone says whether a slot's user is proven to be dead: nobody has the lock, or
// somebody else has it by now. Which of two it is, an error leaves open.
func (s *slots) gone(name, who string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := tryLock(name, false)
	if err != nil {
		return false, err
	}
	if f != nil {
		f.Close()
		return true, nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return false, err
	}
	// An empty slot is being taken this moment, by somebody else.
	return strings.TrimSpace(string(b)) != who && len(b) > 0, nil
}
