package spool

import (
	"errors"

	"fencepost/spool/vfs"
)

// Errors that callers branch on.
var (
	// ErrNoSpool: there is no fencepost.toml.
	ErrNoSpool = errors.New("no spool here")

	// ErrLost: somebody else has what was asked for. Normal for a claim; for a
	// seal it means that the claim was reclaimed.
	ErrLost = errors.New("lost to another instance")

	// ErrFenced: the instance's own directories are gone: its epoch is over.
	ErrFenced = errors.New("fenced: this instance's epoch is over")

	// ErrUnclear: the outcome is unknown; the own sweep settles it.
	ErrUnclear = errors.New("outcome unknown")

	// ErrConflict: the id was accepted with another content.
	ErrConflict = errors.New("another job was accepted under this id")

	// ErrNotAccepted: nothing of the job is left that recovery could let in. Any
	// other error of Accept, ErrConflict aside, leaves that open.
	ErrNotAccepted = errors.New("not accepted")

	// ErrNotFound: no such job.
	ErrNotFound = errors.New("no such job")

	// ErrAmbiguous: a prefix names several jobs.
	ErrAmbiguous = errors.New("several jobs begin with this")

	// ErrTooOld: the id's time is before what the gate remembers.
	ErrTooOld = errors.New("id older than the gate's retention")
)

var (
	errTooLarge   = vfs.ErrTooLarge
	errNotRegular = vfs.ErrNotRegular
)
