package spool

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"
	"syscall"

	"fencepost/spool/env/drill"
	"fencepost/spool/vfs"
)

// Accepted tells how a job came in.
type Accepted struct {
	Duplicate bool // it was in already, with the same content
}

// Accept lets a job in, once, whatever client or host repeats it. data is the
// file; same says whether another file of this id, which it is given, holds the
// same job as the client sent it.
//
// A nil error means that the job is durable and will be found in exactly one
// place. ErrConflict: the id belongs to another job. ErrTooOld: the id is of a
// time that is closed; it may have been accepted before. Any other error: not known
// to be accepted; the client asks again with the same id, here or elsewhere.
//
// Order: write, fsync, close new~S~ID; rename to accept~S~ID (complete by its
// name, from here whoever finds it rolls it forward); link gate/B/ID (the
// decision); rename to xml/ID; fsync the directories; journal.
func (in *Instance) Accept(id string, data []byte, same func(existing []byte) (bool, error)) (Accepted, error) {
	return in.AcceptAt(Translate, id, data, same)
}

// AcceptAt is Accept for a job that enters at a later stage than the first: one
// that begins there, or comes back from a foreign program that it was handed
// over to. See passGate.
func (in *Instance) AcceptAt(stage Stage, id string, data []byte, same func(existing []byte) (bool, error)) (Accepted, error) {
	if !ValidID(id) {
		return Accepted{}, fmt.Errorf("accept: %q is not a canonical job id", id)
	}
	if err := in.letIn(id); err != nil {
		return Accepted{}, fmt.Errorf("accept %s: %w", id, err)
	}
	defer in.letInEnds(id)
	n := Name{Stage: KindNew, Seq: in.nextSeq(), ID: id, Ext: entryExt(stage)}
	fresh := in.drafts() + "/" + FormatDraft(n)
	n.Stage = KindAccept
	draft := in.drafts() + "/" + FormatDraft(n)
	in.own(fresh, draft)
	defer in.disown(fresh, draft)

	file, err := in.FS.Create(fresh, data)
	if err != nil {
		return Accepted{}, in.giveUp(fresh, fmt.Errorf("accept %s: write draft: %w: %w", id, err, ErrNotAccepted))
	}
	verdict, err := in.moveToToken(fresh, draft)
	switch verdict {
	case Done:
	case Gone, Unknown:
		// It may have been completed, and rolled forward by a reclaimer: only
		// the gate can tell, by the identity of the file that we wrote.
		if in.gateHolds(n, file, data) {
			return in.accepted(n, "rolled forward by another instance")
		}
		return Accepted{}, in.giveUp(fresh, fmt.Errorf("accept %s: complete draft: %w", id, errors.Join(err, in.checkFenced(in.drafts()))))
	default:
		return Accepted{}, in.giveUp(fresh, fmt.Errorf("accept %s: complete draft: %w", id, err))
	}
	return in.throughGate(n, draft, Offer{File: file, Data: data}, same)
}

// throughGate is accept from the complete draft on.
func (in *Instance) throughGate(n Name, draft string, o Offer, same func([]byte) (bool, error)) (Accepted, error) {
	if drill.Broken(in.Env, drill.AckFirst) {
		return in.accepted(n, "")
	}
	verdict, err := in.passGate(draft, n, o.File)
	switch verdict {
	case Done:
	case Taken:
		return in.duplicate(n, draft, same)
	case Gone:
		// A reclaimer removed it: another file has the gate, or will have.
		_ = in.checkFenced(in.drafts())
		return in.duplicate(n, "", same)
	default:
		// The draft stays: the own sweep rolls it forward.
		return Accepted{}, fmt.Errorf("accept %s: pass gate: %w", n.ID, err)
	}
	o.Name = Name{ID: n.ID}
	if born := in.takeAtBirth(stageOf(n), draft, o.Name, o); born != nil {
		return in.acceptedAtBirth(n, born)
	}
	entry := in.Layout.EntryPath(stageOf(n), o.Name)
	// ENOENT here, after a link of ours: a reclaimer has published it.
	if verdict, err = in.moveFromToken(draft, entry); verdict != Done {
		return Accepted{}, fmt.Errorf("accept %s: publish: %w", n.ID, err)
	}
	a, err := in.accepted(n, "")
	// Only now: a job that takes this host down doesn't take its answer with it.
	in.offer(stageOf(n), o)
	return a, err
}

// acceptedAtBirth answers for a job that is a claim of this instance already.
func (in *Instance) acceptedAtBirth(n Name, c *Claim) (Accepted, error) {
	err := in.FS.Sync(path.Dir(GatePath(n.ID)), in.claims())
	if err == nil {
		err = in.noteAccepted(n, "")
	}
	if err != nil {
		in.giveUpBirth(c)
		return Accepted{}, fmt.Errorf("accept %s: %w", n.ID, errors.Join(err, in.fencedIfGone(err)))
	}
	c.begin()
	return Accepted{}, nil
}

