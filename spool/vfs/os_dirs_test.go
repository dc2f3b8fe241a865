package vfs_test

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"fencepost/spool/vfs"
)

// TestDirsKept: what a kept descriptor may be wrong about is forgotten: at once
// after an ENOENT, and in any case after a while.
func TestDirsKept(t *testing.T) {
	root := t.TempDir()
	fs, err := vfs.OpenOS(root)
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(fs.Mkdir("d"))
	_, err = fs.Create("d/a", []byte("a"))
	must(err)
	// Removed, and made again by another process.
	must(fs.Remove("d/a"))
	must(os.Remove(root + "/d"))
	must(os.Mkdir(root+"/d", 0o770))
	must(os.WriteFile(root+"/d/b", []byte("b"), 0o440))
	if data, _, err := fs.Read("d/b", 10); err != nil || string(data) != "b" {
		t.Errorf("read in a directory that was made again: %q, %v", data, err)
	}
	must(os.Remove(root + "/d/b"))
	must(os.Remove(root + "/d"))
	must(os.Mkdir(root+"/d", 0o770))
	if _, err := fs.Create("d/c", nil); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("create in a directory that was removed: %v", err)
	}
	if _, err := fs.Create("d/c", nil); err != nil {
		t.Errorf("create in a directory that was made again, the second time: %v", err)
	}
	// Moved away by a person: it is followed for a while, never for long.
	must(os.Rename(root+"/d", root+"/moved"))
	must(os.Mkdir(root+"/d", 0o770))
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		name := fmt.Sprintf("d/%d", time.Now().UnixNano())
		_, err := fs.Create(name, nil)
		must(err)
		if _, err := os.Stat(root + "/" + name); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("a directory that was moved is followed for ever")
		}
	}
}

// TestDirsBounded: a host that comes by many directories doesn't keep them all,
// and none is closed while it is used.
func TestDirsBounded(t *testing.T) {
	fs, err := vfs.OpenOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const many = 200
	for i := range many {
		if err := fs.Mkdir(fmt.Sprint("d", i)); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range many {
				name := fmt.Sprintf("d%d/%d", (i*(w+1))%many, w)
				if _, err := fs.Create(name, nil); err != nil {
					t.Error(err)
				}
				if err := fs.Rename(name, fmt.Sprintf("d%d/r%d", i, w)); err != nil {
					t.Error(err)
				}
				if err := fs.Sync(fmt.Sprint("d", i)); err != nil {
					t.Error(err)
				}
				if err := fs.Remove(fmt.Sprintf("d%d/r%d", i, w)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if kept := vfs.KeptDirs(fs); kept == 0 || kept > 32 {
		t.Errorf("%d directories are kept", kept)
	}
	if err := fs.Close(); err != nil {
		t.Error(err)
	}
	if kept := vfs.KeptDirs(fs); kept != 0 {
		t.Errorf("%d directories are kept after the end", kept)
	}
}

// TestUnique: a name that is this process's own is made as any other, and never
// written to where it is there all the same.
func TestUnique(t *testing.T) {
	root := t.TempDir()
	fs, err := vfs.OpenOS(root)
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	asked := 0
	fs.Unique = func(name string) bool { asked++; return name == "own" }
	if _, err := fs.Create("own", []byte("x")); err != nil || asked != 0 {
		t.Errorf("%v, asked %d times on a local disk", err, asked)
	}
	vfs.AsNFS(fs)
	for name, want := range map[string]error{"own": syscall.EEXIST, "others": nil} {
		if _, err := fs.Create(name, []byte("y")); !errors.Is(err, want) {
			t.Errorf("create %s: %v, want %v", name, err, want)
		}
	}
	if _, err := fs.Create("others", nil); !errors.Is(err, syscall.EEXIST) || asked != 3 {
		t.Errorf("%v, asked %d times", err, asked)
	}
	// Not by fs: what it takes for NFS it reads in a way that others may not know.
	if data, err := os.ReadFile(root + "/own"); err != nil || string(data) != "x" {
		t.Errorf("read: %q, %v", data, err)
	}
}
