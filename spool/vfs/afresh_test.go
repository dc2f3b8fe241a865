package vfs_test

import (
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"

	"fencepost/spool/vfs"
)

// forgetful is a client whose cache says that directories aren't there until
// their parent has been listed.
type forgetful struct {
	vfs.FS
	dirs map[string][]string
	seen map[string]bool
	log  []string
}

func (f *forgetful) List(dir string) ([]string, error) {
	f.log = append(f.log, dir)
	parent, _ := vfs.Split(dir)
	names, there := f.dirs[dir]
	if !there || dir != "." && !f.seen[parent] {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: syscall.ENOENT}
	}
	f.seen[dir] = true
	return names, nil
}

// TestListAfresh: a directory that a cache says isn't there is found, however
// deep, and one that isn't there costs one more listing of its parent.
func TestListAfresh(t *testing.T) {
	f := &forgetful{dirs: map[string][]string{".": {"started"}, "started": {"b"}, "started/b": {"job"}}, seen: map[string]bool{}}
	names, err := vfs.ListAfresh(f, "started/b")
	if err != nil || !slices.Equal(names, []string{"job"}) {
		t.Errorf("got %v, %v after %v", names, err, f.log)
	}
	f.log = nil
	_, err = vfs.ListAfresh(f, "started/c")
	wantENOENT(t, err)
	if got := strings.Join(f.log, " "); got != "started/c started" {
		t.Errorf("listed %s", got)
	}
	_, err = vfs.ListAfresh(f, "none/c")
	wantENOENT(t, err)
}

func wantENOENT(t *testing.T, err error) {
	t.Helper()
	if e, ok := err.(*fs.PathError); !ok || e.Err != syscall.ENOENT {
		t.Errorf("got %v, want ENOENT", err)
	}
}
