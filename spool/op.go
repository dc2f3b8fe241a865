package spool

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"syscall"

	"fencepost/spool/env/drill"
	"fencepost/spool/vfs"
)

// A Verdict is what is known after a mutating operation and, if it answered
// with an error, a look. See docs/crash-safety.md#three-outcomes.
type Verdict int

// The verdicts. The zero value is the careful one.
const (
	Unknown Verdict = iota // not even the look worked
	Done                   // done by us, or in effect: see each operation
	NotDone                // not done, and can't happen later: may be tried again
	Gone                   // the source isn't ours any more; it may have been done and carried on by a successor
	Taken                  // a link's name belongs to another file
)

func (v Verdict) String() string {
	return [...]string{"unknown", "done", "not done", "gone", "taken"}[v]
}

// tries of an operation that a look proved undone.
const attempts = 4

func isErr(err error, errnos ...syscall.Errno) bool {
	for _, e := range errnos {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// has lists dir afresh and says whether it holds name. A directory that is not
// there holds nothing: present is then false and dirGone true.
func (s *Spool) has(name string) (present, dirGone bool, err error) {
	if drill.Broken(s.Env, drill.StatForList) {
		_, err = s.FS.Identify(name)
		return err == nil, false, nil
	}
	names, err := s.list(path.Dir(name))
	if isErr(err, syscall.ENOENT, syscall.ESTALE) {
		return false, true, nil
	}
	return slices.Contains(names, path.Base(name)), false, err
}

// passed says whether a file ever got a gate's name. Such names are linked once and
// stay, so that one answer which shows it is enough. That it isn't there must be
// said by an open and a listing, twice: what is decided on it is never taken back.
func (s *Spool) passed(gate string) (bool, error) {
	for range 2 {
		if _, err := s.FS.Identify(gate); err == nil {
			return true, nil
		} else if !isErr(err, syscall.ENOENT, syscall.ESTALE) {
			return false, err
		}
		if there, _, err := s.has(gate); there || err != nil {
			return there, err
		}
	}
	return false, nil
}

// list lists dir afresh, though a client's cache may say that it isn't there.
func (s *Spool) list(dir string) ([]string, error) {
	if drill.Broken(s.Env, drill.StaleBucket) {
		return s.FS.List(dir)
	}
	return vfs.ListAfresh(s.FS, dir)
}

// moveToToken renames from to a name that holds a token, so that whoever finds
// it there knows who moved it: there = done by us. Not there = Gone, or NotDone
// if the source is still in its place. A bucket that is missing is made first.
//
// A look that finds the source may still be wrong about a rename in flight (an
// interrupted call, a soft mount): so NotDone leads to another try of the same
// rename, or to nothing; what lands later is found by the own sweep.
func (s *Spool) moveToToken(from, to string) (Verdict, error) {
	return s.moveToTokenIn(attempts, from, to)
}

func (s *Spool) moveToTokenIn(tries int, from, to string) (Verdict, error) {
	var err error
	for range tries {
		if err = s.FS.Rename(from, to); err == nil {
			return Done, nil
		}
		if drill.Broken(s.Env, drill.ENOENTLost) {
			return Gone, err
		}
		there, _, lerr := s.has(to)
		if lerr != nil {
			return Unknown, errors.Join(err, lerr)
		}
		if there {
			drill.Reached(s.Env, drill.LookFoundDone)
			return Done, nil
		}
		left, _, lerr := s.has(from)
		if lerr != nil {
			return Unknown, errors.Join(err, lerr)
		}
		if !left {
			return Gone, err
		}
		if isErr(err, syscall.ENOENT) {
			if merr := s.makeBucket(path.Dir(to)); merr != nil {
				return NotDone, errors.Join(err, merr)
			}
		}
	}
	return NotDone, err
}

// moveFromToken renames a name that holds a token to one that doesn't. It is
// decided by its source: gone = Done, by us or by a successor; still there =
// tried again. A bucket that is missing is made first.
//
// Gone is what the server says twice, with a listing after each: a rename that
// failed for another reason together with one listing that was stale, or failed
// (ESTALE), would else pass for done, and what waits for it would be retired.
func (s *Spool) moveFromToken(from, to string) (Verdict, error) {
	var err error
	gone := false
	for range attempts {
		if err = s.FS.Rename(from, to); err == nil {
			return Done, nil
		}
		left, _, lerr := s.has(from)
		if lerr != nil {
			return Unknown, errors.Join(err, lerr)
		}
		absent := isErr(err, syscall.ENOENT, syscall.ESTALE)
		if !left && gone && absent {
			drill.Reached(s.Env, drill.SourceGone)
			return Done, nil
		}
		gone = !left
		if left && absent {
			if merr := s.makeBucket(path.Dir(to)); merr != nil {
				return NotDone, errors.Join(err, merr)
			}
		}
	}
	return NotDone, err
}

// linkOnce links from, whose identity is id, to a name that lets one file in.
// Done = the name is a link of this very file, whoever made it. Taken = it is
// another file. Gone = the source is gone and the name isn't ours.
func (s *Spool) linkOnce(from, to string, id vfs.ID) (Verdict, error) {
	var err error
	verdict := NotDone
	for range attempts {
		if err = s.FS.Link(from, to); err == nil {
			return Done, nil
		}
		other, oerr := s.FS.Identify(to)
		if oerr == nil {
			if other == id || drill.Broken(s.Env, drill.GateAnyone) {
				drill.Reached(s.Env, drill.LinkIsOurs)
				return Done, nil
			}
			return Taken, nil
		}
		if !isErr(oerr, syscall.ENOENT, syscall.ESTALE) {
			return Unknown, errors.Join(err, oerr)
		}
		// "Not there" by open may be stale: the listing is not.
		there, _, lerr := s.has(to)
		if lerr != nil {
			return Unknown, errors.Join(err, lerr)
		}
		if there {
			verdict = Unknown // whose, the next open may tell
			continue
		}
		verdict = NotDone
		left, _, lerr := s.has(from)
		if lerr != nil {
			return Unknown, errors.Join(err, lerr)
		}
		if !left {
			return Gone, err
		}
		if merr := s.makeBucket(path.Dir(to)); merr != nil {
			return NotDone, errors.Join(err, merr)
		}
	}
	return verdict, err
}

// removeName removes a name that nobody else needs. ENOENT is done.
func (s *Spool) removeName(name string) error {
	var err error
	for range attempts {
		err = s.FS.Remove(name)
		if err == nil || isErr(err, syscall.ENOENT, syscall.ESTALE) {
			return nil
		}
	}
	return err
}

// makeBucket makes a bucket directory, if it is missing, and the entry durable
// in its parent. Protocol directories of instances are never made this way.
func (s *Spool) makeBucket(dir string) error {
	parent := path.Dir(dir)
	switch parent {
	case DirGate, DirOnce, DirDone, DirStarted:
	default:
		return nil // not a bucket: its absence means something
	}
	if err := s.FS.Mkdir(dir); err != nil && !isErr(err, syscall.EEXIST) {
		return fmt.Errorf("make bucket: %w", err)
	}
	return s.FS.Sync(parent)
}

// rmdirEmpty removes a directory: true only if it is proven to be gone. That it
// isn't there any more counts once the server has said so twice, with a fresh
// listing of its parent after each: ESTALE, or ENOENT out of a client's cache,
// says nothing about a directory whose removal is a fence.
func (s *Spool) rmdirEmpty(dir string) (bool, error) {
	var err error
	gone := false
	for range attempts {
		err = s.FS.Rmdir(dir)
		switch {
		case err == nil:
			return true, nil
		case isErr(err, syscall.ENOTEMPTY, syscall.EEXIST):
			return false, nil
		case !isErr(err, syscall.ENOENT, syscall.ESTALE):
			gone = false
			continue
		}
		there, _, lerr := s.has(dir)
		if lerr != nil {
			return false, errors.Join(err, lerr)
		}
		if !there && gone {
			return true, nil
		}
		gone = !there
	}
	return false, err
}
