package vfs_test

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
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

// TestSyncShared: who asks while an fsync is under way gets one that began after
// it asked, and its error; all who wait share it.
func TestSyncShared(t *testing.T) {
	var s vfs.Syncs
	var began, running atomic.Int32
	hold := make(chan struct{})
	boom := errors.New("boom")
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Do("d", func() error { began.Add(1); <-hold; return nil }); err != nil {
			t.Error(err)
		}
	})
	wait(t, func() bool { return began.Load() == 1 })
	const others = 10
	var failed atomic.Int32
	for range others {
		wg.Go(func() {
			running.Add(1)
			if err := s.Do("d", func() error { began.Add(1); return boom }); errors.Is(err, boom) {
				failed.Add(1)
			}
		})
	}
	wait(t, func() bool { return running.Load() == others })
	time.Sleep(10 * time.Millisecond) // that they are all in is likely, and not needed
	if began.Load() != 1 {
		t.Error("an fsync began while one was under way")
	}
	if err := s.Do("other", func() error { return nil }); err != nil {
		t.Error(err)
	}
	close(hold)
	wg.Wait()
	if n := began.Load(); n < 2 || n >= 1+others || failed.Load() != others {
		t.Errorf("%d fsyncs, %d of %d heard of the error", n, failed.Load(), others)
	}
	if vfs.SyncsBusy(&s) != 0 {
		t.Error("something is left")
	}
}

// TestSyncFailed: an fsync that fails has failed for those, too, who asked while
// it was under way. Who asks later isn't concerned.
func TestSyncFailed(t *testing.T) {
	var s vfs.Syncs
	hold, began := make(chan struct{}), make(chan struct{})
	boom := errors.New("boom")
	var first, second error
	var wg sync.WaitGroup
	wg.Go(func() { first = s.Do("d", func() error { close(began); <-hold; return boom }) })
	<-began
	wg.Go(func() { second = s.Do("d", func() error { return nil }) })
	wait(t, func() bool { return vfs.SyncsWaiting(&s, "d") })
	close(hold)
	wg.Wait()
	if !errors.Is(first, boom) || !errors.Is(second, boom) {
		t.Errorf("got %v, %v", first, second)
	}
	if err := s.Do("d", func() error { return nil }); err != nil || vfs.SyncsBusy(&s) != 0 {
		t.Errorf("later: %v, %d are left", err, vfs.SyncsBusy(&s))
	}
}

func wait(t *testing.T, until func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !until(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it doesn't come about")
		}
	}
}
