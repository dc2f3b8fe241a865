package submit

import (
	"context"
	"errors"
	"fmt"

	"fencepost/codec"
)

// Cluster is a batch system. Each backend is in a folder of its own.
//
// Every method may be called by several goroutines at once, obeys its context
// and has a time-out of its own. Errors are *Error; any other error counts as
// Unknown.
type Cluster interface {
	// Caps says what the cluster can do. It is constant.
	Caps() Caps

	// Pin names the cluster, so that a host that is configured for another
	// one notices: the backend's name, and what tells two clusters of the
	// kind apart. Compared for equality.
	Pin(ctx context.Context) (map[string]string, error)

	// Probe tells whether this host can submit here: nil = fit. With
	// Caps.Hold and Caps.List a canary job is submitted held, found verbatim
	// in a listing, and cancelled, unless the backend has a better way.
	Probe(ctx context.Context) error

	// Slots is the number of jobs that may be submitted now, asked before a
	// claim; negative = no limit.
	Slots(ctx context.Context) (int, error)

	// Submit hands a job over, held if Caps.Hold, and returns the cluster's
	// id of it, one line. An error of outcome Unknown means that the job may
	// have been accepted.
	Submit(ctx context.Context, r Request) (string, error)

	// List returns all jobs that the cluster knows: nil error = complete.
	List(ctx context.Context) ([]Job, error)

	// Release releases held jobs by id, never by name. Releasing what is
	// released or ended does nothing. An error that isn't the same for all of
	// them is a *ReleaseError; what isn't sure to have failed is Unknown.
	Release(ctx context.Context, ids []string) error

	// Cancel cancels one held job by id and must spare it if it is no longer
	// held. Unknown or ended: nil.
	Cancel(ctx context.Context, id string) error

	// Past asks the scheduler's own record of jobs that ended.
	Past(ctx context.Context, id string) (Past, error)
}

// Caps is what a cluster can do.
type Caps struct {
	Hold bool // Submit submits held, Release releases
	List bool // List is complete and gives Key and Token back verbatim
	Key  bool // Submit is idempotent by Request.Key: again is harmless
	Past bool // Past answers
}

// Request is one submission.
type Request struct {
	Key      string // the job id
	Name     string // the job's name at the cluster: spool prefix and key
	Token    string // SPOOL/HOST/EPOCH/SEQ/G, one word, for the comment
	Host     string
	SpoolID  string
	Entry    string       // name of the sealed file or claim it is done for, relative to the spool
	Record   codec.Record // what to run
	Document []byte       // the same as it stands in the spool: JSON
}

// Job is a job as the cluster lists it.
type Job struct {
	ID      string
	Name    string // as submitted: Request.Name
	Key     string // the job id, taken out of Name; "" if it is none of ours
	Token   string
	State   State
	Started bool   // it has, or had, a node
	Detail  string // the cluster's own word for the state
}

// State is a job's state at the cluster.
type State string

// The states of a job at the cluster.
const (
	Held      State = "held"       // by our kind of hold
	HeldOther State = "held-other" // by an administrator's, or the system's
	Pending   State = "pending"    // released, waits
	Running   State = "running"
	Done      State = "done"
	Failed    State = "failed"
	Cancelled State = "cancelled"
)

// Ended says whether the job is over.
func (s State) Ended() bool { return s == Done || s == Failed || s == Cancelled }

// Past is what a scheduler's record says of a job.
type Past struct {
	Known   bool // there is a record under this id
	Name    string
	Started bool // it had a node
	State   State
}

// Outcome classifies a failed call: whose fault it is, and what is known.
type Outcome int

// The outcomes. The zero value is the careful one.
const (
	Unknown     Outcome = iota // may have been done
	Rejected                   // the job is bad, surely not accepted
	Unavailable                // cluster down or full, surely not accepted: later
	Unfit                      // this host can't, surely not accepted
)

func (o Outcome) String() string {
	return [...]string{"unknown", "rejected", "unavailable", "unfit"}[o]
}

// Error is a failed call to a cluster.
type Error struct {
	Outcome Outcome
	Op      string // what was tried: "sbatch", "release 17", ...
	Detail  string // the cluster's own words, without control characters
	Err     error  // the cause, if there is one
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s: %s", e.Op, e.Outcome)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// OutcomeOf returns the outcome of a failed call; Unknown unless it says so.
func OutcomeOf(err error) Outcome {
	var e *Error
	if errors.As(err, &e) {
		return e.Outcome
	}
	return Unknown
}

// ErrNotSupported is returned by what Caps doesn't name.
var ErrNotSupported = errors.New("not supported by this backend")
