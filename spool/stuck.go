package spool

import (
	"errors"

	"fencepost/spool/env/drill"
)

// ScanOwned lists the claims and sealed files of all hosts and epochs.
func (s *Spool) ScanOwned(visit func(Found)) error {
	if drill.Broken(s.Env, drill.NoStuck) {
		return nil
	}
	sc := &scan{s: s, visit: visit}
	return errors.Join(sc.owned(DirClaims), sc.owned(DirSealed))
}

// ReturnStuck puts a claim of anybody back, alive or not: it exceeded its time,
// which counts a fault. If its owner seals it first, nothing happens.
func (in *Instance) ReturnStuck(f Found, reason string) error {
	return in.putBack(f.Path, f.Name, Why{Reason: reason, Fault: true, Event: EvReclaimed}, false)
}

// FinishStuck redoes a sealed file of anybody, alive or not. A translation that
// its owner is at is published once all the same.
func (in *Instance) FinishStuck(f Found, finish Finish) error {
	n := f.Name
	s := &Sealed{in: in, Name: n, path: f.Path}
	if ours, err := s.redo(); ours {
		return err
	}
	if finish != nil {
		_, err := finish(s)
		return err
	}
	return nil
}
