package spool

import (
	"bytes"
	"errors"
	"fmt"
	"path"
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
// place. ErrConflict: the id belongs to another job. Any other error: not known
// to be accepted; the client asks again with the same id, here or elsewhere.
//
// Order: write, fsync, close new~S~ID; rename to accept~S~ID (complete by its
// name, from here whoever finds it rolls it forward); link gate/B/ID (the
// decision); rename to xml/ID; fsync the directories; journal.
func (in *Instance) Accept(id string, data []byte, same func(existing []byte) (bool, error)) (Accepted, error) {
	if !ValidID(id) {
		return Accepted{}, fmt.Errorf("accept: %q is not a canonical job id", id)
	}
	n := Name{Stage: KindNew, Seq: in.nextSeq(), ID: id, Ext: "xml"}
	fresh := path.Join(in.drafts(), FormatDraft(n))
	n.Stage = KindAccept
	draft := path.Join(in.drafts(), FormatDraft(n))
	in.own(fresh)
	in.own(draft)
	defer in.disown(fresh, draft)

	file, err := in.FS.Create(fresh, data)
	if err != nil {
		return Accepted{}, in.giveUp(fresh, fmt.Errorf("accept %s: write draft: %w", id, err))
	}
	verdict, err := in.moveToToken(fresh, draft)
	switch verdict {
	case Done:
	case Gone, Unknown:
		// It may have been completed, and rolled forward by a reclaimer: only
		// the gate can tell, by the identity of the file that we wrote.
		if in.gateHolds(id, file, data) {
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
	verdict, err := in.passGate(draft, n.ID, o.File)
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
	entry := in.Layout.EntryPath(Translate, Name{ID: n.ID})
	// ENOENT here, after a link of ours: a reclaimer has published it.
	if verdict, err = in.moveFromToken(draft, entry); verdict != Done {
		return Accepted{}, fmt.Errorf("accept %s: publish: %w", n.ID, err)
	}
	a, err := in.accepted(n, "")
	// Only now: a job that takes this host down doesn't take its answer with it.
	o.Name = Name{ID: n.ID}
	in.offer(Translate, o)
	return a, err
}

// passGate links the draft to the gate: one file of an id gets in.
func (in *Instance) passGate(draft, id string, file vfs.ID) (Verdict, error) {
	if drill.Broken(in.Env, drill.NoGate) {
		return Done, nil
	}
	return in.linkOnce(draft, GatePath(id), file)
}

func (in *Instance) accepted(n Name, detail string) (Accepted, error) {
	if err := in.FS.Sync(path.Dir(GatePath(n.ID)), in.Layout.Translate); err != nil {
		return Accepted{}, fmt.Errorf("accept %s: %w", n.ID, err)
	}
	in.note(EvAccepted, Name{Stage: Ingest, ID: n.ID, Seq: n.Seq}, detail)
	return Accepted{}, in.Journal.Flush()
}

// duplicate answers for an id whose gate belongs to another file.
func (in *Instance) duplicate(n Name, draft string, same func([]byte) (bool, error)) (Accepted, error) {
	existing, _, err := in.FS.Read(GatePath(n.ID), in.Limits.FileSize)
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
	if err := in.FS.Sync(path.Dir(GatePath(n.ID)), in.Layout.Translate); err != nil {
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
func (in *Instance) gateHolds(id string, file vfs.ID, data []byte) bool {
	has, got, err := in.FS.Read(GatePath(id), in.Limits.FileSize)
	return err == nil && got == file && bytes.Equal(has, data)
}
