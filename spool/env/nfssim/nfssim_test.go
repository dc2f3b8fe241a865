package nfssim_test

import (
	"sync"
	"testing"
	"time"

	"fencepost/spool/env/nfssim"
	"fencepost/spool/env/simenv"
	"fencepost/spool/vfs"
	vfstest "fencepost/spool/vfs/conformance"
)

// synchronous lets plain goroutines use a process's file system: each call is a
// task, and the world runs until it has ended.
type synchronous struct {
	mu *sync.Mutex
	w  *simenv.World
	p  *simenv.Proc
	fs vfs.FS
	t  *testing.T
}

func newSynchronous(t *testing.T, opt nfssim.Options, mount nfssim.MountOptions) *synchronous {
	w := simenv.New(simenv.Draw(1))
	t.Cleanup(w.Close)
	s := nfssim.New(w, opt)
	m := w.Machine("host")
	p := m.Start("process")
	return &synchronous{mu: new(sync.Mutex), w: w, p: p, fs: s.Mount(m, mount).FS(p), t: t}
}

// call runs f as a task of the process.
func (y *synchronous) call(f func()) {
	y.mu.Lock()
	defer y.mu.Unlock()
	ended := false
	y.p.Go("call", func() { f(); ended = true })
	if !y.w.RunUntil(y.w.Now()+time.Hour, func() bool { return ended }) {
		y.t.Errorf("a call didn't end: %s", y.w.Failure())
	}
}

func (y *synchronous) Create(name string, data []byte) (id vfs.ID, err error) {
	y.call(func() { id, err = y.fs.Create(name, data) })
	return id, err
}

func (y *synchronous) Read(name string, limit int64) (data []byte, id vfs.ID, err error) {
	y.call(func() { data, id, err = y.fs.Read(name, limit) })
	return data, id, err
}

func (y *synchronous) Identify(name string) (id vfs.ID, err error) {
	y.call(func() { id, err = y.fs.Identify(name) })
	return id, err
}

func (y *synchronous) List(dir string) (names []string, err error) {
	y.call(func() { names, err = y.fs.List(dir) })
	return names, err
}

func (y *synchronous) do(f func() error) (err error) {
	y.call(func() { err = f() })
	return err
}

func (y *synchronous) Rename(from, to string) error {
	return y.do(func() error { return y.fs.Rename(from, to) })
}
func (y *synchronous) Link(from, to string) error {
	return y.do(func() error { return y.fs.Link(from, to) })
}
func (y *synchronous) Mkdir(dir string) error  { return y.do(func() error { return y.fs.Mkdir(dir) }) }
func (y *synchronous) Rmdir(dir string) error  { return y.do(func() error { return y.fs.Rmdir(dir) }) }
func (y *synchronous) Remove(dir string) error { return y.do(func() error { return y.fs.Remove(dir) }) }
func (y *synchronous) Sync(dirs ...string) error {
	return y.do(func() error { return y.fs.Sync(dirs...) })
}

func (y *synchronous) OpenRecord(name string) (r vfs.Record, err error) {
	y.call(func() { r, err = y.fs.OpenRecord(name) })
	if err != nil {
		return nil, err
	}
	return syncRecord{y, r}, nil
}

func (y *synchronous) OpenLog(name string) (l vfs.Log, err error) {
	y.call(func() { l, err = y.fs.OpenLog(name) })
	if err != nil {
		return nil, err
	}
	return syncLog{y, l}, nil
}

func (y *synchronous) TryLock(name string) (l vfs.Lock, err error) {
	y.call(func() { l, err = y.fs.TryLock(name) })
	if err != nil {
		return nil, err
	}
	return syncLock{y, l}, nil
}

type syncRecord struct {
	y *synchronous
	r vfs.Record
}

func (r syncRecord) Write(data []byte) error {
	return r.y.do(func() error { return r.r.Write(data) })
}
func (r syncRecord) Lock() error  { return r.y.do(r.r.Lock) }
func (r syncRecord) Close() error { return r.y.do(r.r.Close) }

type syncLog struct {
	y *synchronous
	l vfs.Log
}

func (l syncLog) Append(data []byte) error {
	return l.y.do(func() error { return l.l.Append(data) })
}
func (l syncLog) Sync() error  { return l.y.do(l.l.Sync) }
func (l syncLog) Close() error { return l.y.do(l.l.Close) }

type syncLock struct {
	y *synchronous
	l vfs.Lock
}

func (l syncLock) Unlock() error { return l.y.do(l.l.Unlock) }

func TestConformance(t *testing.T) {
	for name, opt := range map[string]nfssim.Options{
		"4.2": {}, "4.0": {Version: "4.0"}, "3": {Version: "3", ReuseInodes: true}, "pages": {PageSize: 1, ReuseInodes: true, Async: true},
	} {
		for cache, mount := range map[string]nfssim.MountOptions{
			"all": {}, "none": {LookupCache: nfssim.LookupNone}, "pos": {LookupCache: nfssim.LookupPos, NoReaddirPlus: true},
			"noac": {ACRegMin: -1, ACRegMax: -1, ACDirMin: -1, ACDirMax: -1, WriteSize: 1000},
		} {
			t.Run(name+"/"+cache, func(t *testing.T) {
				vfstest.Run(t, func(t *testing.T) vfs.FS { return newSynchronous(t, opt, mount) })
			})
		}
	}
}

func TestDirectConformance(t *testing.T) {
	vfstest.Run(t, func(t *testing.T) vfs.FS {
		y := newSynchronous(t, nfssim.Options{}, nfssim.MountOptions{})
		y.fs = nfssim.New(y.w, nfssim.Options{}).Direct()
		return y
	})
}
