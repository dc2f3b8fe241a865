package spool

import (
	"encoding/json"
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
}

// The events of a job, in the order of its life; others are free-form.
const (
	EvAccepted   = "accepted"
	EvDuplicate  = "duplicate" // the same job was sent again
	EvClaimed    = "claimed"
	EvSubmitted  = "submitted" // the cluster has it, held or not
	EvSealed     = "sealed"
	EvPublished  = "published"
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
	EvTrouble    = "trouble" // to the log only
)

// Stamp is what every event of an instance says of it.
type Stamp struct {
	Host    string
	Epoch   uint64
	Version string
	Config  string
}

// Journal is an instance's append-only event log on the share. Events are
// written when somebody needs them durable, or at the next Flush; one fsync
// serves all who wait for it. It explains; it never proves.
type Journal struct {
	env   env.Env
	log   vfs.Log
	stamp Stamp
	tee   func(Event)

	mu      sync.Mutex // never held across a call to env, log or tee
	buf     []byte
	n       uint64 // events taken
	durable uint64 // events on stable storage
	writing bool
	waiters []env.Signal
	broken  error // the first failure; later events are dropped and counted
	dropped uint64
}

// OpenJournal makes the instance's log. tee, which may be nil, sees each event
// as it happens.
func OpenJournal(e env.Env, stamp Stamp, tee func(Event)) (*Journal, error) {
	log, err := e.FS().OpenLog(JournalPath(stamp.Host, stamp.Epoch))
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	return &Journal{env: e, log: log, stamp: stamp, tee: tee}, nil
}

// Add notes an event.
func (j *Journal) Add(ev Event) {
	ev.Time = j.env.Wall().UTC()
	ev.Host, ev.Epoch, ev.Version, ev.Config = j.stamp.Host, j.stamp.Epoch, j.stamp.Version, j.stamp.Config
	j.mu.Lock()
	j.n++
	ev.N = j.n
	line, err := json.Marshal(ev)
	if err == nil {
		j.buf = append(append(j.buf, line...), '\n')
	}
	j.mu.Unlock()
	if j.tee != nil {
		j.tee(ev)
	}
}

// say shows an event to the log without writing it down.
func (j *Journal) say(ev Event) {
	if j.tee != nil {
		ev.Time, ev.Host, ev.Epoch = j.env.Wall().UTC(), j.stamp.Host, j.stamp.Epoch
		j.tee(ev)
	}
}

// Flush makes all events so far durable. Callers that come while another's
// flush is on its way wait for the one after it, together.
func (j *Journal) Flush() error {
	j.mu.Lock()
	want := j.n
	for j.durable < want && j.broken == nil {
		if !j.writing {
			j.write()
			continue
		}
		w := j.env.NewSignal()
		j.waiters = append(j.waiters, w)
		j.mu.Unlock()
		w.Wait(noContext, time.Hour)
		j.mu.Lock()
	}
	err := j.broken
	j.mu.Unlock()
	return err
}

// write appends what is buffered; called and returns with mu held.
func (j *Journal) write() {
	buf, upTo := j.buf, j.n
	j.buf, j.writing = nil, true
	j.mu.Unlock()
	err := j.log.Append(buf)
	if err == nil {
		err = j.log.Sync()
	}
	j.mu.Lock()
	j.writing = false
	if err != nil {
		j.broken = fmt.Errorf("write journal: %w", err)
	} else {
		j.durable = upTo
	}
	waiters := j.waiters
	j.waiters = nil
	for _, w := range waiters {
		w.Notify()
	}
}

// Close flushes and closes.
func (j *Journal) Close() error { return errors.Join(j.Flush(), j.log.Close()) }
