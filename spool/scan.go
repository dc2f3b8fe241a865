package spool

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"
)

// Place says where a job is, in one word.
type Place string

// The places of a job. A job counts once, at its furthest.
const (
	PlaceAccepting Place = "accepting"
	PlaceWaiting   Place = "waiting"
	PlaceClaimed   Place = "claimed"
	PlaceSealed    Place = "sealed"
	PlaceHeld      Place = "held"
	PlaceParked    Place = "parked"
	PlaceFailed    Place = "failed"
	PlaceDone      Place = "done"

	// PlaceHandedOver: a foreign program does its stage. From translate a job
	// may come back, at submit: then its place is there.
	PlaceHandedOver Place = "handed_over"
)

// Places lists them in the order of the flow.
func Places() []Place {
	return []Place{PlaceAccepting, PlaceWaiting, PlaceClaimed, PlaceSealed, PlaceHeld, PlaceParked, PlaceFailed, PlaceHandedOver, PlaceDone}
}

// Found is one file of a job.
type Found struct {
	Name  Name // Host and Epoch: whose claim or sealed file it is, or who did it
	Place Place
	Path  string // relative to the spool
}

// scan lists parts of the spool. Each method calls visit with what parses, and
// foreign, if it is set, with what doesn't.
type scan struct {
	s       *Spool
	visit   func(Found)
	foreign func(file string)
	other   func(Name) // may be nil: told of copies, and of what is being adopted
}

// Scan lists every job once or more often, in the order of the flow; only those
// in some places, if there are any. On a live spool it is a hint: jobs move
// meanwhile.
func (s *Spool) Scan(visit func(Found), places ...Place) (err error) {
	sc := &scan{s: s, visit: visit}
	for _, part := range []struct {
		place Place
		list  func() error
	}{
		{PlaceAccepting, sc.drafts},
		{PlaceWaiting, func() error { return sc.entries(Translate) }},
		{PlaceClaimed, func() error { return sc.owned(DirClaims) }},
		{PlaceSealed, func() error { return sc.owned(DirSealed) }},
		{PlaceWaiting, func() error { return sc.entries(Submit) }},
		{PlaceHeld, func() error { return sc.aside(DirHeld, PlaceHeld) }},
		{PlaceParked, func() error { return sc.aside(DirParked, PlaceParked) }},
		{PlaceFailed, func() error { return sc.aside(DirFailed, PlaceFailed) }},
		{PlaceDone, func() error { return sc.done(nil) }},
	} {
		if len(places) == 0 || slices.Contains(places, part.place) {
			err = errors.Join(err, part.list())
		}
	}
	return err
}

func (sc *scan) list(dir string) ([]string, error) {
	names, err := sc.s.FS.List(dir)
	if isErr(err, syscall.ENOENT, syscall.ESTALE) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	return names, nil
}

// listBelow lists a directory below one of the layout's. A file that stands in
// its place is foreign: it must not hide the others.
func (sc *scan) listBelow(dir string) ([]string, error) {
	names, err := sc.list(dir)
	if isErr(err, syscall.ENOTDIR) {
		sc.stray(path.Split(dir))
		return nil, nil
	}
	return names, err
}

func (sc *scan) noPlace(n Name) {
	if sc.other != nil {
		sc.other(n)
	}
}

func (sc *scan) stray(dir, name string) {
	if sc.foreign != nil {
		sc.foreign(path.Join(dir, name))
	}
}

// drafts finds accept drafts: whether one counts depends on the gate.
func (sc *scan) drafts() error {
	return sc.epochs(DirDrafts, func(host string, epoch uint64, dir, name string) {
		n, ok := ParseDraft(name)
		n.Host, n.Epoch = host, epoch
		switch {
		case !ok:
			sc.stray(dir, name)
		case n.Stage == KindAccept:
			if n.Stage = Ingest; stageOf(n) != Translate {
				n.Stage = stageOf(n)
			}
			sc.visit(Found{n, PlaceAccepting, path.Join(dir, name)})
		}
	})
}

