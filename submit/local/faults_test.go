package local_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"

	"fencepost/spool/vfs"
	"fencepost/submit/clustertest"
	"fencepost/submit/local"
)

func testContext() context.Context { return context.Background() }

// faulty fails the nth mutating call, before or after it took effect.
type faulty struct {
	vfs.FS
	at    int
	after bool
	errno syscall.Errno

	mu    sync.Mutex
	calls int
	hit   string
}

func (f *faulty) do(op string, call func() error) error {
	f.mu.Lock()
	f.calls++
	hit := f.calls == f.at
	if hit {
		f.hit = op
	}
	f.mu.Unlock()
	if hit && !f.after {
		return f.errno
	}
	err := call()
	if hit && err == nil {
		return f.errno
	}
	return err
}

func (f *faulty) Create(name string, data []byte) (id vfs.ID, err error) {
	err = f.do("create "+name, func() error { id, err = f.FS.Create(name, data); return err })
	return id, err
}
func (f *faulty) Rename(a, b string) error {
	return f.do("rename "+b, func() error { return f.FS.Rename(a, b) })
}
func (f *faulty) Link(a, b string) error {
	return f.do("link "+b, func() error { return f.FS.Link(a, b) })
}
func (f *faulty) Mkdir(d string) error {
	return f.do("mkdir "+d, func() error { return f.FS.Mkdir(d) })
}
func (f *faulty) Remove(n string) error {
	return f.do("remove "+n, func() error { return f.FS.Remove(n) })
}
func (f *faulty) Sync(d ...string) error {
	return f.do(fmt.Sprint("sync ", d), func() error { return f.FS.Sync(d...) })
}

// TestEverySingleFault fails each mutating call of a wrapper in turn, before
// and after it took effect, then submits the job again, twice. It must have
// started once, unless the wrapper decided not to run what it had taken.
func TestEverySingleFault(t *testing.T) {
	root := newSpool(t)
	runs := 0
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOENT, syscall.EEXIST, syscall.ESTALE} {
		for _, after := range []bool{false, true} {
			for at := 1; ; at++ {
				cfg := config(t, root)
				cfg.Slots = 64 // a wrapper ends some time after its status
				f := &faulty{FS: cfg.FS, at: at, after: after, errno: errno}
				c := open(t, cfg)
				m := clustertest.NewMarks(t)
				r := clustertest.Request(t, m.Job("fault", ""))
				var answer bytes.Buffer
				c.Wrap(f, r, nopCloser{&answer})
				first := reply(&answer)
				id := start(t, c, r)
				again := start(t, c, r)
				s := ended(t, cfg, r.Key)
				starts := m.Starts("fault")
				what := fmt.Sprintf("%v at %d (%s), after %v: answers %q %q %q, %d starts, %+v", errno, at, f.hit, after, first, id, again, starts, s)
				if id != again || first != "" && first != id || starts > 1 || starts == 0 && s.State != local.Interrupted {
					t.Error(what)
				}
				if starts == 0 {
					t.Log("not run: " + what)
				}
				runs++
				if f.hit == "" {
					break
				}
			}
		}
	}
	t.Logf("%d runs", runs)
}
