package vfs_test

import (
	"os"
	"testing"

	"fencepost/spool/vfs"
	vfstest "fencepost/spool/vfs/conformance"
)

// mountVar names a directory on the mount that is to be tested, too: an NFS
// one, say.
const mountVar = "FENCEPOST_TEST_MOUNT"

func openIn(dir string, prepare func(*vfs.OS)) func(t *testing.T) vfs.FS {
	return func(t *testing.T) vfs.FS {
		root, err := os.MkdirTemp(dir, "vfs-test-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(root) })
		fs, err := vfs.OpenOS(root)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { fs.Close() })
		prepare(fs)
		return fs
	}
}

func asIs(*vfs.OS) {}

// TestOS runs on memory, where everything is quick.
func TestOS(t *testing.T) {
	dir := "/dev/shm"
	if _, err := os.Stat(dir); err != nil {
		dir = ""
	}
	vfstest.Run(t, openIn(dir, asIs))
}

// TestOSDisk runs on the file system of the source code.
func TestOSDisk(t *testing.T) {
	vfstest.Run(t, openIn(".", asIs))
}

// TestOSWalk does without openat2.
func TestOSWalk(t *testing.T) {
	vfstest.Run(t, openIn("", vfs.ForceWalk))
}

// TestOSMount runs on the mount that it is told.
func TestOSMount(t *testing.T) {
	dir := os.Getenv(mountVar)
	if dir == "" {
		t.Skip(mountVar + " isn't set")
	}
	vfstest.Run(t, openIn(dir, asIs))
}

func TestOpenOSRefuses(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{file, t.TempDir() + "/none"} {
		if fs, err := vfs.OpenOS(root); err == nil {
			fs.Close()
			t.Errorf("%q was opened", root)
		}
	}
}

// TestOpenOSSymlink: the way to the root is the administrator's business.
func TestOpenOSSymlink(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/root", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("root", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	fs, err := vfs.OpenOS(dir + "/link")
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	if _, err := fs.Create("a", nil); err != nil {
		t.Error(err)
	}
	// A root that is swapped under a running process: the names stay those of
	// the one that it opened, and the lock notices.
	lock, err := fs.TryLock("lock")
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.Unlock(); err != nil {
		t.Error(err)
	}
	if err := os.Remove(dir + "/link"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(".", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	if _, err := fs.Identify("a"); err != nil {
		t.Error(err)
	}
	if _, err := fs.TryLock("lock"); err == nil {
		t.Error("a lock in another root was taken for this one's")
	}
}