func (sc *scan) entries(stage Stage) error {
	d := sc.s.Layout.Input(stage)
	names, err := sc.list(d.Dir)
	for _, name := range names {
		n, ok := ParseEntry(name)
		if !ok || n.Ext != d.Ext {
			if !IsCanary(name, d.Ext) {
				sc.stray(d.Dir, name)
			}
			continue
		}
		n.Stage = stage
		sc.visit(Found{n, PlaceWaiting, path.Join(d.Dir, name)})
	}
	return err
}

// owned finds claims or sealed files of all hosts and epochs.
func (sc *scan) owned(base string) error {
	place, parse := PlaceClaimed, ParseClaim
	if base == DirSealed {
		place, parse = PlaceSealed, ParseSealed
	}
	return sc.epochs(base, func(host string, epoch uint64, dir, name string) {
		n, ok := parse(name)
		if !ok {
			// What is being adopted is no job yet, or has a place already.
			if n, adopt := ParseAdopt(name); !adopt || base != DirClaims {
				sc.stray(dir, name)
			} else {
				sc.noPlace(n)
			}
			return
		}
		n.Host, n.Epoch = host, epoch
		sc.visit(Found{n, place, path.Join(dir, name)})
	})
}

func (sc *scan) epochs(base string, visit func(host string, epoch uint64, dir, name string)) error {
	all, err := sc.s.Epochs(base)
	for _, o := range all {
		dir := EpochDir(base, o.Host, o.Epoch)
		names, lerr := sc.listBelow(dir)
		err = errors.Join(err, lerr)
		for _, name := range names {
			visit(o.Host, o.Epoch, dir, name)
		}
	}
	return err
}

// Epochs lists the HOST/EPOCH directories below claims, sealed or drafts,
// whether the host is on the roster or not.
func (s *Spool) Epochs(base string) ([]Over, error) {
	hosts, err := s.FS.List(base)
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	slices.Sort(hosts)
	var out []Over
	for _, host := range hosts {
		if !validOwner(host) {
			continue
		}
		names, lerr := s.FS.List(path.Join(base, host))
		if lerr != nil && !isErr(lerr, syscall.ENOENT, syscall.ESTALE, syscall.ENOTDIR) {
			err = errors.Join(err, lerr)
		}
		for _, name := range names {
			if epoch, ok := parseEpoch(name); ok {
				out = append(out, Over{Host: host, Epoch: epoch})
			}
		}
	}
	return out, err
}

func (sc *scan) aside(dir string, place Place) error {
	names, err := sc.list(dir)
	for _, name := range names {
		n, ok := ParseAside(name)
		if ok {
			sc.visit(Found{n, place, path.Join(dir, name)})
			continue
		}
		_, why := ParseWhy(name)
		n, copied := ParseCopy(name)
		if copied {
			sc.noPlace(n)
		}
		_, refused := ParseRefused(name)
		if !why && !copied && !refused {
			sc.stray(dir, name)
		}
	}
	return err
}

// done lists the final records; only those in buckets that want lets pass.
func (sc *scan) done(want func(bucket string) bool) error {
	buckets, err := sc.list(DirDone)
	for _, b := range buckets {
		if want != nil && !want(b) {
			continue
		}
		dir := path.Join(DirDone, b)
		names, lerr := sc.listBelow(dir)
		err = errors.Join(err, lerr)
		for _, name := range names {
			n, ok := ParseDone(name)
			if !ok || Bucket(n.ID) != b {
				sc.stray(dir, name)
				continue
			}
			place := PlaceDone
			if IsHandover(n) {
				place = PlaceHandedOver
			}
			sc.visit(Found{n, place, path.Join(dir, name)})
		}
	}
	return err
}

// Accepted lists the ids that passed the gate.
func (s *Spool) Accepted(visit func(id string)) error { return s.AcceptedLike("", visit) }