// passGate links the draft to the gate: one file of an id gets in.
//
// The gate of a later stage lets in an id whose first gate it has itself, and
// one that left the stage before through its exit gate: what was handed over
// comes back. Any other one is a copy of a job that is on its way here: it is
// dropped, and so one look at the exit gate isn't enough.
//
// Order: link gate/B/ID; if that is another file's, look at once/B/translate~ID;
// link gate/B/submit~ID.
func (in *Instance) passGate(draft string, n Name, file vfs.ID) (Verdict, error) {
	if drill.Broken(in.Env, drill.NoGate) {
		return Done, nil
	}
	verdict, err := in.linkOnce(draft, GatePath(n.ID), file)
	if stageOf(n) == Translate || verdict != Done && verdict != Taken {
		return verdict, err
	}
	if verdict == Taken {
		left, err := in.passed(OncePath(Translate, n.ID))
		if err != nil {
			return Unknown, fmt.Errorf("look at the exit gate: %w", err)
		}
		if !left {
			return Taken, nil
		}
	}
	return in.linkOnce(draft, StageGatePath(stageOf(n), n.ID), file)
}

// gates are the gates that a file passes, the last one first.
func gates(n Name) []string {
	if stageOf(n) == Translate {
		return []string{GatePath(n.ID)}
	}
	return []string{StageGatePath(stageOf(n), n.ID), GatePath(n.ID)}
}

// stageOf is the stage that an accept draft, or a foreign file, is to enter.
func stageOf(n Name) Stage {
	if n.Ext == entryExt(Submit) {
		return Submit
	}
	return Translate
}

func (in *Instance) accepted(n Name, detail string) (Accepted, error) {
	if err := in.syncAccepted(n); err != nil {
		return Accepted{}, fmt.Errorf("accept %s: %w", n.ID, err)
	}
	return Accepted{}, in.noteAccepted(n, detail)
}

func (in *Instance) noteAccepted(n Name, detail string) error {
	if stage := stageOf(n); stage != Translate {
		detail = strings.TrimPrefix(detail+"; at stage "+string(stage), "; ")
	}
	in.note(EvAccepted, Name{Stage: Ingest, ID: n.ID, Seq: n.Seq}, detail)
	return in.Journal.Flush()
}

func (in *Instance) syncAccepted(n Name) error {
	return in.FS.Sync(path.Dir(GatePath(n.ID)), in.Layout.Input(stageOf(n)).Dir)
}

// duplicate answers for an id whose gate belongs to another file.
func (in *Instance) duplicate(n Name, draft string, same func([]byte) (bool, error)) (Accepted, error) {
	existing, err := in.gateFile(n)
	if err != nil {
		return Accepted{}, fmt.Errorf("accept %s: read what the gate has: %w", n.ID, err)
	}
	if draft != "" {
		if err := in.removeName(draft); err != nil {
			return Accepted{}, fmt.Errorf("accept %s: remove draft of a duplicate: %w", n.ID, err)
		}
	}
	equal, err := same(existing)
	if err != nil {
		return Accepted{}, fmt.Errorf("accept %s: compare with what the gate has: %w", n.ID, err)
	}
	if !equal && !drill.Broken(in.Env, drill.NoConflict) {
		return Accepted{}, fmt.Errorf("accept %s: %w", n.ID, ErrConflict)
	}
	// The one who linked it may have been cut off before its own fsync.
	if err := in.syncAccepted(n); err != nil {
		return Accepted{}, fmt.Errorf("accept %s: %w", n.ID, err)
	}
	in.note(EvDuplicate, Name{Stage: Ingest, ID: n.ID, Seq: n.Seq}, "")
	return Accepted{Duplicate: true}, nil
}

// giveUp removes a draft that isn't complete, if that is possible, and passes
// the error on. What remains is dropped by the own sweep.
func (in *Instance) giveUp(fresh string, err error) error {
	if isErr(err, syscall.ENOENT, syscall.ESTALE) {
		if ferr := in.checkFenced(in.drafts()); ferr != nil {
			return errors.Join(ferr, err)
		}
	}
	_ = in.FS.Remove(fresh)
	return err
}

// gateHolds says whether the gate has our file. Our last name of it is gone, so
// its number may have been given to another file meanwhile: it must hold what
// we wrote, too.
func (in *Instance) gateHolds(n Name, file vfs.ID, data []byte) bool {
	has, got, err := in.FS.Read(gates(n)[0], in.Limits.FileSize)
	return err == nil && got == file && bytes.Equal(has, data)
}

// gateFile is what has the gate that a file didn't pass.
func (in *Instance) gateFile(n Name) (data []byte, err error) {
	for _, gate := range gates(n) {
		data, _, err = in.FS.Read(gate, in.Limits.FileSize)
		if !isErr(err, syscall.ENOENT) {
			break
		}
	}
	return data, err
}
