package vfs

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// dirs keeps descriptors of directories, so that a rename needn't walk to both
// of its parents.
//
// Two things can be wrong with one that is kept. Its directory may have been
// moved: what is done goes on in the place where it is now. No protocol directory
// is ever moved, and dirAge bounds it for the person who does. Or it was removed,
// and perhaps made again: then calls say ENOENT or ESTALE, as they might for any
// other reason; callers look, and try again, and by then the descriptor is given
// up. Nothing rests on an ENOENT: see docs/crash-safety.md#three-outcomes.
type dirs struct {
	mu   sync.Mutex
	open map[string]*dirFD
}

const (
	// dirAge is how long a descriptor is used.
	dirAge = time.Second
	// maxDirs bounds how many are kept. A host is busy in about eight.
	maxDirs = 32
)

// dirFD is a directory's descriptor. It is closed when it isn't kept any more and
// nobody uses it.
type dirFD struct {
	fd   int
	name string
	born time.Time

	d    *dirs
	refs int  // guarded by d.mu; being kept is one
	kept bool // the same
}

// get returns the directory of a checked name. The caller calls used or done.
func (d *dirs) get(o *OS, name string) (*dirFD, error) {
	if name == "." {
		return &dirFD{fd: o.root}, nil
	}
	now := time.Now()
	d.mu.Lock()
	if f := d.open[name]; f != nil {
		if now.Sub(f.born) < dirAge {
			f.refs++
			d.mu.Unlock()
			return f, nil
		}
		d.forget(f)
	}
	d.mu.Unlock()
	fd, err := o.openat(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err == unix.EACCES {
		fd, err = o.openat(name, parentFlags, 0)
	}
	if err != nil {
		return nil, err
	}
	f := &dirFD{fd: fd, name: name, born: now, d: d, refs: 1}
	d.keep(f)
	return f, nil
}

// keep keeps f for others, unless another of its name is kept already.
func (d *dirs) keep(f *dirFD) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == nil {
		d.open = map[string]*dirFD{}
	}
	if d.open[f.name] != nil {
		return
	}
	if len(d.open) >= maxDirs {
		oldest := f
		for _, g := range d.open {
			if g.born.Before(oldest.born) {
				oldest = g
			}
		}
		if oldest == f {
			return
		}
		d.forget(oldest)
	}
	f.refs++
	f.kept = true
	d.open[f.name] = f
}

// forget keeps f no longer; called with mu held.
func (d *dirs) forget(f *dirFD) {
	if f.kept {
		f.kept = false
		delete(d.open, f.name)
		d.release(f)
	}
}

// release gives up one use; called with mu held.
func (d *dirs) release(f *dirFD) {
	if f.refs--; f.refs == 0 {
		unix.Close(f.fd)
	}
}

// done ends a use.
func (f *dirFD) done() {
	if f.d == nil {
		return // the root
	}
	f.d.mu.Lock()
	f.d.release(f)
	f.d.mu.Unlock()
}

// used ends a use that ended in err. After an error that the directory may be
// the reason of, it is walked to afresh.
func (d *dirs) used(f *dirFD, err error) {
	if f.d == nil {
		return
	}
	d.mu.Lock()
	if err == unix.ENOENT || err == unix.ESTALE {
		d.forget(f)
	}
	d.release(f)
	d.mu.Unlock()
}

// drop keeps none any longer.
func (d *dirs) drop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.open {
		d.forget(f)
	}
}

// syncs lets calls that want the same directory on the disk share one fsync: one
// that begins after all of them asked.
type syncs struct {
	mu   sync.Mutex
	busy map[string]*syncWave // directories that are being synced, and who waits for the next; nil = nobody
}

// syncWave are calls that share an fsync. The one that came first makes it.
type syncWave struct {
	turn chan struct{} // closed when the first may begin
	over chan struct{} // closed when it is done
	err  error         // of the fsync before, at the first one's turn; of this one, once over
}

// do calls sync, or waits for somebody else's call that does for both. An fsync
// that is under way doesn't: it may have begun before what is to be durable.
//
// If that one fails, so does everybody who asked meanwhile: it may have been their
// change that couldn't be written, and the kernel tells a descriptor, which they
// share, of a failure once.
func (s *syncs) do(dir string, sync func() error) error {
	s.mu.Lock()
	if s.busy == nil {
		s.busy = map[string]*syncWave{}
	}
	w, busy := s.busy[dir]
	switch {
	case !busy:
		s.busy[dir] = nil
		s.mu.Unlock()
		err := sync()
		s.pass(dir, err)
		return err
	case w != nil:
		s.mu.Unlock()
		<-w.over
		return w.err
	}
	w = &syncWave{turn: make(chan struct{}), over: make(chan struct{})}
	s.busy[dir] = w
	s.mu.Unlock()
	<-w.turn
	var failed error
	if w.err == nil {
		failed = sync()
		w.err = failed
	}
	close(w.over)
	s.pass(dir, failed)
	return w.err
}

// pass gives those who came meanwhile their turn, or the error of the fsync that
// they waited for.
func (s *syncs) pass(dir string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.busy[dir]; w != nil {
		s.busy[dir], w.err = nil, err
		close(w.turn)
		return
	}
	delete(s.busy, dir)
}
