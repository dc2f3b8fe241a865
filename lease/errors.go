package lease

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Causes for which a lease's context is cancelled, and errors of Acquire that
// callers branch on. The structs below match them.
var (
	ErrGoodbye  = errors.New("instance said goodbye")
	ErrLost     = errors.New("lease lost")                 // *LostError
	ErrFenced   = errors.New("fenced")                     // *FencedError
	ErrHeld     = errors.New("held by another instance")   // *HeldError
	ErrRefused  = errors.New("not allowed on this spool")  // *RefusedError
	ErrByPerson = errors.New("fenced by a person")         // *FencedByPersonError
	ErrEnrolled = errors.New("enrolled already otherwise") // *EnrolledError
)

// LostError: renewal can't be proven any more, or another instance of this host
// with a higher epoch writes the heartbeat.
type LostError struct {
	Host  string
	Epoch uint64
	Why   string
	Err   error // the last error of a renewal, if there was one
}

func (e *LostError) Error() string {
	s := fmt.Sprintf("lease of host %s epoch %d lost: %s", e.Host, e.Epoch, e.Why)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap makes errors.Is match ErrLost and the system's error.
func (e *LostError) Unwrap() []error { return matching(ErrLost, e.Err) }

// FencedError: a watcher declared this epoch over.
type FencedError struct {
	Host  string
	Epoch uint64
	By    string // the fencer: HOST/EPOCH; empty if its record can't be read
	Why   string
	// Counter is the last one that the fencer saw.
	Counter uint64
	// False: renewals beyond that counter had succeeded for a TTL, so that the
	// fencer's view was broken. It isn't charged to the restarts.
	False bool
}

func (e *FencedError) Error() string {
	word := "fenced"
	if e.False {
		word = "fenced falsely"
	}
	return fmt.Sprintf("host %s epoch %d %s by %s: %s", e.Host, e.Epoch, word, orUnknown(e.By), orUnknown(e.Why))
}

// Unwrap makes errors.Is match ErrFenced.
func (e *FencedError) Unwrap() error { return ErrFenced }

// HeldError: another instance has the host's lease.
type HeldError struct {
	Host   string
	Why    string
	Known  bool   // whether Holder could be read
	Holder Record // as its heartbeat says
}

func (e *HeldError) Error() string {
	s := fmt.Sprintf("lease of host %s is held by another instance: %s", e.Host, e.Why)
	if !e.Known {
		return s + "; its heartbeat record can't be read"
	}
	r := e.Holder
	return fmt.Sprintf("%s; holder: host %s, epoch %d, machine %s, boot %s, pid %d, since %s",
		s, r.Host, r.Epoch, r.MachineID, r.BootID, r.PID, r.Since.UTC().Format(time.RFC3339))
}

// Unwrap makes errors.Is match ErrHeld.
func (e *HeldError) Unwrap() error { return ErrHeld }

// RefusedError: this machine may not take part under this host's name. Who gets
// it calls RecordIntruder.
type RefusedError struct {
	Host      string
	MachineID string
	Reason    string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("host %s (machine %s) refused: %s", e.Host, orUnknown(e.MachineID), e.Reason)
}

// Unwrap makes errors.Is match ErrRefused.
func (e *RefusedError) Unwrap() error { return ErrRefused }

// FencedByPersonError: a person fenced the host; it lasts until Resume.
type FencedByPersonError struct {
	Host string
	Flag Flag
}

func (e *FencedByPersonError) Error() string {
	return fmt.Sprintf("host %s was fenced by %s at %s: %s; it stays so until it is resumed",
		e.Host, orUnknown(e.Flag.By), e.Flag.At.UTC().Format(time.RFC3339), orUnknown(e.Flag.Reason))
}

// Unwrap makes errors.Is match ErrByPerson.
func (e *FencedByPersonError) Unwrap() error { return ErrByPerson }

// EnrolledError: the host is on the roster with other data.
type EnrolledError struct {
	Existing Member
	What     string
}

func (e *EnrolledError) Error() string {
	return fmt.Sprintf("host %s is enrolled already with %s; revoke it first", e.Existing.Host, e.What)
}

// Unwrap makes errors.Is match ErrEnrolled.
func (e *EnrolledError) Unwrap() error { return ErrEnrolled }

func matching(sentinel, err error) []error {
	if err == nil {
		return []error{sentinel}
	}
	return []error{sentinel, err}
}

func orUnknown(s string) string {
	if strings.TrimSpace(s) == "" {
		return "unknown"
	}
	return s
}
