package spool

import (
	"errors"
	"fmt"
	"path"
	"syscall"
	"time"

	"fencepost/spool/env/drill"
	"fencepost/spool/vfs"
)

// Claim is an entry that this instance took. Exactly one of its methods that
// end it (Seal, Return, Fail, Park, Hold, ParkCopy) is called; after an error of
// one of them the claim is nobody's here any more: the own sweep, or a
// reclaimer, finds what became of it.
type Claim struct {
	in    *Instance
	Name  Name
	path  string
	since time.Duration // when it was begun
	draft string        // "" until Draft
	file  vfs.ID        // of what Read read; zero until then
	data  []byte        // of it, if this instance wrote it itself

	output     vfs.ID // of the draft
	outputData []byte
}

// Claim takes an entry by renaming it into the instance's own directory, under
// a name with a new token. ErrLost: somebody else was first, the normal case
// of a race. ErrFenced: this instance's epoch is over.
func (in *Instance) Claim(stage Stage, entry Name) (*Claim, error) {
	c := in.newClaim(stage, entry)
	verdict, err := in.moveToToken(in.Layout.EntryPath(stage, entry), c.path)
	switch verdict {
	case Done:
		in.note(EvClaimed, c.Name, "")
		return c, nil
	case Gone:
		in.disown(c.path)
		if ferr := in.checkFenced(in.claims()); ferr != nil {
			return nil, ferr
		}
		return nil, ErrLost
	default:
		// It may land yet: the sweep returns it.
		in.disown(c.path)
		return nil, fmt.Errorf("claim %s: %w", entry.ID, errors.Join(err, ErrUnclear, in.fencedIfGone(err)))
	}
}

// newClaim is a claim that is about to be made, under a token of its own.
func (in *Instance) newClaim(stage Stage, entry Name) *Claim {
	n := entry
	n.Stage, n.Seq, n.Ext, n.Cluster = stage, in.nextSeq(), in.Layout.Input(stage).Ext, ""
	c := &Claim{in: in, Name: n, path: in.claims() + "/" + FormatClaim(n)}
	c.since = in.own(c.path)
	return c
}

// takeAtBirth renames a file that is about to enter a stage into this instance's
// claims instead: what publish and claim would do one after the other, without the
// moment in between (docs/adr/0016-claims-at-birth.md). Nil: it didn't come about,
// or isn't known to have, and the file is published, by a rename of the same name:
// of the two one happens. begin, or giveUp, follows.
func (in *Instance) takeAtBirth(stage Stage, from string, entry Name, o Offer) *Claim {
	if in.Births == nil || !in.Births.Reserve(stage) {
		return nil
	}
	c := in.newClaim(stage, entry)
	c.file, c.data = o.File, o.Data
	if verdict, _ := in.moveToToken(from, c.path); verdict == Done {
		return c
	}
	in.giveUpBirth(c)
	return nil
}

// giveUpBirth leaves a claim, or what may become one, to the own sweep.
func (in *Instance) giveUpBirth(c *Claim) {
	in.disown(c.path)
	in.Births.Begin(c.Name.Stage, nil)
}

// begin has a claim worked on that was taken at its birth.
func (c *Claim) begin() {
	c.in.note(EvClaimed, c.Name, "")
	c.in.Births.Begin(c.Name.Stage, c)
}

// Token is the claim's token.
func (c *Claim) Token() Token {
	return Token{Spool: c.in.ID, Host: c.in.Host, Epoch: c.in.Epoch, Seq: c.Name.Seq, Gen: c.Name.Gen}
}

// Path is the claim's file, relative to the spool.
func (c *Claim) Path() string { return c.path }

// Read returns the claimed file, which must not be changed: what this instance
// put there itself it still knows.
func (c *Claim) Read() ([]byte, error) {
	if c.data != nil {
		return c.data, nil
	}
	data, file, err := c.in.FS.Read(c.path, c.in.Limits.FileSize)
	if err == nil {
		c.file = file
	}
	return data, err
}

// Draft writes the stage's output: durable, complete, invisible to others. It
// bears the claim's number, so that a redo finds it.
func (c *Claim) Draft(data []byte) error {
	next, ok := Next(c.Name.Stage)
	if !ok {
		return fmt.Errorf("stage %s has no output", c.Name.Stage)
	}
	return c.writeDraft(c.in.Layout.Input(next).Ext, data)
}

