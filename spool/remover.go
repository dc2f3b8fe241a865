package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"fencepost/spool/env/drill"
)

// Remover removes the records of jobs that ended long ago: their names in gate/,
// once/ and done/, and the buckets. A bucket goes as a whole, when each of its jobs has
// its final record, nothing else of them is anywhere, and that has been so for a while.
//
// That an id whose gate is gone can't come in again rests on no clock. First the
// remover says what it wants to remove. Every instance that may accept, on whatever
// host, promises that it lets nothing of that time in any more, or removal waits: what
// hasn't promised is asked again, or fenced, or stopped by a person. Then the time is
// closed, by a mark that stays, which each later instance looks for before it accepts.
// Then the directories are looked at again: see lookClosed. Only then names go: the
// gate's, proven gone by its rmdir; then those of the exit gate; then the records. So
// while a record is missing, its gate is.
//
// Clocks decide when that is worth while, and for whom: a host whose clock says that a
// time isn't old yet doesn't promise it.
//
// Any number of removers may be at it at once, and any of them may stop anywhere: a
// name of a closed time is never made again, so that a removal that lands late finds
// nothing. It is used by one task.
type Remover struct {
	in     *Instance
	audit  *Auditor
	age    time.Duration // of what may be removed
	settle time.Duration // for so long all of a bucket must have been final

	noted    map[string]time.Time // since when a bucket is final, by the clock of who saw it first
	asked    time.Duration        // last look at the marks
	proven   string               // closed, and nobody can let in what is of that time
	proof    string               // is being proven
	looks    int                  // how many looks said so
	hand     hand                 // what is being removed
	more     bool                 // there was more to do than one turn may
	left     map[string]bool      // buckets that hold what isn't ours: not tried again
	rests    []string             // what removals have left, as of the last search
	searched time.Duration
	counts   RemovedCounts
}

// hand is a directory whose removal was begun: its names were looked at.
type hand struct {
	dir    string
	names  []string
	bucket string // in which a removal was noted
}

// RemovedCounts counts what was removed since the start.
type RemovedCounts struct{ Buckets, Names int }

// DefaultSettle is for how long a bucket must have been final, unless the retention is
// shorter.
const DefaultSettle = 24 * time.Hour

const (
	removedATurn = 500  // calls, about, so that a turn is a matter of some tenths of a second
	callsADir    = 8    // of them beside the removals, in each directory of a bucket
	notedAtMost  = 4096 // buckets whose time runs
	proofLooks   = 2    // one listing may be an old one
	restEvery    = 30   // idle turns between two searches for what removals have left
)

// notesFile says since when which buckets are final. It is a courtesy to people, who
// may want to see a record for a while: two who write it at once may lose a note.
const notesFile = DirRetention + "/final.json"

type finalNotes struct {
	Schema  string               `json:"schema"`
	Buckets map[string]time.Time `json:"buckets"`
}

// NewRemover is a remover beside an auditor, whose looks it uses. settle 0 = the
// default.
func NewRemover(a *Auditor, age, settle time.Duration) *Remover {
	if settle == 0 {
		settle = min(DefaultSettle, age)
	}
	return &Remover{in: a.in, audit: a, age: age, settle: settle, asked: -time.Hour, searched: -24 * time.Hour, left: map[string]bool{}}
}

// Counts returns the counters.
func (r *Remover) Counts() RemovedCounts { return r.counts }

// Idle is the time between two turns in which nothing is removed.
func (r *Remover) Idle() time.Duration { return r.audit.every }

// Turn does a bounded part: it promises what others want closed and, on the host that
// audits, removes. more: there is more to do at once. To be called every second or so.
func (r *Remover) Turn() (more bool, err error) {
	if now := r.in.Env.Now(); !r.more && now-r.asked < r.Idle() {
		return false, nil
	}
	r.asked = r.in.Env.Now()
	defer func() {
		if r.more = more; !more {
			r.hand.names = nil // looked at afresh the next time
		}
	}()
	ret, err := r.in.Retained()
	if err != nil {
		return false, err
	}
	if err := r.promise(ret); err != nil {
		return false, fmt.Errorf("promise: %w", err)
	}
	if !r.audit.mine {
		return false, nil
	}
	// What can't be written, on a full disk, doesn't hold up what makes room.
	due, err := r.due(ret)
	if len(due) == 0 {
		return false, err
	}
	cerr := r.close(ret, due)
	more, rerr := r.removeSome(due)
	return more, errors.Join(err, cerr, rerr)
}

// promise answers what is wanted, as far as the own clock agrees, and says what holds
// already.
func (r *Remover) promise(ret Retained) error {
	own := ownerOf(r.in.Host, r.in.Epoch)
	upTo := max(r.in.closedUpTo(), min(ret.Wanted, bucketBefore(r.in.Env.Wall().Add(-r.age))))
	if upTo <= ret.Promised[own] {
		return nil
	}
	_, err := r.in.promise(upTo)
	return err
}

// due are the buckets that may go, the oldest first: those that have been final for
// long enough, and what is left of those whose removal was begun.
func (r *Remover) due(ret Retained) ([]string, error) {
	wall := r.in.Env.Wall()
	err := r.note(wall)
	oldest := bucketBefore(wall.Add(-r.age))
	var due []string
	for _, b := range slices.Sorted(maps.Keys(r.noted)) {
		if b <= oldest && wall.Sub(r.noted[b]) >= r.settle && r.final(b) {
			due = append(due, b)
		}
	}
	rest, rerr := r.rest(ret)
	due = append(due, rest...)
	due = slices.DeleteFunc(due, func(b string) bool { return r.left[b] || !timed(b) })
	slices.Sort(due)
	return slices.Compact(due), errors.Join(err, rerr)
}

