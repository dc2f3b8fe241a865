package spool

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"fencepost/spool/env"
	"fencepost/spool/vfs"
)

// Event is one line of a journal: what one instance did to one job, or did to
// itself. docs/spec/journal.md lists the events.
type Event struct {
	Time    time.Time `json:"time"` // the host's wall clock: to be read, not compared
	N       uint64    `json:"n"`    // counts the instance's events
	Host    string    `json:"host"`
	Epoch   uint64    `json:"epoch"`
	Event   string    `json:"event"`
	Job     string    `json:"job,omitempty"`
	Stage   Stage     `json:"stage,omitempty"`
	Token   string    `json:"token,omitempty"` // HOST/EPOCH/SEQ of the claim
	Gen     int       `json:"gen,omitempty"`
	Faults  int       `json:"faults,omitempty"`
	Cluster string    `json:"cluster_id,omitempty"`
	Result  string    `json:"result,omitempty"`
	Detail  string    `json:"detail,omitempty"`
	Seconds float64   `json:"seconds,omitempty"` // how long it took
	Version string    `json:"version,omitempty"`
	Config  string    `json:"config,omitempty"` // digest of the configuration
	Prev    string    `json:"prev,omitempty"`   // of a log's first event: the last link of the host's log before
	Chain   string    `json:"chain,omitempty"`  // the line's link, see chain.go; always last
}

// The events of a job, in the order of its life; others are free-form.
const (
	EvAccepted   = "accepted"
	EvDuplicate  = "duplicate" // the same job was sent again
	EvAdopting   = "adopting"  // a file is about to be taken out of an inbox, under this id
	EvAdopted    = "adopted"   // it was accepted, and is gone
	EvClaimed    = "claimed"
	EvSubmitted  = "submitted" // the cluster has it, held or not
	EvSealed     = "sealed"
	EvPublished  = "published"
	EvHandedOver = "handed-over" // to a foreign program, which does the rest
	EvReleased   = "released"
	EvConfirmed  = "confirmed"
	EvDone       = "done"
	EvReturned   = "returned"
	EvReclaimed  = "reclaimed" // returned by another instance
	EvRejected   = "rejected"  // failed/: the job is bad
	EvFailed     = "failed"    // failed/: too many faults
	EvParked     = "parked"
	EvHeld       = "held"
	EvCancelled  = "cancelled"
	EvRetried    = "retried"
	EvUnparked   = "unparked"
	EvUnheld     = "unheld"
	EvRolled     = "rolled-forward" // an accept of somebody dead
	EvLost       = "lost"           // at the seal: somebody else has it
	EvUnclear    = "unclear"
	EvForeign    = "foreign" // a file that isn't ours was in the way
	EvGhost      = "ghost-cancelled"
	EvQuarantine = "quarantined"
	EvRemoving   = "removing" // the records of a time in which all jobs ended begin to go
	EvRemoved    = "removed"  // they are gone
	EvLayout     = "layout"   // a person changed which stages foreign programs do, or the inboxes
	EvTrouble    = "trouble"  // to the log only
	EvGap        = "journal-gap"
)

// Stamp is what every event of an instance says of it.
type Stamp struct {
	Host    string
	Epoch   uint64
	Version string
	Config  string
	Prev    string // last link of the host's log before this one, see Spool.LastLink; "" = not known
	Key     []byte // of the links; nil = anybody can make them
}

// Journal is an instance's append-only event log on the share. Events are
// written when somebody needs them durable, or at the next Flush; one fsync
// serves all who wait for it. It explains; it never proves.
//
// It is a row of segments: a new one begins when the last has grown large, and
// after a failed write or fsync, of which nobody can tell how much of it is on
// stable storage: then with everything that isn't proven to be. Readers drop
// what they have seen already.
type Journal struct {
	env   env.Env
	first string // segment
	stamp Stamp
	tee   func(Event)
	chain chain

	mu      sync.Mutex // never held across a call to env, log or tee
	buf     []byte     // events that aren't proven durable, and aren't being written
	spare   []byte     // memory for the next buf
	n       uint64     // events taken
	durable uint64     // of them, on stable storage or lost for good
	lost    uint64     // events that found the buffer full since the last one that didn't
	writing bool
	waiters []env.Signal
	failed  int   // writes that failed
	err     error // of the last of them

	// These belong to the task that writes.
	log     vfs.Log // nil after a failure
	size    int     // of the segment
	segment int     // the next one's number
}

const (
	// maxSegment is the size at which a segment is followed by the next:
	// readers hold one in memory.
	maxSegment = 8 << 20

	// maxUnwritten bounds the events in memory while the share doesn't answer.
	maxUnwritten = 8 << 20

	// maxSpare is how much memory is kept between two writes.
	maxSpare = 64 << 10

	// openTries bounds the numbers tried for a segment: an EEXIST may be a
	// lost reply, and burns one.
	openTries = 4
)

