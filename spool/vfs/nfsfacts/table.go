package nfsfacts

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Experiment is one line of the table.
type Experiment struct {
	Name string
	Did  string   // what is done
	So   string   // what follows for whoever uses NFS
	Only []string // the versions where it can be done; nil = all

	// Restarts says that the server is restarted: nothing else can run
	// meanwhile.
	Restarts bool

	Want []Answer
	run  func(*trial)
}

// Table is all experiments.
func Table() []Experiment { return slices.Concat(names(), locks(), lost()) }

// Answer is what is observed at one point of an experiment.
type Answer struct {
	What string
	Is   string // "ok", the name of an errno, or words; "A|B" = either
	// On are versions that answer differently.
	On map[string]string
}

// on is the answer that a version is expected to give.
func (a Answer) on(version string) string {
	if is, ok := a.On[version]; ok {
		return is
	}
	return a.Is
}

// Observation is what was observed.
type Observation struct{ What, Is string }

// Result is one run of an experiment.
type Result struct {
	Experiment *Experiment
	Version    string
	Seen       []Observation
	Err        error // it couldn't be done; errors.ErrUnsupported: not by this lab
}

// Skipped says whether it was left out, and why.
func (r Result) Skipped() (why string, ok bool) {
	switch {
	case r.Experiment.Only != nil && !slices.Contains(r.Experiment.Only, r.Version):
		return "not with version " + r.Version, true
	case errors.Is(r.Err, errors.ErrUnsupported):
		return "not with this laboratory", true
	}
	return "", false
}

// Differs lists where the observations aren't those of the table.
func (r Result) Differs() (lines []string) {
	if _, skipped := r.Skipped(); skipped {
		return nil
	}
	want := r.Experiment.Want
	for i, o := range r.Seen {
		switch {
		case i >= len(want) || want[i].What != o.What:
			lines = append(lines, fmt.Sprintf("%s: %s: not in the table", o.What, o.Is))
		case !slices.Contains(strings.Split(want[i].on(r.Version), "|"), o.Is):
			lines = append(lines, fmt.Sprintf("%s: got %s, want %s", o.What, o.Is, want[i].on(r.Version)))
		}
	}
	if r.Err != nil {
		lines = append(lines, "broken off: "+r.Err.Error())
	} else if len(r.Seen) < len(want) {
		lines = append(lines, want[len(r.Seen)].What+": not observed")
	}
	return lines
}

// Do runs the experiment in a directory of its own. All processes that it
// started are killed at its end, and its hosts joined.
func (e *Experiment) Do(l Lab) (r Result) {
	r = Result{Experiment: e, Version: l.Version()}
	if _, skipped := r.Skipped(); skipped {
		return r
	}
	t := &trial{Lab: l, dir: e.Name}
	defer func() {
		r.Seen = t.seen
		if p := recover(); p != nil {
			stop, ok := p.(stopped)
			if !ok {
				panic(p)
			}
			r.Err = stop.err
		}
		t.cleanUp()
	}()
	t.must(t.start(t.host(0)).Mkdir(e.Name))
	e.run(t)
	return r
}

// trial is an experiment under way. Its methods stop the experiment at the
// first thing that isn't an observation and fails.
type trial struct {
	Lab
	dir   string
	seen  []Observation
	procs []*process
	hosts []Host // that took part
	added []Host
}

type stopped struct{ err error }

func (t *trial) must(err error) {
	if err != nil {
		panic(stopped{err})
	}
}

// see records an observation.
func (t *trial) see(what, is string) { t.seen = append(t.seen, Observation{what, is}) }

// saw records what a call answered.
func (t *trial) saw(what string, err error) { t.see(what, answer(err)) }

// answer names an error: by its errno if it has one.
func answer(err error) string {
	var errno syscall.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

func (t *trial) host(i int) Host {
	h := t.Host(i)
	if !slices.Contains(t.hosts, h) {
		t.hosts = append(t.hosts, h)
	}
	return h
}

func (t *trial) addHost(o HostOptions) Host {
	h, err := t.AddHost(o)
	t.must(err)
	t.added = append(t.added, h)
	return h
}

func (t *trial) start(h Host) *process {
	p, err := h.Start()
	t.must(err)
	t.procs = append(t.procs, &process{p, t})
	return t.procs[len(t.procs)-1]
}

func (t *trial) cleanUp() {
	for _, p := range t.procs {
		_ = p.Kill()
	}
	for _, h := range t.hosts {
		_ = h.Join()
	}
	for _, h := range t.added {
		_ = h.Close()
	}
}

// eventually tries f again and again, for at most d, until it is so.
func (t *trial) eventually(d time.Duration, f func() bool) bool {
	const step = 500 * time.Millisecond
	for waited := time.Duration(0); ; waited += step {
		if f() {
			return true
		}
		if waited >= d {
			return false
		}
		t.Sleep(step)
	}
}

// process is a Process in the experiment's directory.
type process struct {
	Process
	t *trial
}

// in is a name in the experiment's directory.
func (t *trial) in(name string) string { return path.Join(t.dir, name) }

// mkdirs and create prepare.
func (p *process) mkdirs(names ...string) {
	for _, n := range names {
		p.t.must(p.Mkdir(p.t.in(n)))
	}
}

func (p *process) create(names ...string) {
	for _, n := range names {
		fd := p.open(n, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
		p.t.must(p.writes(fd, n))
		p.t.must(p.Close(fd))
	}
}

// writes writes and syncs. Which of the two reports that a lock was lost is the
// client's affair.
func (p *process) writes(fd int, text string) error {
	if err := p.Write(fd, []byte(text)); err != nil {
		return err
	}
	return p.Fsync(fd)
}

func (p *process) open(name string, flags int) int {
	fd, err := p.Open(p.t.in(name), flags)
	p.t.must(err)
	return fd
}

// opens is an open that only its answer matters of.
func (p *process) opens(name string, flags int) error {
	fd, err := p.Open(p.t.in(name), flags)
	if err != nil {
		return err
	}
	return p.Close(fd)
}

func (p *process) stats(name string) error {
	_, err := p.Stat(p.t.in(name))
	return err
}

func (p *process) rename(from, to string) error { return p.Rename(p.t.in(from), p.t.in(to)) }

// has says, by a fresh listing, whether a name is there.
func (p *process) has(name string) bool {
	return slices.Contains(p.list(path.Dir(name)), path.Base(name))
}

// list is a fresh listing, sorted, without the names of removed open files.
func (p *process) list(dir string) []string {
	names, err := p.List(p.t.in(dir))
	p.t.must(err)
	names = slices.DeleteFunc(names, func(n string) bool { return n == "." || n == ".." })
	slices.Sort(names)
	return names
}

// where says in which of two directories a name is.
func (p *process) where(name, a, b string) string {
	inA, inB := p.has(path.Join(a, name)), p.has(path.Join(b, name))
	switch {
	case inA && inB:
		return "in both"
	case inA:
		return "in " + a
	case inB:
		return "in " + b
	}
	return "in neither"
}

// read opens, reads and closes.
func (p *process) read(name string) string {
	fd := p.open(name, unix.O_RDONLY)
	data, err := p.Read(fd, 100)
	p.t.must(err)
	p.t.must(p.Close(fd))
	return string(data)
}

// blocked says whether a call hasn't come back after d.
func blocked(c Pending, d time.Duration) string {
	if err, done := c.Wait(d); done {
		return answer(err)
	}
	return "blocks"
}
