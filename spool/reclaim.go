package spool

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fencepost/spool/env/drill"
)

// Over is an epoch that is over, as package lease judged it.
type Over struct {
	Host  string
	Epoch uint64
	Why   string
	// Death: it ended without goodbye; what it was working on counts a fault.
	Death bool
}

// Reclaimed counts what a reclaim did.
type Reclaimed struct {
	Returned  int  // claims put back into their stages
	Published int  // sealed translations redone
	Rolled    int  // accept drafts rolled forward
	Adopted   int  // files out of an inbox carried on
	Foreign   int  // files that are none of ours, moved to intruders/foreign
	Left      int  // sealed submissions and handovers that are not finished yet
	Fenced    bool // the claim directory is proven gone: nothing can be claimed or sealed under this epoch any more
	Gone      bool // all of it is gone
}

// Finish looks after a sealed submission of an epoch that is over; done = it is
// not in the sealed directory any more. Nil: left for somebody who can.
type Finish func(*Sealed) (done bool, err error)

// Reclaim moves on what an epoch that is over left behind: claims back into
// their stages, sealed files redone, accept drafts rolled forward. The rmdir of
// the claim directory is the fence: from then on no operation in flight can
// claim or seal under it. Any number of instances may reclaim one epoch at
// once, and its owner may be alive: each step happens once.
//
// Not Gone and no error: call again. docs/crash-safety.md#reclaim has the
// schedules for which the order of the steps is as it is.
func (in *Instance) Reclaim(o Over, finish Finish) (Reclaimed, error) {
	r := &reclaim{in: in, over: o, finish: finish}
	// drafts is made last: once it is seen, "not there" means removed for the
	// other two. Before, what is there is moved on, and nothing is dropped.
	made, _, err := in.has(EpochDir(DirDrafts, o.Host, o.Epoch))
	if err != nil {
		return r.did, fmt.Errorf("reclaim %s/%d: %w", o.Host, o.Epoch, err)
	}
	if err := r.run(made); err != nil {
		return r.did, fmt.Errorf("reclaim %s/%d: %w", o.Host, o.Epoch, err)
	}
	return r.did, nil
}

// reclaim is one pass over one epoch.
type reclaim struct {
	in     *Instance
	over   Over
	finish Finish
	did    Reclaimed
}

func (r *reclaim) dir(base string) string { return EpochDir(base, r.over.Host, r.over.Epoch) }

// run goes on after an error: what can't be moved out of one directory (a full
// disk, a name in the way) doesn't hold up what is in the others. Only the drop
// of drafts waits.
func (r *reclaim) run(made bool) error {
	drafts, err := r.list(DirDrafts)
	if err != nil {
		return err
	}
	if drill.Broken(r.in.Env, drill.DropDrafts) {
		for _, name := range drafts {
			_ = r.draft(name, true)
		}
	}
	if drill.Broken(r.in.Env, drill.FenceByMove) {
		r.moveAway()
	}
	claimsGone, cerr := r.drain(DirClaims, true, func(name string) error { return r.claim(name, drafts) })
	r.did.Fenced = claimsGone && made
	sealedGone, serr := r.drain(DirSealed, true, r.sealed)
	// Moving drafts forward waits for nothing; dropping them waits for both.
	drop := claimsGone && sealedGone && made
	draftsGone, derr := r.drain(DirDrafts, claimsGone && sealedGone, func(name string) error { return r.draft(name, drop) })
	r.did.Gone = claimsGone && sealedGone && draftsGone
	return errors.Join(cerr, serr, derr)
}

// rounds of listing and removing in one pass; what comes later waits for the
// next.
const rounds = 4

// drain handles each name in a directory and, with rmdir, removes it: gone =
// proven so.
func (r *reclaim) drain(base string, rmdir bool, each func(name string) error) (gone bool, err error) {
	dir := r.dir(base)
	for range rounds {
		names, err := r.list(base)
		if err != nil {
			return false, err
		}
		var failed error
		for _, name := range names {
			failed = errors.Join(failed, each(name))
			if r.in.Alive != nil {
				r.in.Alive()
			}
		}
		if failed != nil || !rmdir {
			return false, failed
		}
		gone, err := r.in.rmdirEmpty(dir)
		if gone || err != nil {
			return gone, err
		}
		if r.did.Left > 0 && base == DirSealed {
			return false, nil
		}
	}
	return false, nil
}