// rest are the buckets that a removal which ended on the way has left: of a time that
// is closed, and without a job in the gate. They are looked for now and then.
func (r *Remover) rest(ret Retained) ([]string, error) {
	if now := r.in.Env.Now(); now-r.searched >= restEvery*r.Idle() {
		found := map[string]bool{}
		for _, base := range []string{DirOnce, DirDone} {
			names, err := r.in.list(base)
			if err != nil {
				return nil, fmt.Errorf("look for what is left of removals: %w", err)
			}
			for _, b := range names {
				found[b] = !r.audit.gates[b]
			}
		}
		for b := range r.audit.gates {
			found[b] = r.audit.buckets[b] == nil
		}
		maps.DeleteFunc(found, func(_ string, rest bool) bool { return !rest })
		r.rests, r.searched = slices.Sorted(maps.Keys(found)), now
	}
	return slices.DeleteFunc(slices.Clone(r.rests), func(b string) bool { return b > ret.Closed || r.audit.busy[b] }), nil
}

// final says that a bucket has been final in all looks of a while.
func (r *Remover) final(b string) bool {
	if drill.Broken(r.in.Env, drill.RemoveUnended) {
		return r.audit.gates[b]
	}
	k := r.audit.buckets[b]
	return k != nil && k.final && !r.audit.busy[b] && k.listed-k.since >= min(quietAfter, r.settle/4)
}

// FinalSince says of buckets that are old enough to be removed since when all of their
// jobs have been seen to have ended.
func (s *Spool) FinalSince() (map[string]time.Time, error) {
	n := finalNotes{}
	data, _, err := s.FS.Read(notesFile, 1<<20)
	if err != nil && !isErr(err, syscall.ENOENT, syscall.ESTALE) {
		return nil, fmt.Errorf("read since when what is final: %w", err)
	}
	_ = json.Unmarshal(data, &n) // torn or strange: the times run anew
	if n.Buckets == nil {
		n.Buckets = map[string]time.Time{}
	}
	return n.Buckets, nil
}

// note keeps since when buckets are final.
func (r *Remover) note(wall time.Time) error {
	if r.noted == nil {
		var err error
		if r.noted, err = r.in.FinalSince(); err != nil {
			return err
		}
	}
	before := maps.Clone(r.noted)
	oldest := bucketBefore(wall.Add(-r.age))
	maps.DeleteFunc(r.noted, func(b string, since time.Time) bool {
		return (r.audit.busy[b] || r.audit.buckets[b] == nil) && !r.final(b) || since.After(wall)
	})
	for _, b := range slices.Sorted(maps.Keys(r.audit.gates)) {
		if _, noted := r.noted[b]; !noted && timed(b) && b <= oldest && r.final(b) && len(r.noted) < notedAtMost {
			r.noted[b] = wall.UTC()
		}
	}
	if maps.Equal(before, r.noted) {
		return nil
	}
	data, err := json.Marshal(finalNotes{Schema: "fencepost.final/v1", Buckets: r.noted})
	if err != nil {
		return err
	}
	if err = r.in.replace(notesFile, data); isErr(err, syscall.ENOENT) {
		if err = r.in.makeRetention(); err == nil {
			err = r.in.replace(notesFile, data)
		}
	}
	return err
}

// close asks for promises up to the last bucket that is due, and closes what all have
// promised. due is not empty.
func (r *Remover) close(ret Retained, due []string) error {
	last := due[len(due)-1]
	if drill.Broken(r.in.Env, drill.RemoveByClock) {
		r.proven = last
		return nil
	}
	if last > ret.Wanted {
		if err := r.in.mark(Mark{Kind: MarkWanted, Bucket: last}); err != nil {
			return err
		}
	}
	there, err := r.in.mayAccept()
	if err != nil {
		return err
	}
	floor := strings.Repeat("f", len(last))
	for _, owner := range there {
		floor = min(floor, ret.Promised[owner])
	}
	// As far as all have promised, however slow the slowest clock is.
	i, found := slices.BinarySearch(due, min(floor, last))
	if !found {
		i--
	}
	if i >= 0 && due[i] > ret.Closed {
		return r.in.mark(Mark{Kind: MarkClosed, Bucket: due[i]})
	}
	return r.prove(ret, floor)
}

// prove looks, after the mark was seen, whether nobody is left who may not know it.
func (r *Remover) prove(ret Retained, floor string) error {
	switch {
	case ret.Closed <= r.proven:
		return nil
	case ret.Closed != r.proof || floor < ret.Closed:
		r.proof, r.looks = ret.Closed, 0
	}
	if floor >= ret.Closed {
		r.looks++
	}
	if r.looks < proofLooks {
		return nil
	}
	r.proven = ret.Closed
	return r.tidy(ret)
}

// tidy removes the marks that later ones have made void, and promises of epochs that
// are over.
func (r *Remover) tidy(ret Retained) error {
	there, err := r.in.mayAccept()
	if err != nil {
		return err
	}
	void := ret.marks
	for _, owner := range slices.Sorted(maps.Keys(ret.Promised)) {
		if !slices.Contains(there, owner) {
			host, epoch, _ := strings.Cut(owner, "/")
			m := Mark{Kind: MarkPromised, Host: host, Bucket: ret.Promised[owner]}
			if m.Epoch, _ = parseEpoch(epoch); m.Epoch != 0 {
				void = append(void, FormatMark(m))
			}
		}
	}
	for _, name := range void {
		err = errors.Join(err, r.in.removeName(path.Join(DirRetention, name)))
	}
	return err
}