// AcceptedLike lists those that begin with prefix, and no bucket that can't hold
// one.
func (s *Spool) AcceptedLike(prefix string, visit func(id string)) error {
	sc := &scan{s: s}
	// Made by init, never removed: without it this is not the spool.
	buckets, err := s.FS.List(DirGate)
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	for _, b := range buckets {
		if !mayHold(b, prefix) {
			continue
		}
		names, lerr := sc.listBelow(path.Join(DirGate, b))
		err = errors.Join(err, lerr)
		for _, name := range names {
			if strings.HasPrefix(name, prefix) && ValidID(name) && Bucket(name) == b {
				visit(name)
			}
		}
	}
	return err
}

// OldestBucket is the first of the gate's buckets that is a slice of time; "" = none.
func (s *Spool) OldestBucket() (string, error) {
	buckets, err := s.FS.List(DirGate)
	if err != nil {
		return "", fmt.Errorf("list: %w", err)
	}
	oldest := ""
	for _, b := range buckets {
		if timed(b) && (oldest == "" || b < oldest) {
			oldest = b
		}
	}
	return oldest, nil
}

// mayHold says whether a bucket can hold ids that begin with prefix.
func mayHold(bucket, prefix string) bool {
	if strings.HasPrefix(bucket, "r") {
		return len(prefix) < 15 || prefix[14] != '7'
	}
	n := min(len(bucket), len(prefix))
	return bucket[:n] == prefix[:n]
}

// resolveShown is how many candidates an ambiguous prefix is answered with.
const resolveShown = 8

// Resolve finds the one accepted job whose id begins with prefix.
func (s *Spool) Resolve(prefix string) (string, error) {
	prefix = strings.ToLower(prefix)
	hits := make([]string, 0, 64*resolveShown) // of a million, the first few are kept
	err := s.AcceptedLike(prefix, func(id string) {
		if hits = append(hits, id); len(hits) == cap(hits) {
			slices.Sort(hits)
			hits = hits[:resolveShown]
		}
	})
	slices.Sort(hits)
	hits = hits[:min(len(hits), resolveShown)]
	switch {
	case err != nil:
		return "", err
	case len(hits) == 0:
		return "", fmt.Errorf("%w: %s", ErrNotFound, prefix)
	case len(hits) > 1:
		return "", fmt.Errorf("%w %s: %s", ErrAmbiguous, prefix, strings.Join(hits, ", "))
	}
	return hits[0], nil
}

// Locate finds the files of one job: one, or two while it moves; none, if it came
// back from a foreign program and isn't anywhere else.
func (s *Spool) Locate(id string) ([]Found, error) {
	found, err := s.LocateAll([]string{id})
	return found[id], err
}

// LocateAll is Locate for several jobs, by the same listings.
func (s *Spool) LocateAll(ids []string) (map[string][]Found, error) {
	out, buckets := map[string][]Found{}, map[string]bool{}
	for _, id := range ids {
		out[id], buckets[Bucket(id)] = nil, true
	}
	sc := &scan{s: s, visit: func(f Found) {
		if have, wanted := out[f.Name.ID]; wanted {
			out[f.Name.ID] = append(have, f)
		}
	}}
	bucket := func(b string) bool { return buckets[b] }
	onTheWay := func(id string) bool { return len(out[id]) == 0 || Furthest(out[id]).Place == PlaceHandedOver }
	err := errors.Join(sc.done(bucket), sc.aside(DirFailed, PlaceFailed), sc.aside(DirParked, PlaceParked), sc.aside(DirHeld, PlaceHeld))
	if slices.ContainsFunc(ids, onTheWay) {
		err = errors.Join(err, sc.drafts(), sc.entries(Translate), sc.owned(DirClaims), sc.owned(DirSealed), sc.entries(Submit),
			sc.owned(DirClaims), sc.owned(DirSealed), sc.done(bucket))
	}
	for _, id := range ids {
		out[id] = s.withoutLeft(id, dedupe(out[id]))
	}
	return out, err
}

func dedupe(found []Found) []Found {
	seen := map[string]bool{}
	return slices.DeleteFunc(found, func(f Found) bool {
		dup := seen[f.Path]
		seen[f.Path] = true
		return dup
	})
}