// moveAway is the fence that is none: see drill.FenceByMove.
func (r *reclaim) moveAway() {
	to := path.Join(DirForeign, fmt.Sprintf("%s~%d", r.over.Host, r.over.Epoch))
	if r.in.FS.Rename(r.dir(DirClaims), to) != nil {
		return
	}
	names, _ := r.in.FS.List(to)
	for _, name := range names {
		if n, ok := ParseClaim(name); ok {
			n.Host, n.Epoch = r.over.Host, r.over.Epoch
			_ = r.in.putBack(path.Join(to, name), n, Why{Reason: r.over.Why, Event: EvReclaimed}, false)
		}
	}
}

func (r *reclaim) list(base string) ([]string, error) {
	names, err := r.in.list(r.dir(base))
	if isErr(err, syscall.ENOENT, syscall.ESTALE) {
		return nil, nil
	}
	slices.Sort(names)
	return names, err
}

// claim puts a claim back. It counts a fault if the instance died without
// goodbye while it was being worked on, that is, before its draft was there.
func (r *reclaim) claim(name string, drafts []string) error {
	n, ok := ParseClaim(name)
	if !ok {
		if n, ok = ParseAdopt(name); ok {
			return r.adopt(name, n)
		}
		return r.foreign(DirClaims, name)
	}
	n.Host, n.Epoch = r.over.Host, r.over.Epoch
	fault := r.over.Death && !hasDraft(drafts, n)
	err := r.in.putBack(path.Join(r.dir(DirClaims), name), n,
		Why{Reason: r.over.Why, Fault: fault, Event: EvReclaimed}, r.over.Death)
	if err == nil {
		r.did.Returned++
	}
	return err
}

func hasDraft(drafts []string, n Name) bool {
	for _, d := range drafts {
		if p, ok := ParseDraft(d); ok && p.Stage == n.Stage && p.Seq == n.Seq {
			return true
		}
	}
	return false
}

func (r *reclaim) sealed(name string) error {
	s, ok := r.in.SealedAt(r.over.Host, r.over.Epoch, name)
	if !ok {
		return r.foreign(DirSealed, name)
	}
	ours, err := s.redo()
	switch {
	case ours && err != nil && IsHandover(s.Name):
		// The directory is a foreign program's, and may be gone for good: that must
		// not keep this host from its other work. The next pass tries again.
		r.in.Warn("hand over", err)
		r.did.Left++
		return nil
	case ours:
		if err == nil {
			r.did.Published++
		}
		return err
	}
	if r.finish == nil {
		r.did.Left++
		return nil
	}
	done, err := r.finish(s)
	if !done {
		r.did.Left++
	}
	return err
}

func (r *reclaim) draft(name string, drop bool) error {
	n, ok := ParseDraft(name)
	file := path.Join(r.dir(DirDrafts), name)
	switch {
	case !ok:
		return r.foreign(DirDrafts, name)
	case n.Stage == KindAccept:
		if err := r.in.rollForward(file, n); err != nil {
			return err
		}
		r.did.Rolled++
	case n.Stage == KindNew || drop:
		return r.in.removeName(file)
	}
	return nil
}

// foreign moves a file that is none of ours out of the way, so that it can't
// hold up the rmdir: reported, never removed.
func (r *reclaim) foreign(base, name string) error {
	if err := r.in.moveForeign(path.Join(r.dir(base), name)); err != nil {
		return err
	}
	r.did.Foreign++
	return nil
}

func (in *Instance) moveForeign(file string) error {
	tag := in.Host + "." + strconv.FormatUint(in.Epoch, 10) + "." + strconv.FormatUint(in.nextSeq(), 10) + "~"
	base := strings.TrimLeft(path.Base(file), ".")
	if len(base) > 150 {
		base = base[:150]
	}
	verdict, err := in.moveToToken(file, path.Join(DirForeign, tag+base))
	if verdict == Done {
		in.Journal.Add(Event{Event: EvForeign, Detail: fmt.Sprintf("%s was in the way: now %s", file, tag+base)})
	}
	if verdict == Done || verdict == Gone {
		return nil
	}
	return fmt.Errorf("move foreign file: %w", err)
}

