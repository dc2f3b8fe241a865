package spool_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fencepost/spool"
)

// finish ends a sealed submission of the stage that hands jobs to nobody.
func finish(s *spool.Sealed) (bool, error) {
	err := s.Done("7", "finished by another instance")
	if errors.Is(err, spool.ErrLost) {
		err = nil
	}
	return err == nil, err
}

// sweepTwice lets an instance settle what no task of it owns; its directories
// are then empty but for losers' drafts.
func (w *world) sweepTwice(in *spool.Instance) error {
	sweep := spool.NewSweep(in, finish)
	for range 3 {
		if _, err := sweep.Pass(); err != nil && !errors.Is(err, spool.ErrFenced) {
			return fmt.Errorf("sweep: %w", err)
		}
	}
	if in.Fenced() != nil {
		return nil
	}
	for _, j := range w.files() {
		for _, f := range append(append([]file{}, j.before...), j.after...) {
			if f.place != spool.DirClaims && f.place != spool.DirSealed {
				continue
			}
			if own := spool.EpochDir(f.place, in.Host, in.Epoch) + "/"; len(f.path) > len(own) && f.path[:len(own)] == own {
				return fmt.Errorf("%s is stranded after two sweeps", f.path)
			}
		}
		for _, d := range j.drafts {
			if d.name.Stage == spool.KindAccept && d.path[:len(in.Host)+8] == "drafts/"+in.Host+"/" {
				return fmt.Errorf("%s is stranded after two sweeps", d.path)
			}
		}
	}
	return nil
}

// reclaimAll has r move on every epoch that exists, but r's own.
func (w *world) reclaimAll(r *spool.Instance) error {
	for range 4 {
		seen := map[string]spool.Over{}
		for _, base := range []string{spool.DirClaims, spool.DirSealed, spool.DirDrafts} {
			all, err := r.Epochs(base)
			if err != nil {
				return err
			}
			for _, o := range all {
				seen[spool.EpochDir("", o.Host, o.Epoch)] = o
			}
		}
		left := 0
		for _, o := range seen {
			if o.Host == r.Host && o.Epoch == r.Epoch {
				continue
			}
			left++
			o.Why, o.Death = "the test says so", true
			if _, err := r.Reclaim(o, finish); err != nil {
				return err
			}
		}
		if left == 0 {
			return nil
		}
	}
	return fmt.Errorf("epochs are left after four passes")
}

// recoverAll is what the peers do once no fault happens any more: all epochs
// are reclaimed, all jobs go on to their end. Each accepted job must have ended
// exactly once, as it was.
func (w *world) recoverAll() error {
	r := w.start("r")
	if err := w.reclaimAll(r); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	if err := w.check(); err != nil {
		return fmt.Errorf("after reclaim: %w", err)
	}
	if err := w.adoptRest(r); err != nil {
		return err
	}
	for _, stage := range spool.Stages() {
		if err := w.workOff(r, stage); err != nil {
			return fmt.Errorf("work off %s: %w", stage, err)
		}
	}
	return w.checkEnd(r)
}

func (w *world) workOff(in *spool.Instance, stage spool.Stage) error {
	work := map[spool.Stage]func(*spool.Claim) error{spool.Translate: advance, spool.Submit: submitted}[stage]
	if w.foreign && stage == spool.Translate {
		work = handOver
	}
	var entries []spool.Name
	if err := in.Scan(func(f spool.Found) {
		if f.Place == spool.PlaceWaiting && f.Name.Stage == stage {
			entries = append(entries, f.Name)
		}
	}); err != nil {
		return err
	}
	for _, n := range entries {
		c, err := in.Claim(stage, n)
		if err == nil {
			err = work(c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkEnd: every job that passed the gate has one final place, intact, and
// the audit agrees.
func (w *world) checkEnd(r *spool.Instance) error {
	if err := errors.Join(w.check(), w.checkContents()); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	for id, j := range w.files() {
		if j.gate == "" {
			if len(j.drafts) > 0 {
				return fmt.Errorf("at the end: %s has drafts: %v", id, j)
			}
			continue
		}
		final := append(append([]file{}, j.after...), j.before...)
		if j.cameBack() {
			final = j.after
		} else if j.handedOver() && w.back {
			return fmt.Errorf("at the end: %s came back, and was dropped: %v", id, j)
		}
		if len(final) != 1 || final[0].place == "xml" || final[0].place == "json" || len(j.copies) > 0 {
			return fmt.Errorf("at the end: %s has not ended, once: %v", id, j)
		}
	}
	if err := w.adoptedOnce(); err != nil {
		return err
	}
	b, err := r.Audit(context.Background(), time.Second)
	if err != nil || !b.OK() || len(b.Ungated) > 0 {
		return fmt.Errorf("at the end: audit %+v, %v", b, err)
	}
	return nil
}
