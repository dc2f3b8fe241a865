package spool

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"syscall"
	"time"

	"fencepost/spool/env/drill"
)

// Retained is what the names in retention/ say.
type Retained struct {
	Wanted   string            // bucket up to which somebody wants to remove; "" = nobody does
	Closed   string            // nothing of this bucket or one before is let in, ever again; "" = all is open
	Promised map[string]string // by HOST/EPOCH: up to which that instance lets nothing in

	marks []string // that later ones have made void
}

// Retained lists retention/ afresh.
func (s *Spool) Retained() (Retained, error) {
	r := Retained{Promised: map[string]string{}}
	names, err := s.list(DirRetention)
	if isErr(err, syscall.ENOENT) { // a spool of an earlier version, or else it counts for nothing
		there, _, lerr := s.has(DirRetention)
		if lerr == nil && !there {
			return r, nil
		}
		err = errors.Join(err, lerr)
	}
	if err != nil {
		return r, fmt.Errorf("look at what is closed: %w", err)
	}
	last := map[string]Mark{}
	slices.Sort(names)
	for _, name := range names {
		m, ok := ParseMark(name)
		if !ok {
			continue
		}
		of := m.Kind + m.whose()
		if old, known := last[of]; known {
			r.marks = append(r.marks, FormatMark(Mark{Kind: m.Kind, Host: m.Host, Epoch: m.Epoch, Bucket: min(old.Bucket, m.Bucket)}))
			m.Bucket = max(old.Bucket, m.Bucket)
		}
		last[of] = m
	}
	for _, of := range slices.Sorted(maps.Keys(last)) {
		m := last[of]
		switch m.Kind {
		case MarkWanted:
			r.Wanted = m.Bucket
		case MarkClosed:
			r.Closed = m.Bucket
		default:
			r.Promised[m.whose()] = m.Bucket
		}
	}
	return r, nil
}

func (m Mark) whose() string {
	if m.Kind != MarkPromised {
		return ""
	}
	return ownerOf(m.Host, m.Epoch)
}

func ownerOf(host string, epoch uint64) string { return host + "/" + strconv.FormatUint(epoch, 10) }

// IsClosed says whether an id is of a time that is closed: if it isn't in the gate,
// its records were removed, or it never was.
func (r Retained) IsClosed(id string) bool { return Bucket(id) <= r.Closed }

// mark makes a name in retention/, durable. One that is there already is as good.
func (s *Spool) mark(m Mark) error {
	name := path.Join(DirRetention, FormatMark(m))
	var err error
	for range attempts {
		if _, err = s.FS.Create(name, nil); err == nil || isErr(err, syscall.EEXIST) {
			return s.FS.Sync(DirRetention)
		}
		there, dirGone, lerr := s.has(name)
		switch {
		case lerr != nil:
			return errors.Join(err, lerr)
		case there:
			return s.FS.Sync(DirRetention)
		case dirGone:
			if merr := s.makeRetention(); merr != nil {
				return errors.Join(err, merr)
			}
		}
	}
	return fmt.Errorf("mark %s: %w", name, err)
}

// makeRetention makes the directory on a spool of an earlier version.
func (s *Spool) makeRetention() error {
	if err := s.FS.Mkdir(DirRetention); err != nil && !isErr(err, syscall.EEXIST) {
		return fmt.Errorf("make %s: %w", DirRetention, err)
	}
	return s.FS.Sync(".")
}

// ---- an instance's promise ------------------------------------------------------

// lookClosed looks what is closed, before this instance lets anything in, and after
// its directories were made: who removes looks for directories after it made its
// mark. So either this look sees the mark, or that one the directories.
func (in *Instance) lookClosed() error {
	if drill.Broken(in.Env, drill.AcceptClosed) {
		return nil
	}
	for range 2 { // one listing may be an old one
		r, err := in.Retained()
		if err != nil {
			return err
		}
		in.closed = max(in.closed, r.Closed)
	}
	return nil
}

// letIn begins an accept, unless the id is of a time that is closed for this
// instance; letInEnds ends it.
func (in *Instance) letIn(id string) error {
	b := Bucket(id)
	in.mu.Lock()
	defer in.mu.Unlock()
	if b <= in.closed {
		return fmt.Errorf("%w: what was made before %s is closed", ErrTooOld, BucketEnd(in.closed).Format(time.RFC3339))
	}
	in.accept[b]++
	return nil
}

func (in *Instance) letInEnds(id string) {
	b := Bucket(id)
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.accept[b]--; in.accept[b] == 0 {
		delete(in.accept, b)
	}
}

