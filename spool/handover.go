package spool

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"syscall"
)

// Handover says as what files a foreign program that does a stage's work takes
// its jobs: a path below the spool with one "*" in its last part, as in
// "legacy/json/*.json". The directory is the program's: nothing of ours waits
// there, and no canary.
type Handover string

// handoverMark begins what stands for a cluster's id in the names of sealed files
// and final records of jobs that are handed over; the Handover follows. So each
// name says by itself where its job goes, whatever the configuration says by the
// time that somebody redoes it.
const handoverMark = "foreign:"

// IsHandover says whether the name of a sealed file or a final record is that of
// a job which is handed over to a foreign program.
func IsHandover(n Name) bool { return strings.HasPrefix(n.Cluster, handoverMark) }

// IsHandoverDraft says whether the name of a draft is that of a file which is to
// be handed over: none of a stage's own drafts has such a one.
func IsHandoverDraft(n Name) bool {
	return n.Stage == Submit || n.Stage == Translate && n.Ext == entryExt(Translate)
}

// handoverOf is what the name of a handed over job says.
func handoverOf(n Name) Handover { return Handover(strings.TrimPrefix(n.Cluster, handoverMark)) }

// Dir is the directory of the files, below the spool.
func (h Handover) Dir() string { return path.Dir(string(h)) }

// file is the name that a job is handed over under.
func (h Handover) file(n Name) string {
	return strings.Replace(string(h), "*", n.ID+tries(Name{Gen: n.Gen}), 1)
}

func (h Handover) validate(s Stage) error {
	base := path.Base(string(h))
	switch {
	case path.Clean(string(h)) != string(h) || strings.Count(string(h), "*") != 1 || !strings.Contains(base, "*") || strings.ContainsAny(string(h), "\r\n\x00"):
		return fmt.Errorf("foreign %q wants to be a clean path with one * in its last part, as in legacy/%s/*.%[2]s", h, entryExt(s))
	case path.Ext(base) != "."+entryExt(s) || strings.HasPrefix(base, "."):
		return fmt.Errorf("foreign %q must be names that end in .%s and don't begin with a dot", h, entryExt(s))
	case len(EncodeClusterID(handoverMark+string(h))) > MaxClusterID:
		return fmt.Errorf("foreign %q is too long: a name must hold it, with 3 bytes for each that is no letter, digit, dot, _ or -", h)
	}
	return nil
}

// HandOver is the work of a stage that a foreign program does: to hand each job
// over to it, as it is. From then on the job is the program's.
type HandOver struct{ To Handover }

// Work hands one claim over.
func (h HandOver) Work(_ context.Context, c *Claim) {
	if err := h.work(c); err != nil && !errors.Is(err, ErrLost) {
		c.in.Warn("hand over", err)
	}
}

// Order: link once/B/STAGE~ID, since behind the seal nobody stands who would
// notice a second copy; the draft, durable; the seal; rename the draft to its
// place; rename the sealed file into done/.
func (h HandOver) work(c *Claim) error {
	data, err := c.Read()
	if errors.Is(err, errTooLarge) || errors.Is(err, errNotRegular) {
		return c.Fail(EvQuarantine, err.Error())
	}
	if err != nil {
		return errors.Join(err, c.Return(Why{Reason: err.Error()}))
	}
	if done, err := c.honour(); done || err != nil {
		return err
	}
	switch verdict, err := c.Once(); verdict {
	case Done:
	case Taken:
		return c.ParkCopy("the exit gate belongs to another copy of this job")
	default:
		return errors.Join(err, c.Return(Why{Reason: fmt.Sprintf("exit gate: %v", err)}))
	}
	if err := c.writeDraft(strings.TrimPrefix(path.Ext(string(h.To)), "."), data); err != nil {
		return errors.Join(err, c.Return(Why{Reason: err.Error()}))
	}
	s, err := c.Seal(handoverMark + string(h.To))
	if err != nil {
		return err
	}
	return s.HandOver()
}

// honour does, before the seal, what a person asked for a claimed job.
func (c *Claim) honour() (done bool, err error) {
	for _, kind := range []string{RequestCancel, RequestHold} {
		asked, err := c.in.Exists(RequestPath(kind, c.Name.ID))
		if err != nil {
			return true, errors.Join(err, c.Return(Why{Reason: err.Error()}))
		}
		if !asked {
			continue
		}
		if kind == RequestCancel {
			err = c.Fail(EvCancelled, "cancelled on request")
		} else {
			err = c.Hold("held on request")
		}
		if err == nil {
			c.in.Honoured(c.Name.ID)
		}
		return true, err
	}
	return false, nil
}

// HandOver ends a sealed handover, anybody's: the draft moves to where the
// foreign program takes it, and the sealed file becomes the final record. A draft
// that is gone was handed over by somebody who did this before. ErrLost: that one
// made the record, too.
func (s *Sealed) HandOver() error {
	defer s.in.disown(s.path, s.draft)
	to := handoverOf(s.Name)
	n := s.Name
	n.Host, n.Epoch = s.host(), s.epoch()
	drafts := EpochDir(DirDrafts, n.Host, n.Epoch)
	draft := path.Join(drafts, FormatDraft(Name{Stage: n.Stage, Seq: n.Seq, ID: n.ID, Ext: strings.TrimPrefix(path.Ext(string(to)), ".")}))
	verdict, err := s.in.moveFromToken(draft, to.file(n))
	if verdict != Done {
		return fmt.Errorf("hand over %s: %w", n.ID, err)
	}
	// The reader may take it from now on: it mustn't come back after a power cut.
	for _, dir := range []string{to.Dir(), drafts} {
		if err := s.in.FS.Sync(dir); err != nil && !isErr(err, syscall.ENOENT, syscall.ESTALE) {
			return fmt.Errorf("hand over %s: %w", n.ID, err)
		}
	}
	s.in.note(EvHandedOver, n, to.file(n))
	if err := s.in.Journal.Flush(); err != nil {
		s.in.note(EvUnclear, n, err.Error())
	}
	return s.ended(s.in.moveToToken(s.path, DonePath(n)))
}
