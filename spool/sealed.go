package spool

import (
	"errors"
	"fmt"
	"path"
	"syscall"

	"fencepost/spool/env/drill"
	"fencepost/spool/vfs"
)

// Sealed is a decided claim, anybody's. Each step from here is one rename or
// removal of a name that exists once: whoever redoes one, it happens once. So
// an owner, a reclaimer and a woken zombie may all be at it.
type Sealed struct {
	in    *Instance // who acts
	Name  Name      // Host and Epoch are those of the owner
	path  string
	draft string // of translate: "" = by the name that the seal's number gives

	// What is in the draft, and which file it is, if it was written by this
	// instance since it started.
	output     vfs.ID
	outputData []byte
}

// SealedAt is the sealed file name in the directories of host and epoch.
func (in *Instance) SealedAt(host string, epoch uint64, name string) (*Sealed, bool) {
	n, ok := ParseSealed(name)
	n.Host, n.Epoch = host, epoch
	return &Sealed{in: in, Name: n, path: path.Join(EpochDir(DirSealed, host, epoch), name)}, ok
}

// Token is the token of the claim that was sealed.
func (s *Sealed) Token() Token {
	t := Token{Spool: s.in.ID, Host: s.Name.Host, Epoch: s.Name.Epoch, Seq: s.Name.Seq, Gen: s.Name.Gen}
	if t.Host == "" {
		t.Host, t.Epoch = s.in.Host, s.in.Epoch
	}
	return t
}

// Path is the sealed file, relative to the spool.
func (s *Sealed) Path() string { return s.path }

// Read returns the sealed file. ErrLost if it is not there any more.
func (s *Sealed) Read() ([]byte, error) {
	data, _, err := s.in.FS.Read(s.path, s.in.Limits.FileSize)
	if isErr(err, syscall.ENOENT, syscall.ESTALE) {
		return nil, fmt.Errorf("%w: %w", ErrLost, err)
	}
	return data, err
}

// redo does again what follows the seal, of a stage that needs no cluster for it.
func (s *Sealed) redo() (ours bool, err error) {
	switch {
	case IsHandover(s.Name):
		if err = s.HandOver(); errors.Is(err, ErrLost) {
			err = nil // another one has ended it
		}
	case s.Name.Stage == Translate:
		err = s.Publish()
	default:
		return false, nil
	}
	return true, err
}

// Publish moves the draft into the next stage and retires the sealed file. A
// draft that is gone from a fresh listing was published, by somebody who did
// this before; one that can't be moved stays, sealed, for the next pass.
func (s *Sealed) Publish() error {
	defer s.in.disown(s.path, s.draft)
	next, ok := Next(s.Name.Stage)
	if !ok {
		return fmt.Errorf("publish %s: stage %s has no output", s.Name.ID, s.Name.Stage)
	}
	out := s.in.Layout.Input(next)
	draft := EpochDir(DirDrafts, s.host(), s.epoch()) + "/" +
		FormatDraft(Name{Stage: s.Name.Stage, Seq: s.Name.Seq, ID: s.Name.ID, Ext: out.Ext})
	entry := Name{ID: s.Name.ID, Gen: s.Name.Gen}
	if drill.Broken(s.in.Env, drill.RetireFirst) {
		_ = s.in.removeName(s.path)
	}
	o := Offer{Name: entry, File: s.output, Data: s.outputData}
	if born := s.in.takeAtBirth(next, draft, entry, o); born != nil {
		defer born.begin()
	} else {
		verdict, err := s.publishDraft(draft, s.in.Layout.EntryPath(next, entry))
		if verdict != Done {
			return fmt.Errorf("publish %s: %w", s.Name.ID, err)
		}
		s.in.offer(next, o)
	}
	if err := s.in.removeName(s.path); err != nil {
		return fmt.Errorf("retire %s: %w", s.Name.ID, err)
	}
	s.in.note(EvPublished, s.Name, "")
	return nil
}

// publishDraft renames, since a name that is made could bring back a job that
// has moved on.
func (s *Sealed) publishDraft(draft, entry string) (Verdict, error) {
	if drill.Broken(s.in.Env, drill.PublishCopy) {
		data, _, err := s.in.FS.Read(draft, s.in.Limits.FileSize)
		if err == nil {
			_, err = s.in.FS.Create(entry, data)
			_ = s.in.FS.Remove(draft)
		}
		return Done, err
	}
	return s.in.moveFromToken(draft, entry)
}

// Done moves the sealed file to its final place: the cluster has the job,
// under the given id. ErrLost: somebody else ended it, this way or another.
func (s *Sealed) Done(clusterID, detail string) error {
	n := s.Name
	n.Host, n.Epoch, n.Cluster = s.host(), s.epoch(), clusterID
	s.in.note(EvDone, n, detail)
	if err := s.in.Journal.Flush(); err != nil {
		s.in.note(EvUnclear, n, err.Error())
	}
	defer s.in.disown(s.path)
	return s.ended(s.in.moveToToken(s.path, DonePath(n)))
}

// Back moves the sealed file back to its stage: surely not accepted by the
// cluster, or proven never to have started.
func (s *Sealed) Back(why Why) error {
	defer s.in.disown(s.path)
	if why.Event == "" {
		why.Event = EvReturned
	}
	if err := s.in.putBack(s.path, s.Name, why, false); err != nil {
		return err
	}
	return nil
}

// Park moves the sealed file into parked/, cluster id and all, for a person.
func (s *Sealed) Park(reason string) error {
	defer s.in.disown(s.path)
	return s.in.setAside(s.path, s.Name, DirParked, EvParked, reason)
}

// Fail moves the sealed file into failed/: event is EvRejected or EvCancelled.
func (s *Sealed) Fail(event, reason string) error {
	defer s.in.disown(s.path)
	return s.in.setAside(s.path, s.Name, DirFailed, event, reason)
}

// Hold moves the sealed file into held/, as a person asked for. The cluster id
// stays in the name: a later try needs proof that the job there never ran.
func (s *Sealed) Hold(reason string) error {
	defer s.in.disown(s.path)
	return s.in.setAside(s.path, s.Name, DirHeld, EvHeld, reason)
}

// Drop leaves the sealed file to whoever finds it: the own sweep.
func (s *Sealed) Drop() { s.in.disown(s.path, s.draft) }

// Own says that a task of this instance looks after the sealed file.
func (s *Sealed) Own() { s.in.own(s.path) }

func (s *Sealed) host() string { return s.Token().Host }

func (s *Sealed) epoch() uint64 { return s.Token().Epoch }

func (s *Sealed) ended(v Verdict, err error) error {
	switch v {
	case Done:
		return nil
	case Gone:
		return fmt.Errorf("end %s: %w", s.Name.ID, ErrLost)
	}
	return fmt.Errorf("end %s: %w", s.Name.ID, errors.Join(err, ErrUnclear))
}
