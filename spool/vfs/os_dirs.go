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
	mu    sync.Mutex
	open  map[string]*dirFD
	doubt map[string]bool // the last call there failed as if it were gone
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
	doubt := d.doubt[name]
	delete(d.doubt, name)
	d.mu.Unlock()
	fd, err := o.openat(name, o.dirFlags(doubt), 0)
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

// dirFlags open a directory that is kept. To read it only Sync needs, which has nothing
// to do on NFS; there to open it so is a call each time, by which the client finds out
// whether the directory that it knows by that name is still there.
func (o *OS) dirFlags(doubt bool) int {
	if o.nfs && !doubt {
		return parentFlags
	}
	return unix.O_RDONLY | unix.O_DIRECTORY
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
		if d.doubt == nil || len(d.doubt) >= maxDirs {
			d.doubt = map[string]bool{}
		}
		d.doubt[f.name] = true
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