func (c *Claim) writeDraft(ext string, data []byte) error {
	n := Name{Stage: c.Name.Stage, Seq: c.Name.Seq, ID: c.Name.ID, Ext: ext}
	draft := c.in.drafts() + "/" + FormatDraft(n)
	c.in.ownSince(c.since, draft)
	file, err := c.in.FS.Create(draft, data)
	if err == nil {
		// Its name, too: a seal that survives a power cut must find it.
		err = c.in.FS.Sync(c.in.drafts())
	}
	if err != nil {
		// Only we could seal it, and won't: on a full disk it would be one of many.
		_ = c.in.FS.Remove(draft)
		c.in.disown(draft)
		if isErr(err, syscall.ENOENT, syscall.ESTALE) {
			if ferr := c.in.checkFenced(c.in.drafts()); ferr != nil {
				return ferr
			}
		}
		return fmt.Errorf("write draft: %w", err)
	}
	c.draft, c.output, c.outputData = draft, file, data
	return nil
}

// Seal decides the claim: from here its draft will be published, or the job
// released at the cluster under the given id, by whoever gets to it. The seal
// is durable on return. ErrLost: the claim was taken away before; the draft and
// the cluster's job are left alone.
func (c *Claim) Seal(clusterID string) (*Sealed, error) {
	n := c.Name
	if _, out := Next(n.Stage); out && c.draft == "" && !drill.Broken(c.in.Env, drill.CommitFirst) {
		// To publish nothing would pass for done.
		return nil, fmt.Errorf("seal %s: stage %s has no draft yet", n.ID, n.Stage)
	}
	n.Cluster = clusterID
	s := &Sealed{in: c.in, Name: n, path: c.in.sealed() + "/" + FormatSealed(n), draft: c.draft, output: c.output, outputData: c.outputData}
	c.in.ownSince(c.since, s.path)
	if drill.Broken(c.in.Env, drill.NoSeal) && c.draft != "" {
		s.path = c.path
		return s, nil
	}
	verdict, err := c.in.moveToToken(c.path, s.path)
	if verdict == Done {
		c.in.disown(c.path)
		if err := c.in.FS.Sync(c.in.sealed(), c.in.claims()); err != nil {
			c.in.disown(s.path, c.draft)
			return nil, fmt.Errorf("seal %s: %w", n.ID, errors.Join(err, ErrUnclear))
		}
		c.in.note(EvSealed, n, "")
		return s, nil
	}
	c.in.disown(c.path, s.path, c.draft)
	if verdict != Gone {
		c.in.note(EvUnclear, n, "seal: "+verdict.String())
		return nil, fmt.Errorf("seal %s: %w", n.ID, errors.Join(err, ErrUnclear, c.in.fencedIfGone(err)))
	}
	c.in.note(EvLost, n, "seal: the claim is not ours any more")
	return nil, fmt.Errorf("seal %s: %w", n.ID, errors.Join(ErrLost, c.in.checkFenced(c.in.claims())))
}

// Why is the reason of a return. Fault says that it is the job's: it counts.
type Why struct {
	Reason string
	Fault  bool
	Event  string // EvReturned if empty
}

// Return puts the entry back under a name that it never had: the generation
// grows, and the faults if the reason is the job's. Past the limit of faults it
// goes to failed/, past that of generations to parked/.
func (c *Claim) Return(why Why) error {
	if why.Event == "" {
		why.Event = EvReturned
	}
	return c.end(func() error { return c.in.putBack(c.path, c.Name, why, false) })
}

// Fail puts the job into failed/: it is bad, or was tried too often.
func (c *Claim) Fail(event, reason string) error { return c.aside(DirFailed, event, reason) }

// Park puts the job into parked/, for a person.
func (c *Claim) Park(reason string) error { return c.aside(DirParked, EvParked, reason) }

// Hold puts the job into held/, as a person asked for.
func (c *Claim) Hold(reason string) error { return c.aside(DirHeld, EvHeld, reason) }

func (c *Claim) aside(dir, event, reason string) error {
	return c.end(func() error { return c.in.setAside(c.path, c.Name, dir, event, reason) })
}

