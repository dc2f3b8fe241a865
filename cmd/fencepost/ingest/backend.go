package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"fencepost/codec"
	"fencepost/spool"
)

// Backend is what stands behind the server. Its methods are called by many
// goroutines at once, at most Config.MaxAccepts and Config.MaxQueries.
type Backend interface {
	// Accept makes the job durable. After nil it is; duplicate says that the
	// same job had been accepted under this id before. An error that matches
	// spool.ErrConflict or spool.ErrTooOld refuses the job for good. After any
	// other error the job is not known to be accepted, and the client will ask
	// again with the same id: ErrBusy for "not now" (no instance at the moment,
	// draining), *Refusal to say more, or whatever happened.
	Accept(ctx context.Context, r codec.Record) (duplicate bool, err error)

	// State says where a job is; Seq and ID of the result are filled in by the
	// server. An error that matches spool.ErrNotFound means codec.StateUnknown.
	State(ctx context.Context, id string) (codec.State, error)
}

// ErrBusy says that the backend takes nothing at the moment.
var ErrBusy = errors.New("takes no jobs at the moment")

// Refusal is an error of a Backend that says what the client is told.
type Refusal struct {
	Code       codec.Code
	Reason     string
	RetryAfter time.Duration // 0 = the server's own choice, where the code isn't final
}

func (r *Refusal) Error() string { return fmt.Sprintf("refuse: %s: %s", r.Code, r.Reason) }

// refusalOf is the one place that decides what an error of the backend means to
// the client. What it doesn't know is codec.CodeInternal: outcome unknown, ask
// again. Paths and hosts stay in the log; of the system's errors only the words
// are told.
func refusalOf(err error) Refusal {
	var r *Refusal
	var field *codec.FieldError
	var errno syscall.Errno
	switch {
	case errors.As(err, &r):
		return *r
	case errors.Is(err, spool.ErrConflict):
		return Refusal{Code: codec.CodeConflict, Reason: spool.ErrConflict.Error()}
	case errors.Is(err, spool.ErrTooOld):
		return Refusal{Code: codec.CodeTooOld, Reason: spool.ErrTooOld.Error()}
	case errors.Is(err, ErrBusy):
		return Refusal{Code: codec.CodeBusy, Reason: "this host " + ErrBusy.Error()}
	case errors.Is(err, spool.ErrFenced):
		return Refusal{Code: codec.CodeUnavailable, Reason: "this host was fenced and starts over"}
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		// Only the first of the operations leaves nothing behind: a complete draft
		// is let in when there is room again.
		if errors.Is(err, spool.ErrNotAccepted) {
			return Refusal{Code: codec.CodeNoSpace, Reason: "the share has no space left", RetryAfter: 10 * time.Second}
		}
		return Refusal{Code: codec.CodeUnavailable, Reason: "the share has no space left: not known to be accepted", RetryAfter: 10 * time.Second}
	case errors.Is(err, syscall.EROFS):
		return Refusal{Code: codec.CodeUnavailable, Reason: "the share is read-only: not known to be accepted", RetryAfter: 10 * time.Second}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return Refusal{Code: codec.CodeUnavailable, Reason: "the share did not answer in time"}
	case errors.As(err, &field):
		return Refusal{Code: codec.CodeInvalidJob, Reason: field.Field + " " + field.Reason}
	case errors.As(err, &errno):
		return Refusal{Code: codec.CodeInternal, Reason: "not known to be accepted: " + errno.Error()}
	}
	return Refusal{Code: codec.CodeInternal, Reason: "not known to be accepted"}
}

// message is the REFUSED that tells r.
func (r Refusal) message(seq uint64, id string, retryAfter time.Duration) codec.Refused {
	m := codec.Refused{Seq: seq, ID: id, Code: r.Code, Reason: oneLine(r.Reason)}
	if r.RetryAfter > 0 {
		retryAfter = r.RetryAfter
	}
	if !r.Code.Final() {
		m.RetryAfterMS = min(max(retryAfter, 0), 24*time.Hour).Milliseconds()
	}
	return m
}

// oneLine makes any text one that a message can carry: what comes from errors
// must never make an answer impossible.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7F && r < 0xA0 || r == 0x2028 || r == 0x2029 || r == 0xFFFE || r == 0xFFFF {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) <= codec.MaxReason {
		return s
	}
	cut := codec.MaxReason
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut]
}
