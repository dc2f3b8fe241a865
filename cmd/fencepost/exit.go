package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/spf13/cobra"

	"fencepost/lease"
	"fencepost/spool"
)

// Exit codes: a contract.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2 // also a configuration with a mistake, and a prefix of several jobs
	exitNotFound = 3 // no such job, host or spool
	exitDegraded = 4 // works, but a person should look
	exitUnsafe   = 5 // vanished, duplicate, intruder
	exitHeld     = 6 // by another
	exitFenced   = 7 // by a person, or not enrolled
	exitTimeout  = 8 // the share did not answer in time
)

// exitError decides the exit code. With a nil err nothing more is printed.
type exitError struct {
	code int
	err  error
	next string // what to do next; "" = what nextStep knows
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usagef is a mistake in how the command was called.
func usagef(_ *cobra.Command, format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// notFoundf is for what was named and isn't there.
func notFoundf(next, format string, args ...any) error {
	return &exitError{code: exitNotFound, err: fmt.Errorf(format, args...), next: next}
}

// exitCode maps errors to exit codes: the only place that does.
func exitCode(err error) int {
	var exit *exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		return exit.code
	case errors.Is(err, errNoAnswer), errors.Is(err, syscall.ETIMEDOUT):
		return exitTimeout
	case errors.Is(err, spool.ErrAmbiguous):
		return exitUsage
	case errors.Is(err, spool.ErrNotFound), errors.Is(err, spool.ErrNoSpool):
		return exitNotFound
	case errors.Is(err, lease.ErrHeld):
		return exitHeld
	case errors.Is(err, lease.ErrRefused), errors.Is(err, lease.ErrByPerson):
		return exitFenced
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	}
	return exitFailed
}

// nextStep says what to do after a failure, in one line.
func nextStep(cmd *cobra.Command, err error) string {
	var exit *exitError
	if errors.As(err, &exit) && exit.next != "" {
		return exit.next
	}
	switch {
	case errors.Is(err, errNoAnswer), errors.Is(err, syscall.ETIMEDOUT):
		return "is the file server up, and the mount alive? (findmnt; --timeout waits longer)"
	case errors.Is(err, spool.ErrNoSpool):
		return "is the share mounted? is this the right directory? fencepost init makes a new spool"
	case errors.Is(err, spool.ErrAmbiguous):
		return "give more of the id"
	case errors.Is(err, spool.ErrNotFound):
		return "fencepost jobs lists them; the id of a job is what fencepost send printed"
	case errors.Is(err, lease.ErrEnrolled):
		return "fencepost hosts shows who is enrolled; fencepost revoke takes a host off"
	case errors.Is(err, lease.ErrRefused):
		return "fencepost enroll, run by who may, lets a host in"
	case errors.Is(err, lease.ErrByPerson):
		return "fencepost resume ends it"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "does this user belong to the spool's group? (ls -ld; id)"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "make room on the share (df; quota), then try again"
	case errors.Is(err, syscall.EROFS):
		return "the share is mounted read-only"
	case errors.Is(err, syscall.ESTALE):
		return "the share was exported anew or moved: mount it again"
	case exitCode(err) == exitUsage:
		return "try: " + cmd.CommandPath() + " --help"
	}
	return ""
}

// exitTexts say what the codes mean, for the manual.
var exitTexts = []struct {
	code int
	text string
}{
	{exitOK, "All is well."},
	{exitFailed, "It failed; the message says why."},
	{exitUsage, "A mistake in the command line, the environment or the configuration."},
	{exitNotFound, "No such job, host or spool."},
	{exitDegraded, "Degraded: it works, but a person should look."},
	{exitUnsafe, "Unsafe: a job vanished or is there twice, or an intruder was refused."},
	{exitHeld, "Another instance has what was asked for."},
	{exitFenced, "The host was fenced by a person, or is not enrolled."},
	{exitTimeout, "The share did not answer in time."},
}
