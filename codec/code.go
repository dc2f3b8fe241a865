package codec

import "errors"

// Code says why a request (REFUSED) or a connection (GOAWAY) ended.
type Code string

// The codes. New ones may come with a minor version: a client treats a code
// that it doesn't know as CodeInternal.
const (
	CodeMalformed          Code = "malformed"           // the bytes or the message can't be read
	CodeProtocol           Code = "protocol"            // a legal message at an illegal time
	CodeUnsupportedVersion Code = "unsupported_version" // none of the versions in HELLO is spoken here
	CodeInvalidJob         Code = "invalid_job"         // the job breaks a rule; the reason names the field
	CodeConflict           Code = "conflict"            // this id was accepted with another job
	CodeTooOld             Code = "too_old"             // the id's time lies before the spool's retention
	CodeTooLarge           Code = "too_large"           // above max_frame or max_job
	CodeNotAllowed         Code = "not_allowed"         // this client may not do this
	CodeWindowExceeded     Code = "window_exceeded"     // more requests unanswered than the window
	CodeBusy               Code = "busy"                // rate, depth or connections at their limit
	CodeNoSpace            Code = "no_space"            // the share is below its free-space mark
	CodeUnavailable        Code = "unavailable"         // the share doesn't answer in time
	CodeDraining           Code = "draining"            // this host is stopping: another one, or later
	CodeTimeout            Code = "timeout"             // a frame, or the handshake, took too long
	CodeIdle               Code = "idle"                // nothing was asked for the idle time
	CodeInternal           Code = "internal"            // outcome unknown: ask again with the same id
)

// Final reports whether the same request with the same id is refused every
// time, so that a client should give up and say why. Every other code, known
// or not, may be retried with the same id: after retry_after_ms, or at another
// host of the spool.
func (c Code) Final() bool {
	switch c {
	case CodeMalformed, CodeProtocol, CodeUnsupportedVersion, CodeInvalidJob,
		CodeConflict, CodeTooOld, CodeTooLarge, CodeNotAllowed:
		return true
	}
	return false
}

// CodeOf returns the code that tells a peer about err: that of the layer of a
// *[FrameError], CodeInvalidJob for a *[FieldError], else CodeInternal.
func CodeOf(err error) Code {
	var frame *FrameError
	var field *FieldError
	switch {
	case errors.As(err, &frame):
		switch frame.Layer {
		case LayerVersion:
			return CodeUnsupportedVersion
		case LayerLength:
			return CodeTooLarge
		case LayerJob:
			return CodeInvalidJob
		}
		return CodeMalformed
	case errors.As(err, &field):
		return CodeInvalidJob
	}
	return CodeInternal
}
