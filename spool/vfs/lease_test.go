package vfs_test

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fencepost/spool/vfs"
)

// TestDelegation: an NFS server on the same machine lends files to its clients
// by leases. Whoever opens such a file waits until it is taken back; it is not
// "locked by another process", nor an error.
func TestDelegation(t *testing.T) {
	fs := openIn(t.TempDir(), asIs)(t).(*vfs.OS)
	open := map[string]func() error{
		"record": func() error {
			rec, err := fs.OpenRecord("file")
			if err == nil {
				err = rec.Close()
			}
			return err
		},
		"lock": func() error {
			lock, err := fs.TryLock("file")
			if err == nil {
				err = lock.Unlock()
			}
			return err
		},
	}
	for name, op := range open {
		t.Run(name, func(t *testing.T) {
			if err := op(); err != nil { // makes it
				t.Fatal(err)
			}
			f, err := os.Open(fs.Root() + "/file")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK); err != nil {
				t.Skip("no leases here:", err)
			}
			given := make(chan struct{})
			time.AfterFunc(50*time.Millisecond, func() {
				defer close(given)
				_, _ = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
			})
			start := time.Now()
			if err := op(); err != nil {
				t.Errorf("got %v", err)
			}
			took := time.Since(start)
			<-given
			if took < 40*time.Millisecond {
				t.Error("it didn't wait: no lease was in the way")
			}
		})
	}
}