// rollForward carries on an accept of somebody who is gone. It never judges a
// draft by its contents: complete is what is named so. Linked, or the gate is
// this very file: published. The gate is another file: removed.
func (in *Instance) rollForward(draft string, n Name) error {
	id, err := in.FS.Identify(draft)
	if isErr(err, syscall.ENOENT, syscall.ESTALE) {
		// Perhaps a stale answer: then the next listing shows it again.
		return nil
	}
	if err != nil {
		return fmt.Errorf("roll forward: %w", err)
	}
	if drill.Broken(in.Env, drill.AcceptDropDraft) {
		if gate, err := in.FS.Identify(GatePath(n.ID)); err != nil || gate != id {
			_ = in.Env.Sleep(noContext, time.Second) // between a look and an act anything may happen
			return in.removeName(draft)
		}
	}
	if away, err := in.tooLate(n); err != nil || away {
		if err == nil {
			err = in.moveForeign(draft)
		}
		return err
	}
	verdict, err := in.passGate(draft, n, id)
	switch verdict {
	case Done:
		entry := in.Layout.EntryPath(stageOf(n), Name{ID: n.ID})
		if verdict, err := in.moveFromToken(draft, entry); verdict != Done {
			return fmt.Errorf("roll forward %s: %w", n.ID, err)
		}
		in.Journal.Add(Event{Event: EvRolled, Job: n.ID, Stage: Ingest, Detail: draft})
		return nil
	case Taken:
		return in.removeName(draft)
	case Gone:
		return nil
	}
	return fmt.Errorf("roll forward %s: %w", n.ID, err)
}

// Sweep settles names in the instance's own directories that no task of it
// owns: operations whose outcome was unknown, and those that landed late. A
// name must have been seen by two sweeps in a row: a task may have ended with it
// between a listing and its use.
type Sweep struct {
	in     *Instance
	finish Finish
	seen   map[string]bool
	failed bool // the last pass
}

// NewSweep is a sweep of in's own directories; finish looks after sealed
// submissions.
func NewSweep(in *Instance, finish Finish) *Sweep { return &Sweep{in: in, finish: finish} }

// Clean says whether the last pass saw everything, and nothing that it may have to
// settle.
func (w *Sweep) Clean() bool { return !w.failed && len(w.seen) == 0 }

// Pass makes one pass, and returns how many names it settled.
func (w *Sweep) Pass() (settled int, err error) {
	defer func() { w.failed = err != nil }()
	if drill.Broken(w.in.Env, drill.NoSweep) {
		return 0, nil
	}
	now := map[string]bool{}
	for _, dir := range []string{w.in.claims(), w.in.sealed(), w.in.drafts()} {
		names, lerr := w.in.FS.List(dir)
		if isErr(lerr, syscall.ENOENT, syscall.ESTALE) {
			return settled, errors.Join(err, w.in.checkFenced(dir))
		}
		err = errors.Join(err, lerr)
		slices.Sort(names)
		for _, name := range names {
			file := path.Join(dir, name)
			if w.in.owns(file) {
				continue
			}
			now[file] = true
			if w.seen[file] {
				done, serr := w.settle(dir, name)
				err = errors.Join(err, serr)
				if done {
					settled++
				}
			}
		}
	}
	w.seen = now
	return settled, err
}

func (w *Sweep) settle(dir, name string) (bool, error) {
	in, file := w.in, path.Join(dir, name)
	switch dir {
	case in.claims():
		n, ok := ParseClaim(name)
		if !ok {
			if n, ok = ParseAdopt(name); !ok || in.Parse == nil {
				return false, nil
			}
			return true, in.carryOnLost(file, n)
		}
		return true, in.putBack(file, n, Why{Reason: "no task of ours owned it", Event: EvReturned}, false)
	case in.sealed():
		s, ok := in.SealedAt(in.Host, in.Epoch, name)
		if !ok {
			return false, nil
		}
		if ours, err := s.redo(); ours {
			return true, err
		}
		if w.finish != nil {
			return w.finish(s)
		}
		return false, nil
	}
	n, ok := ParseDraft(name)
	switch {
	case ok && n.Stage == KindAccept:
		return true, in.rollForward(file, n)
	case ok && n.Stage == KindNew:
		return true, in.removeName(file)
	}
	return false, nil // a loser's draft: reclaim drops it, after the rmdir
}
