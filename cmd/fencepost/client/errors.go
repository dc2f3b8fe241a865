package client

import (
	"errors"
	"fmt"

	"fencepost/codec"
)

// RefusedError is a refusal that would be repeated each time: the job was not
// accepted, and won't be as it is.
type RefusedError struct {
	ID     string
	Code   codec.Code
	Reason string
	Addr   string // who said so; "" = it wasn't sent
}

func (e *RefusedError) Error() string {
	by := ""
	if e.Addr != "" {
		by = " by " + e.Addr
	}
	return fmt.Sprintf("refused%s: %s: %s", by, e.Code, e.Reason)
}

// GaveUpError means that the deadline came first.
type GaveUpError struct {
	ID    string
	Tries int
	Maybe bool  // a try was sent and not answered, or its outcome is unknown: the job may be accepted
	Query bool  // it was Query that gave up
	Err   error // of the last try that told something
}

func (e *GaveUpError) Error() string {
	known := "not accepted"
	switch {
	case e.Query:
		known = "no answer"
	case e.Maybe:
		known = "not known to be accepted"
	}
	return fmt.Sprintf("%s after %d tries: %v", known, e.Tries, e.Err)
}

// Unwrap returns the last try's error.
func (e *GaveUpError) Unwrap() error { return e.Err }

// invalid is the refusal of what is not even sent.
func invalid(id string, err error) error {
	var field *codec.FieldError
	if errors.As(err, &field) {
		return &RefusedError{ID: id, Code: codec.CodeInvalidJob, Reason: field.Field + " " + field.Reason}
	}
	return err
}

// refusal is a REFUSED that may be tried again.
type refusal struct {
	addr string
	codec.Refused
}

func (r *refusal) Error() string {
	return fmt.Sprintf("refused by %s: %s: %s", r.addr, r.Code, r.Reason)
}

// goneAway is a GOAWAY.
type goneAway struct {
	addr string
	codec.GoAway
	early bool // in place of WELCOME: it is about this client, not about a request
}

func (g *goneAway) Error() string {
	return fmt.Sprintf("%s closed the connection: %s: %s", g.addr, g.Code, g.Reason)
}
