package nfssim_test

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"testing"
	"time"

	"fencepost/spool/env/nfssim"
	"fencepost/spool/env/simenv"
	"fencepost/spool/vfs"
)

// TestDirectoryMadeByAnother: a host looks for a directory that isn't there;
// another one makes it, with a file in it. For as long as the first one's client
// believes its cache, a plain listing says ENOENT; vfs.ListAfresh doesn't.
func TestDirectoryMadeByAnother(t *testing.T) {
	w := simenv.New(simenv.Draw(1))
	defer w.Close()
	s := nfssim.New(w, nfssim.Options{})
	if err := s.Direct().Mkdir("hosts"); err != nil {
		t.Fatal(err)
	}
	process := func(name string) *simenv.Proc {
		m := w.Machine(name)
		p := m.Start(name)
		p.SetFS(s.Mount(m, nfssim.MountOptions{}).FS(p))
		return p
	}
	a, b := process("a"), process("b")
	a.Go("look", func() {
		if _, err := a.FS().List("hosts/b"); !errors.Is(err, syscall.ENOENT) {
			t.Errorf("before: %v", err)
		}
		_ = a.Sleep(context.Background(), 2*time.Second)
		if _, err := a.FS().List("hosts/b"); !errors.Is(err, syscall.ENOENT) {
			t.Errorf("the cache has forgotten: %v", err)
		}
		names, err := vfs.ListAfresh(a.FS(), "hosts/b")
		if err != nil || !slices.Equal(names, []string{"heartbeat"}) {
			t.Errorf("afresh: %v, %v", names, err)
		}
	})
	b.Go("make", func() {
		_ = b.Sleep(context.Background(), time.Second)
		if err := b.FS().Mkdir("hosts/b"); err != nil {
			t.Error(err)
		}
		if _, err := b.FS().Create("hosts/b/heartbeat", []byte("1")); err != nil {
			t.Error(err)
		}
	})
	if !w.Run(time.Minute) {
		t.Error(w.Failure())
	}
}
