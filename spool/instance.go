package spool

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"fencepost/spool/env/drill"
)

// noContext is for waits that nothing cancels.
var noContext = context.Background()

// Instance is one run of the daemon, working on a spool under its epoch. Its
// directories were made by package lease.
//
// All methods may be called by several tasks at once.
type Instance struct {
	*Spool
	Host    string
	Epoch   uint64
	Journal *Journal

	// Parse makes a job of a foreign file; nil = this instance adopts nothing.
	Parse Parse

	// Offered is told of each entry that this instance put into a stage's directory,
	// and that may be taken at once; may be nil. It is a hint: somebody else may have
	// taken the entry by then.
	Offered func(Stage, Offer)
	// Births may take an entry that this instance is about to put into a stage's
	// directory; nil = none is taken.
	Births Births
	// Alive is told of each file that a reclaim has moved on: one of a host with
	// very many may take minutes. May be nil.
	Alive func()

	// OnFenced is told, once, that the instance found its directories gone.
	OnFenced func(error)

	mu     sync.Mutex // never held across a call to Env
	seq    uint64
	closed string                   // ids of this bucket and of those before are let in no more; "" = all are
	accept map[string]int           // accepts under way, by bucket
	flight map[string]time.Duration // names that a task of ours owns, or is about to make, and since when
	fenced error
}

// Births are the takers of an instance, as far as they take entries at their birth.
type Births interface {
	// Reserve says whether one more claim of a stage may be worked on now, and
	// keeps the room for it until Begin.
	Reserve(Stage) bool
	// Begin has a claim worked on for which room was kept; nil = it won't come.
	Begin(Stage, *Claim)
}

// NewInstance is the instance of host and epoch. tee, which may be nil, sees
// each event of its journal.
func NewInstance(s *Spool, stamp Stamp, tee func(Event)) (*Instance, error) {
	j, err := OpenJournal(s.Env, stamp, tee)
	if err != nil {
		return nil, err
	}
	in := &Instance{Spool: s, Host: stamp.Host, Epoch: stamp.Epoch, Journal: j, accept: map[string]int{}, flight: map[string]time.Duration{}}
	return in, in.lookClosed()
}

// claims, sealed and drafts are the instance's own directories.
func (in *Instance) claims() string { return EpochDir(DirClaims, in.Host, in.Epoch) }
func (in *Instance) sealed() string { return EpochDir(DirSealed, in.Host, in.Epoch) }
func (in *Instance) drafts() string { return EpochDir(DirDrafts, in.Host, in.Epoch) }

// nextSeq gives out a number that this instance never gave before.
func (in *Instance) nextSeq() uint64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.seq == 0 || !drill.Broken(in.Env, drill.SameToken) {
		in.seq++
	}
	return in.seq
}

// own registers names before the call that makes them, so that the own sweep
// doesn't take an operation in flight for a stray.
func (in *Instance) own(names ...string) (since time.Duration) {
	since = in.Env.Now()
	in.ownSince(since, names...)
	return since
}

// ownSince is own for a task that began earlier: to ask for the time is a system
// call.
func (in *Instance) ownSince(since time.Duration, names ...string) {
	in.mu.Lock()
	for _, n := range names {
		in.flight[n] = since
	}
	in.mu.Unlock()
}

func (in *Instance) disown(names ...string) {
	in.mu.Lock()
	for _, n := range names {
		delete(in.flight, n)
	}
	in.mu.Unlock()
}

func (in *Instance) owns(name string) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	_, owned := in.flight[name]
	return owned
}

// InFlight is the number of names that tasks of this instance own.
func (in *Instance) InFlight() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.flight)
}

// Held is a file that a task of an instance looks after.
type Held struct {
	Path string
	For  time.Duration
}

// Held lists what tasks of this instance look after, from memory: no look at the
// share, which may not answer.
func (in *Instance) Held() (out []Held) {
	now := in.Env.Now()
	in.mu.Lock()
	for name, since := range in.flight {
		if name != "" {
			out = append(out, Held{name, now - since})
		}
	}
	in.mu.Unlock()
	slices.SortFunc(out, func(a, b Held) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// Fenced returns why this instance's epoch is over, or nil.
func (in *Instance) Fenced() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.fenced
}

// checkFenced is called after an ENOENT or ESTALE on the way to a directory of
// ours: gone from a fresh listing of its parent = fenced, and the instance
// stops, whatever it was doing; there = ridden out.
func (in *Instance) checkFenced(dir string) error {
	names, err := in.FS.List(path.Dir(dir))
	if err != nil && !isErr(err, syscall.ENOENT, syscall.ESTALE) {
		return fmt.Errorf("look for own directory: %w", err)
	}
	if slices.Contains(names, path.Base(dir)) {
		return nil
	}
	why := fmt.Errorf("%w: %s was removed", ErrFenced, dir)
	in.mu.Lock()
	first := in.fenced == nil
	if first {
		in.fenced = why
	}
	tell := in.OnFenced
	in.mu.Unlock()
	if first && tell != nil {
		tell(why)
	}
	return why
}

// offer tells of an entry that is in its place.
func (in *Instance) offer(stage Stage, o Offer) {
	if in.Offered != nil {
		o.Name.Stage, o.Name.Ext = stage, in.Layout.Input(stage).Ext
		in.Offered(stage, o)
	}
}

// note adds an event about a job.
func (in *Instance) note(event string, n Name, detail string) {
	in.Journal.Add(Event{Event: event, Job: n.ID, Stage: n.Stage, Token: in.shortToken(n),
		Gen: n.Gen, Faults: n.Faults, Cluster: n.Cluster, Detail: detail})
}

// shortToken is HOST/EPOCH/SEQ. A name in another's directory says whose in
// Host and Epoch; those of our own claims leave them empty.
func (in *Instance) shortToken(n Name) string {
	if n.Seq == 0 {
		return ""
	}
	if n.Host == "" {
		n.Host, n.Epoch = in.Host, in.Epoch
	}
	return n.Host + "/" + strconv.FormatUint(n.Epoch, 10) + "/" + strconv.FormatUint(n.Seq, 10)
}

// Warn reports what went wrong without being a job's event: to the log only.
func (in *Instance) Warn(what string, err error) {
	in.Journal.say(Event{Event: EvTrouble, Stage: "", Result: what, Detail: err.Error()})
}

// Exists looks for a name by a fresh listing of its directory.
func (s *Spool) Exists(name string) (bool, error) {
	there, _, err := s.has(name)
	return there, err
}

// Honoured removes what a person asked for a job, after it was done.
func (in *Instance) Honoured(id string) {
	for _, kind := range []string{"hold", "cancel"} {
		if err := in.removeName(RequestPath(kind, id)); err != nil {
			in.Warn("remove request", err)
		}
	}
}
