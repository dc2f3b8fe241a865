package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// floor makes, for each job, the system calls that the protocol can't do
// without, on directories of the same shape, and nothing else: no names are
// checked, no answers looked at but for errors, all directories are open. The
// lists are those of docs/bench.md#2-the-floor.
type floor struct {
	data  []byte // of the accepted file
	out   []byte // of its translation
	event []byte // what is written to the journal at once
	dir   map[string]int
	log   int
	calls atomic.Int64
	syncs atomic.Int64
}

// floorDirs are the directories that a job passes through.
func floorDirs() []string {
	return []string{"drafts", "gate", "xml", "claims", "sealed", "json", "once", "done"}
}

func newFloor(root string, data, out, event []byte) (*floor, error) {
	f := &floor{data: data, out: out, event: event, dir: map[string]int{}, log: -1}
	if err := unix.Mkdir(root, 0o770); err != nil {
		return nil, fmt.Errorf("mkdir %s: %w", root, err)
	}
	for _, d := range floorDirs() {
		path := filepath.Join(root, d)
		if err := unix.Mkdir(path, 0o770); err != nil {
			return f, fmt.Errorf("mkdir %s: %w", path, err)
		}
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return f, fmt.Errorf("open %s: %w", path, err)
		}
		f.dir[d] = fd
	}
	log := filepath.Join(root, "journal")
	fd, err := unix.Open(log, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_APPEND|unix.O_CLOEXEC, 0o640)
	if err != nil {
		return f, fmt.Errorf("create %s: %w", log, err)
	}
	f.log = fd
	return f, nil
}

func (f *floor) close() {
	for _, d := range floorDirs() {
		if fd, ok := f.dir[d]; ok {
			unix.Close(fd)
		}
	}
	if f.log >= 0 {
		unix.Close(f.log)
	}
}

// seq makes calls one after the other, up to the first that fails.
type seq struct {
	f   *floor
	err error
}

func (s *seq) call(call func() error) {
	if s.err != nil {
		return
	}
	s.f.calls.Add(1)
	for {
		if s.err = call(); s.err != unix.EINTR {
			return
		}
	}
}

func (s *seq) fsync(fd int) {
	s.f.syncs.Add(1)
	s.call(func() error { return unix.Fsync(fd) })
}

func (s *seq) create(dir, name string, data []byte) {
	fd := -1
	s.call(func() (err error) {
		fd, err = unix.Openat(s.f.dir[dir], name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o440)
		return err
	})
	s.call(func() error { _, err := unix.Write(fd, data); return err })
	s.fsync(fd)
	if fd >= 0 {
		s.call(func() error { return unix.Close(fd) })
	}
}

func (s *seq) rename(dir, name, to, as string) {
	s.call(func() error { return unix.Renameat(s.f.dir[dir], name, s.f.dir[to], as) })
}

func (s *seq) link(dir, name, to, as string) {
	s.call(func() error { return unix.Linkat(s.f.dir[dir], name, s.f.dir[to], as, 0) })
}

func (s *seq) remove(dir, name string) {
	s.call(func() error { return unix.Unlinkat(s.f.dir[dir], name, 0) })
}

// note is what is durable in the journal before an answer, or a final record.
func (s *seq) note() {
	s.call(func() error { _, err := unix.Write(s.f.log, s.f.event); return err })
	s.fsync(s.f.log)
}

func (f *floor) accept(id string) error {
	s := &seq{f: f}
	s.create("drafts", "new~"+id, f.data)
	s.rename("drafts", "new~"+id, "drafts", "accept~"+id)
	s.link("drafts", "accept~"+id, "gate", id)
	s.rename("drafts", "accept~"+id, "xml", id)
	s.fsync(f.dir["gate"])
	s.fsync(f.dir["xml"])
	s.note()
	return s.err
}

func (f *floor) translate(id string) error {
	s := &seq{f: f}
	s.rename("xml", id, "claims", "translate~"+id)
	s.create("drafts", "translate~"+id, f.out)
	s.fsync(f.dir["drafts"])
	s.rename("claims", "translate~"+id, "sealed", "translate~"+id)
	s.fsync(f.dir["sealed"])
	s.fsync(f.dir["claims"])
	s.rename("drafts", "translate~"+id, "json", id)
	s.remove("sealed", "translate~"+id)
	return s.err
}

func (f *floor) submit(id string) error {
	s := &seq{f: f}
	s.rename("json", id, "claims", "submit~"+id)
	s.link("claims", "submit~"+id, "once", id)
	s.rename("claims", "submit~"+id, "sealed", "submit~"+id)
	s.fsync(f.dir["sealed"])
	s.fsync(f.dir["claims"])
	s.note()
	s.rename("sealed", "submit~"+id, "done", id)
	return s.err
}

// run passes jobs through the three stages, with so many at work in each.
func (f *floor) run(ctx context.Context, ids []string, clients, workers int, tick func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	todo, xml, json := make(chan string, len(ids)), make(chan string, len(ids)), make(chan string, len(ids))
	for _, id := range ids {
		todo <- id
	}
	close(todo)
	stage := func(wide int, in <-chan string, out chan<- string, work func(id string) error) {
		var wg sync.WaitGroup
		for range wide {
			wg.Go(func() {
				for id := range in {
					if ctx.Err() != nil {
						return
					}
					if err := work(id); err != nil {
						cancel(fmt.Errorf("floor: job %s: %w", id, err))
						return
					}
					tick()
					if out != nil {
						out <- id
					}
				}
			})
		}
		wg.Wait()
		if out != nil {
			close(out)
		}
	}
	var stages sync.WaitGroup
	stages.Go(func() { stage(clients, todo, xml, f.accept) })
	stages.Go(func() { stage(workers, xml, json, f.translate) })
	stages.Go(func() { stage(workers, json, nil, f.submit) })
	stages.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return ctx.Err()
}