// ParkCopy puts a second copy of a job into parked/, outside the balance.
func (c *Claim) ParkCopy(reason string) error {
	return c.end(func() error {
		n := c.Name
		n.Host, n.Epoch = c.in.Host, c.in.Epoch
		verdict, err := c.in.moveToToken(c.path, path.Join(DirParked, FormatCopy(n)))
		if verdict != Done {
			return fmt.Errorf("park copy of %s: %w", n.ID, errors.Join(err, ErrUnclear))
		}
		c.in.note(EvQuarantine, c.Name, reason)
		return nil
	})
}

// Once passes the exit gate: Done = this entry, now or on an earlier try; Taken
// = a second copy of the job, which must never be submitted, or one of a job whose
// records were removed. Gone, with ErrLost:
// the claim isn't ours any more.
func (c *Claim) Once() (Verdict, error) {
	if drill.Broken(c.in.Env, drill.NoExitGate) {
		return Done, nil
	}
	// A claim's name only ever means one file, so who read it needn't look again
	// which. If it was taken away since, the link tells, and at the latest the seal.
	if c.file == (vfs.ID{}) {
		var err error
		if c.file, err = c.in.FS.Identify(c.path); isErr(err, syscall.ENOENT, syscall.ESTALE) {
			return Gone, errors.Join(ErrLost, c.in.checkFenced(c.in.claims()), err)
		} else if err != nil {
			return Unknown, err
		}
	}
	verdict, err := c.in.notRemoved(c.Name.ID)
	if verdict == Done {
		verdict, err = c.in.linkOnce(c.path, OncePath(c.Name.Stage, c.Name.ID), c.file)
	}
	if verdict == Done {
		verdict, err = c.in.notRemoved(c.Name.ID) // the look before was for order's sake
	}
	if verdict == Gone {
		err = errors.Join(ErrLost, c.in.checkFenced(c.in.claims()), err)
	}
	return verdict, err
}

// end runs what ends the claim, and gives up its names.
func (c *Claim) end(f func() error) error {
	err := f()
	c.in.disown(c.path, c.draft)
	if err != nil {
		return errors.Join(err, c.in.fencedIfGone(err))
	}
	if c.draft != "" {
		_ = c.in.removeName(c.draft) // of no use any more; reclaim drops it otherwise
	}
	return nil
}

// fencedIfGone looks whether the directories that a claim needs are there, if
// err may come from their absence.
func (in *Instance) fencedIfGone(err error) error {
	if !isErr(err, syscall.ENOENT, syscall.ESTALE) {
		return nil
	}
	if ferr := in.checkFenced(in.claims()); ferr != nil {
		return ferr
	}
	return in.checkFenced(in.sealed())
}

// putBack moves a claim or a sealed file, anybody's, back to its stage: the
// generation grows, so that a late rename of somebody dead can't catch it.
func (in *Instance) putBack(from string, n Name, why Why, death bool) error {
	if !drill.Broken(in.Env, drill.SameName) {
		n.Gen++
	}
	if why.Fault {
		n.Faults++
	}
	switch {
	case n.Faults > in.Limits.Faults && death:
		return in.setAside(from, n, DirParked, EvParked, fmt.Sprintf("%d instances died while they worked on it; the last: %s", n.Faults, why.Reason))
	case n.Faults > in.Limits.Faults:
		return in.setAside(from, n, DirFailed, EvFailed, fmt.Sprintf("%d faults; the last: %s", n.Faults, why.Reason))
	case n.Gen > in.Limits.Gen:
		return in.setAside(from, n, DirParked, EvParked, fmt.Sprintf("%d generations; the last: %s", n.Gen, why.Reason))
	}
	bare := n
	bare.Cluster = ""
	verdict, err := in.moveFromToken(from, in.Layout.EntryPath(n.Stage, bare))
	if verdict != Done {
		return fmt.Errorf("put back %s: %w", n.ID, err)
	}
	in.note(why.Event, n, why.Reason)
	return nil
}

// setAside moves a claim or a sealed file, anybody's, into failed/, held/ or
// parked/. What says why is written first: it explains, the name decides.
func (in *Instance) setAside(from string, n Name, dir, event, reason string) error {
	if err := in.writeWhy(dir, n, event, reason); err != nil {
		return err
	}
	in.note(event, n, reason)
	if err := in.Journal.Flush(); err != nil {
		in.note(EvUnclear, n, err.Error())
	}
	verdict, err := in.moveFromToken(from, path.Join(dir, FormatAside(n)))
	if verdict != Done {
		return fmt.Errorf("set aside %s into %s: %w", n.ID, dir, err)
	}
	return in.FS.Sync(dir)
}
