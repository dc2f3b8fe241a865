package spool

import (
	"context"
	"errors"
	"maps"
	"slices"
	"syscall"
	"time"

	"fencepost/spool/env/drill"
)

// Balance is an audit: accepted = the sum of the places, difference 0. It is
// counted from names on disk alone.
type Balance struct {
	Accepted   int      `json:"accepted"`
	Accepting  int      `json:"accepting"`
	Waiting    int      `json:"waiting"`
	Claimed    int      `json:"claimed"`
	Sealed     int      `json:"sealed"`
	Held       int      `json:"held"`
	Parked     int      `json:"parked"`
	Failed     int      `json:"failed"`
	Done       int      `json:"done"`
	HandedOver int      `json:"handed_over"`
	Vanished   []string `json:"vanished"`   // accepted, and nowhere
	Duplicated []string `json:"duplicated"` // two files that are not a sealed file and its successor
	Ungated    []string `json:"ungated"`    // has a place, but never passed the gate: a foreign writer's
	Difference int      `json:"difference"`
}

// OK says whether the balance is right.
func (b Balance) OK() bool {
	return b.Difference == 0 && len(b.Vanished) == 0 && len(b.Duplicated) == 0
}

// auditPass is what one listing of everything showed.
type auditPass struct {
	accepted map[string]bool
	gates    map[string]bool // the gate's buckets
	skipped  map[string]bool // those that weren't listed
	busy     map[string]bool // buckets of what is no place of a job, and may become one
	found    map[string][]Found
}

// Audit counts every job. A suspect (nowhere, or in two places) is looked for
// twice more, wait apart, before it is reported: on a live spool a job may move
// between two listings. wait is a lease time.
func (s *Spool) Audit(ctx context.Context, wait time.Duration) (Balance, error) {
	first, err := s.auditPass()
	if err != nil {
		return Balance{}, err
	}
	vanished, duplicated, ungated := first.suspects()
	if ungated, err = s.withoutRemoved(first, ungated); err != nil {
		return Balance{}, err
	}
	for range 2 {
		if len(vanished)+len(duplicated)+len(ungated) == 0 || drill.Broken(s.Env, drill.RecoverOnePass) {
			break
		}
		if err := s.Env.Sleep(ctx, wait); err != nil {
			return Balance{}, err
		}
		again, err := s.auditPass()
		if err != nil {
			return Balance{}, err
		}
		first.settle(again, &vanished, &duplicated, &ungated)
	}
	return first.balance(vanished, duplicated, ungated), nil
}

func (s *Spool) auditPass() (*auditPass, error) {
	p := &auditPass{accepted: map[string]bool{}, found: map[string][]Found{}}
	// The gate first: what is accepted later is not missed later.
	if err := s.Accepted(func(id string) { p.accepted[id] = true }); err != nil {
		return nil, err
	}
	sc := &scan{s: s, visit: func(f Found) {
		p.found[f.Name.ID] = append(p.found[f.Name.ID], f)
	}}
	// In the order of the flow; claims and sealed again after json, since a job
	// that is claimed from there between two listings would always be missed.
	err := errors.Join(sc.drafts(), sc.entries(Translate), sc.owned(DirClaims), sc.owned(DirSealed), sc.entries(Submit),
		sc.owned(DirClaims), sc.owned(DirSealed),
		sc.aside(DirHeld, PlaceHeld), sc.aside(DirParked, PlaceParked), sc.aside(DirFailed, PlaceFailed), sc.done(nil))
	// Not in a map's order: looks are effects, and a run must be repeatable.
	for _, id := range slices.Sorted(maps.Keys(p.found)) {
		if p.found[id] = s.linked(id, dedupe(p.found[id])); len(p.found[id]) == 0 {
			delete(p.found, id)
		}
	}
	return p, err
}

// linked leaves out what is no place of the job: it would hide that it vanished,
// or pass for a second copy.
//
// Accept drafts that aren't what the gate has: those of a duplicate, or of a client
// that was never answered. And the record of a handover that the job came back from.
func (s *Spool) linked(id string, found []Found) []Found {
	found = slices.DeleteFunc(found, func(f Found) bool {
		if f.Place != PlaceAccepting {
			return false
		}
		draft, derr := s.FS.Identify(f.Path)
		gate, gerr := s.FS.Identify(gates(f.Name)[0])
		if isErr(derr, syscall.ENOENT, syscall.ESTALE) {
			return true // it went on since
		}
		return derr == nil && gerr == nil && draft != gate
	})
	return s.withoutLeft(id, found)
}

