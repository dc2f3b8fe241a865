package doctor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"

	"fencepost/lease"
	"fencepost/spool/vfs"
)

// probePrefix begins the names of probe files and of the directory that they are
// in: no part of fencepost takes such a name for anything, and tools that look
// at a pattern leave out what begins with a dot.
const probePrefix = ".fencepost-doctor~"

// probe is a directory of probe files at the spool's root.
type probe struct {
	fs    vfs.FS
	dir   string
	nonce string
	mu    sync.Mutex
	made  []string // names that may be there
}

// note remembers names to be removed, before they are made.
func (p *probe) note(names ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made = append(p.made, names...)
}

// name is a name in the probe directory.
func (p *probe) name(base string) string {
	name := path.Join(p.dir, base)
	p.note(name)
	return name
}

// file makes a probe file.
func (p *probe) file(base string) (string, vfs.ID, error) {
	name := p.name(base)
	id, err := p.fs.Create(name, []byte("probe\n"))
	return name, id, err
}

// tidy removes everything, whatever happened: an error may have meant "done".
func (p *probe) tidy() {
	if p == nil {
		return
	}
	for _, name := range slices.Backward(p.made) {
		if err := p.fs.Remove(name); err != nil && errors.Is(err, syscall.EISDIR) {
			_ = p.fs.Rmdir(name)
		}
	}
	_ = p.fs.Rmdir(p.dir)
}

// leftoverAge: older probes are of a doctor that was killed.
const leftoverAge = time.Hour

// look prepares what several checks need.
func (p *patient) look(ctx context.Context) {
	p.probe, p.probeErr = p.newProbe()
	if p.probeErr == nil {
		p.probeErr = p.clock()
	}
	p.members, p.hostsErr = lease.Roster(p.Spool.FS)
	if p.hostsErr == nil {
		p.hosts, p.hostsErr = lease.Look(ctx, p.Spool.Env, 0)
	}
}

func (p *patient) newProbe() (*probe, error) {
	nonce := probePrefix + p.Host + "~" + uuid.NewString()
	pr := &probe{fs: p.Spool.FS, dir: nonce, nonce: nonce}
	if err := pr.fs.Mkdir(pr.dir); err != nil {
		return nil, err
	}
	p.removeLeftovers()
	return pr, nil
}

// removeLeftovers takes away what an earlier doctor of this host left behind.
func (p *patient) removeLeftovers() {
	names, _ := p.Spool.FS.List(".")
	for _, name := range names {
		if !strings.HasPrefix(name, probePrefix+p.Host+"~") {
			continue
		}
		st, err := p.stat(name)
		if err != nil || time.Since(st.ModTime()) < leftoverAge {
			continue
		}
		old := &probe{fs: p.Spool.FS, dir: name}
		flat, _ := stageDirs(p.Spool)
		for _, dir := range flat {
			old.note(path.Join(dir, name))
		}
		inside, _ := p.Spool.FS.List(name)
		for _, base := range inside {
			old.name(base)
		}
		old.tidy()
	}
}

// stat looks at a name, without following a symbolic link.
func (p *patient) stat(name string) (os.FileInfo, error) {
	defer p.Begin("stat", name)()
	return os.Lstat(filepath.Join(p.Dir, filepath.FromSlash(name)))
}

// clock compares the server's clock with this machine's: a file that was just
// made bears the server's time.
func (p *patient) clock() error {
	before := time.Now()
	name, _, err := p.probe.file("clock")
	if err != nil {
		return err
	}
	after := time.Now()
	st, err := p.stat(name)
	if err != nil {
		return err
	}
	p.slack = after.Sub(before)/2 + clockGrain
	p.offset = st.ModTime().Sub(before.Add(after.Sub(before) / 2))
	return nil
}

// clockGrain is how coarse a file's time is: a kernel's tick.
const clockGrain = 10 * time.Millisecond

// racers try one thing at the same time.
const racers = 8

// race runs try that many times at once and counts who won; the errors of the
// others must all be want.
func race(want syscall.Errno, try func(i int) error) (winners int, others []error) {
	errs := make([]error, racers)
	var all sync.WaitGroup
	for i := range racers {
		all.Go(func() { errs[i] = try(i) })
	}
	all.Wait()
	for _, err := range errs {
		switch {
		case err == nil:
			winners++
		case !errors.Is(err, want):
			others = append(others, err)
		}
	}
	return winners, others
}

// RunLocker is the other side of the lock check, in a process of its own: it
// tries the lock on name in the spool dir, prints what came of it in one word,
// and keeps it until in ends.
func RunLocker(dir, name string, in io.Reader, out io.Writer) error {
	fsys, err := vfs.OpenOS(dir)
	if err != nil {
		return err
	}
	lock, err := fsys.TryLock(name)
	switch {
	case errors.Is(err, vfs.ErrLocked):
		fmt.Fprintln(out, wordHeld)
		return nil
	case err != nil:
		return err
	}
	fmt.Fprintln(out, wordGot)
	_, _ = io.Copy(io.Discard, in)
	return lock.Unlock()
}

const (
	wordHeld = "held"
	wordGot  = "got"
)

// locker is a running RunLocker.
type locker struct {
	word string // what it said
	kill func() // with SIGKILL, and waits
}

// otherProcess lets another process try the lock.
func (p *patient) otherProcess(ctx context.Context, name string) (locker, error) {
	cmd := p.Locker(ctx, name)
	in, err := cmd.StdinPipe()
	if err != nil {
		return locker{}, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return locker{}, err
	}
	var talk strings.Builder
	cmd.Stderr = &talk
	if err := cmd.Start(); err != nil {
		return locker{}, fmt.Errorf("start a second process: %w", err)
	}
	defer p.Begin("lock (in a second process)", name)()
	line, err := bufio.NewReader(out).ReadString('\n')
	l := locker{word: strings.TrimSpace(line), kill: sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = in.Close()
		_ = cmd.Wait()
	})}
	if err != nil {
		l.kill()
		return l, fmt.Errorf("the second process said nothing: %w: %s", err, strings.TrimSpace(talk.String()))
	}
	return l, nil
}