// open is the time, or the first one that isn't closed: of an id that is made here.
func (in *Instance) open(t time.Time) time.Time {
	in.mu.Lock()
	defer in.mu.Unlock()
	if bucketAt(t) <= in.closed {
		return BucketEnd(in.closed)
	}
	return t
}

func (in *Instance) closedUpTo() string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.closed
}

// promise lets no id of a bucket, or of one before it, in from now on, and says so on
// the share, once what was let in before has ended: no accept is under way, and no
// draft of one is left that could yet be linked. done = it is said.
func (in *Instance) promise(bucket string) (done bool, err error) {
	in.mu.Lock()
	in.closed = max(in.closed, bucket)
	busy := false
	for b := range in.accept {
		busy = busy || b <= bucket
	}
	in.mu.Unlock()
	if busy {
		return false, nil
	}
	for range 2 { // one listing may be an old one
		names, err := in.list(in.drafts())
		if isErr(err, syscall.ENOENT, syscall.ESTALE) {
			return false, errors.Join(err, in.checkFenced(in.drafts()))
		}
		if err != nil {
			return false, fmt.Errorf("look for own drafts: %w", err)
		}
		for _, name := range names {
			n, ok := ParseDraft(name)
			if ok && (n.Stage == KindNew || n.Stage == KindAccept) && Bucket(n.ID) <= bucket {
				return false, nil // the own sweep carries it on
			}
		}
	}
	return true, in.mark(Mark{Kind: MarkPromised, Host: in.Host, Epoch: in.Epoch, Bucket: bucket})
}

// ---- what comes back later -------------------------------------------------------

// notRemoved says, behind the exit gate, whether a job may go on: Taken = its records
// were removed, and its name at the exit gate with them, so that this is a second copy
// of it. Who removes takes the gate's name first; so if that is there, the exit gate
// was whole when it was passed. A job that is younger than what is closed costs no look.
func (in *Instance) notRemoved(id string) (Verdict, error) {
	if Bucket(id) > in.closedUpTo() {
		return Done, nil
	}
	for range 2 { // one listing may be an old one
		there, _, err := in.has(GatePath(id))
		if err != nil {
			return Unknown, fmt.Errorf("look whether %s was removed: %w", id, err)
		}
		if !there {
			return Taken, nil
		}
	}
	return Done, nil
}

// tooLate says whether an accept's draft must not be rolled forward any more: it is of
// a time that is closed, and isn't the gate's. That can't come about, since nothing is
// closed while the directory of a draft is there; but a person may bring back files.
func (in *Instance) tooLate(n Name) (bool, error) {
	if Bucket(n.ID) > in.closedUpTo() {
		return false, nil
	}
	r, err := in.Retained()
	if err != nil || !r.IsClosed(n.ID) {
		return false, err
	}
	for _, gate := range gates(n) {
		there, err := in.passed(gate)
		if err != nil || there {
			return false, err
		}
	}
	return true, nil
}

// withoutRemoved leaves out what has a final record and no gate because its records
// are being removed.
func (s *Spool) withoutRemoved(p *auditPass, ungated []string) ([]string, error) {
	if len(ungated) == 0 {
		return ungated, nil
	}
	r, err := s.Retained()
	return slices.DeleteFunc(ungated, func(id string) bool { return r.IsClosed(id) && s.Layout.hasEnded(p.found[id]) }), err
}

// ---- who hasn't promised -----------------------------------------------------------

// Unpromised are the epochs that may let in ids of a bucket: all that have
// directories, and haven't promised not to.
func (s *Spool) Unpromised(bucket string, r Retained) ([]string, error) {
	there, err := s.mayAccept()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(there, func(owner string) bool { return r.Promised[owner] >= bucket }), nil
}

// mayAccept lists the epochs that have, or will have, a directory for drafts. What a
// client's cache hides must not be overlooked here.
func (s *Spool) mayAccept() ([]string, error) {
	found := map[string]bool{}
	for _, base := range []string{DirClaims, DirDrafts} { // claims is made first, drafts goes last
		hosts, err := s.list(base)
		if err != nil {
			return nil, fmt.Errorf("look who may accept: %w", err)
		}
		slices.Sort(hosts)
		for _, host := range hosts {
			epochs, err := s.list(path.Join(base, host))
			if !validOwner(host) || isErr(err, syscall.ENOTDIR) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("look who may accept: %w", err)
			}
			for _, e := range epochs {
				if _, ok := parseEpoch(e); ok {
					found[host+"/"+e] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}