// withoutLeft leaves out the record of a handover that the job came back from, if
// that is the furthest file that there is of it.
func (s *Spool) withoutLeft(id string, found []Found) []Found {
	if len(found) == 0 || Furthest(found).Place != PlaceHandedOver || Furthest(found).Name.Stage != Translate {
		return found
	}
	if _, err := s.FS.Identify(StageGatePath(Submit, id)); err != nil {
		return found // the foreign program has it still
	}
	return slices.DeleteFunc(found, func(f Found) bool { return f.Place == PlaceHandedOver })
}

func (p *auditPass) suspects() (vanished, duplicated, ungated []string) {
	for id := range p.accepted {
		switch found := p.found[id]; {
		case len(found) == 0:
			vanished = append(vanished, id)
		case twice(found):
			duplicated = append(duplicated, id)
		}
	}
	for id, found := range p.found {
		// A draft that isn't linked yet is a job that isn't accepted yet.
		if !p.accepted[id] && Furthest(found).Place != PlaceAccepting {
			ungated = append(ungated, id)
		}
	}
	slices.Sort(vanished)
	slices.Sort(duplicated)
	slices.Sort(ungated)
	return vanished, duplicated, ungated
}

// twice says whether a job has two files that aren't a sealed translation and
// what it published: those are one job between publish and retire.
func twice(found []Found) bool {
	before, after, sealed, left := 0, 0, 0, 0
	for _, f := range found {
		switch {
		case f.Place == PlaceHandedOver && f.Name.Stage == Translate:
			left++ // it may have come back
		case f.Name.Stage == Submit:
			after++
		case f.Place == PlaceSealed:
			sealed++
		default:
			before++
		}
	}
	return before+sealed+left > 1 || after > 1 || before > 0 && after > 0
}

// settle keeps the suspects that a later pass didn't clear. A job that was seen
// twice since it moved has other names the next time.
//
// A job whose records are being removed leaves the gate first: it isn't accepted any
// more, and counts no more.
func (p *auditPass) settle(again *auditPass, vanished, duplicated, ungated *[]string) {
	*vanished = slices.DeleteFunc(*vanished, func(id string) bool {
		if !again.accepted[id] {
			delete(p.accepted, id)
			return true
		}
		if len(again.found[id]) == 0 {
			return false
		}
		p.found[id] = again.found[id]
		return true
	})
	*duplicated = slices.DeleteFunc(*duplicated, func(id string) bool {
		still := twice(again.found[id]) && samePaths(p.found[id], again.found[id])
		p.found[id] = again.found[id]
		return !still
	})
	*ungated = slices.DeleteFunc(*ungated, func(id string) bool {
		return again.accepted[id] || len(again.found[id]) == 0
	})
}

// samePaths says whether two files of the first look are there in the second.
func samePaths(a, b []Found) bool {
	n := 0
	for _, f := range a {
		if slices.ContainsFunc(b, func(g Found) bool { return g.Path == f.Path }) {
			n++
		}
	}
	return n > 1
}

// Furthest is the file that is furthest in the flow; found is not empty.
func Furthest(found []Found) Found {
	best := found[0]
	for _, f := range found[1:] {
		if rank(f) > rank(best) {
			best = f
		}
	}
	return best
}

// rank is how far a file is in the flow.
func rank(f Found) int {
	r := slices.Index(Places(), f.Place)
	if f.Name.Stage == Submit {
		r += len(Places())
	}
	if f.Place == PlaceDone {
		r += 2 * len(Places())
	}
	return r
}

func (p *auditPass) balance(vanished, duplicated, ungated []string) Balance {
	b := Balance{Accepted: len(p.accepted), Vanished: vanished, Duplicated: duplicated, Ungated: ungated}
	sum := 0
	for id := range p.accepted {
		found := p.found[id]
		if len(found) == 0 {
			continue
		}
		sum++
		*b.count(Furthest(found).Place)++
	}
	b.Difference = b.Accepted - sum
	for _, list := range []*[]string{&b.Vanished, &b.Duplicated, &b.Ungated} {
		if *list == nil {
			*list = []string{}
		}
	}
	return b
}

func (b *Balance) count(p Place) *int {
	return map[Place]*int{PlaceAccepting: &b.Accepting, PlaceWaiting: &b.Waiting, PlaceClaimed: &b.Claimed, PlaceSealed: &b.Sealed,
		PlaceHeld: &b.Held, PlaceParked: &b.Parked, PlaceFailed: &b.Failed, PlaceHandedOver: &b.HandedOver, PlaceDone: &b.Done}[p]
}