// OpenJournal makes the instance's log. tee, which may be nil, sees each event
// as it happens.
func OpenJournal(e env.Env, stamp Stamp, tee func(Event)) (*Journal, error) {
	return openJournal(e, JournalPath(stamp.Host, stamp.Epoch), stamp, tee)
}

// openJournal makes a log whose first segment has the given name.
func openJournal(e env.Env, first string, stamp Stamp, tee func(Event)) (*Journal, error) {
	j := &Journal{env: e, stamp: stamp, tee: tee, first: first, chain: newChain(stamp.Key, first)}
	if err := j.open(); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	return j, nil
}

// open begins a segment.
func (j *Journal) open() (err error) {
	for range openTries {
		name := formatSegment(j.first, j.segment)
		j.segment++
		if j.log, err = j.env.FS().OpenLog(name); err == nil {
			j.size = 0
			return nil
		}
		j.log = nil
	}
	return err
}

// Add notes an event. If the share hasn't taken any for so long that the memory
// set aside for them is full, it is counted only.
func (j *Journal) Add(ev Event) {
	ev.Time = j.env.Wall().UTC()
	ev.Host, ev.Epoch, ev.Version, ev.Config = j.stamp.Host, j.stamp.Epoch, j.stamp.Version, j.stamp.Config
	j.mu.Lock()
	if len(j.buf) > maxUnwritten {
		j.lost++
	} else {
		if j.lost > 0 {
			gap := Event{Time: ev.Time, Host: ev.Host, Epoch: ev.Epoch, Event: EvGap,
				Detail: fmt.Sprintf("%d events were lost while the share took none", j.lost)}
			j.append(&gap)
			j.lost = 0
		}
		j.append(&ev)
	}
	j.mu.Unlock()
	if j.tee != nil {
		j.tee(ev)
	}
}

// append is called with mu held.
func (j *Journal) append(ev *Event) {
	j.n++
	ev.N = j.n
	if j.n == 1 {
		ev.Prev = j.stamp.Prev
	}
	begin := len(j.buf)
	j.buf = appendEvent(j.buf, ev)
	j.buf = append(j.chain.link(j.buf, begin), '\n')
}

// say shows an event to the log without writing it down.
func (j *Journal) say(ev Event) {
	if j.tee != nil {
		ev.Time, ev.Host, ev.Epoch = j.env.Wall().UTC(), j.stamp.Host, j.stamp.Epoch
		j.tee(ev)
	}
}

// Flush makes all events so far durable. Callers that come while another's
// flush is on its way wait for the one after it, together. After an error they
// are kept: the next Flush tries again, in a new segment.
func (j *Journal) Flush() error {
	// No deferred unlock: the simulator ends a task in the middle of write,
	// where mu is not held.
	j.mu.Lock()
	want, failed := j.n, j.failed
	for j.durable < want && j.failed == failed {
		if !j.writing {
			j.write()
		} else {
			w := j.env.NewSignal()
			j.waiters = append(j.waiters, w)
			j.mu.Unlock()
			w.Wait(noContext, time.Hour)
			j.mu.Lock()
		}
	}
	var err error
	if j.durable < want {
		err = j.err
	}
	j.mu.Unlock()
	return err
}

// write appends what is buffered; called and returns with mu held.
func (j *Journal) write() {
	buf, upTo := j.buf, j.n
	j.buf, j.spare, j.writing = j.spare, nil, true
	j.mu.Unlock()
	err := j.store(buf)
	j.mu.Lock()
	j.writing = false
	if err != nil {
		j.failed++
		j.err = fmt.Errorf("write journal: %w", err)
		j.buf = append(buf, j.buf...)
	} else {
		j.durable = upTo
		if cap(buf) <= maxSpare {
			j.spare = buf[:0]
		}
	}
	waiters := j.waiters
	j.waiters = nil
	for _, w := range waiters {
		w.Notify()
	}
}

// store writes to the segment, and if that fails to a new one: a handle may be
// stale for ever. Never the same again: after a failed fsync the next may well
// say that all is written.
func (j *Journal) store(buf []byte) (err error) {
	for range 2 {
		if j.log != nil && j.size > maxSegment {
			j.drop()
		}
		if j.log == nil {
			if err := j.open(); err != nil {
				return err
			}
		}
		if err = j.log.Append(buf); err == nil {
			err = j.log.Sync()
		}
		if err == nil {
			j.size += len(buf)
			return nil
		}
		j.drop()
	}
	return err
}

// drop ends a segment: all in it is durable, or written again elsewhere.
func (j *Journal) drop() {
	_ = j.log.Close()
	j.log = nil
}

// Close flushes and closes.
func (j *Journal) Close() error {
	err := j.Flush()
	if j.log == nil {
		return err
	}
	return errors.Join(err, j.log.Close())
}
