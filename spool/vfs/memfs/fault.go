package memfs

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"fencepost/spool/vfs"
)

// fault is one thing that goes wrong in a run of a sweep. As a string:
//
//	7-EIO    the 7th operation fails and isn't done
//	7+EIO    ... fails but is done
//	7%EIO    ... fails, half of its data written
//	7-die    the process dies before it
//	7+die    ... after it
//	7%die    ... half way through its data
//	7~die@9  ... and the server does it just before operation 9
//	7~die    ... and the server does it when the scenario calls Calm
//	7=stale  a listing that doesn't show the last change
//
// Operations are counted from 0 among those that the plan covers.
type fault struct {
	at   int
	mode byte  // one of -+%~=
	err  error // nil: dies, or is stale
	land int   // with ~; 0 is Calm
}

const (
	modeBefore = '-'
	modeAfter  = '+'
	modeTorn   = '%'
	modeLate   = '~'
	modeStale  = '='
)

func (f fault) String() string {
	what := "die"
	switch {
	case f.mode == modeStale:
		what = "stale"
	case f.err == vfs.ErrLocked:
		what = "locked"
	case f.err != nil:
		what = errName(f.err)
	}
	s := strconv.Itoa(f.at) + string(f.mode) + what
	if f.land > 0 {
		s += "@" + strconv.Itoa(f.land)
	}
	return s
}

func (f fault) verdict() Verdict {
	return Verdict{
		Apply: f.mode != modeBefore && f.mode != modeLate,
		Err:   f.err,
		Die:   f.err == nil && f.mode != modeStale,
		Late:  f.mode == modeLate,
		Torn:  f.mode == modeTorn,
		Stale: f.mode == modeStale,
	}
}

func formatFaults(faults []fault) string {
	var parts []string
	for _, f := range faults {
		parts = append(parts, f.String())
	}
	return strings.Join(parts, " ")
}

func parseFaults(s string) ([]fault, error) {
	var faults []fault
	for _, part := range strings.Fields(s) {
		f, err := parseFault(part)
		if err != nil {
			return nil, fmt.Errorf("fault %q: %w", part, err)
		}
		faults = append(faults, f)
	}
	return faults, nil
}

func parseFault(s string) (fault, error) {
	i := strings.IndexAny(s, "-+%~=")
	if i < 0 {
		return fault{}, errors.New("no mode")
	}
	at, err := strconv.Atoi(s[:i])
	if err != nil {
		return fault{}, err
	}
	f := fault{at: at, mode: s[i]}
	what, land, late := strings.Cut(s[i+1:], "@")
	if late {
		if f.land, err = strconv.Atoi(land); err != nil {
			return fault{}, err
		}
	}
	switch what {
	case "die", "stale":
	case "locked":
		f.err = vfs.ErrLocked
	default:
		for e := syscall.Errno(1); e < 200; e++ {
			if what != "" && unix.ErrnoName(e) == what {
				f.err = e
			}
		}
		if f.err == nil {
			return fault{}, errors.New("no such error")
		}
	}
	return f, nil
}

// mutating kinds change names or data: they may fail and be done all the same.
var mutating = []string{Create, Rename, Link, Mkdir, Rmdir, Remove, OpenRecord, RecordWrite, OpenLog, Append}

// torn kinds carry data.
var torn = []string{Create, RecordWrite, Append}

// plausible has the errors that a server, a client's cache or a lost reply is
// known to give; after means that it was done. The ones that matter are those
// that lie: ENOENT for a rename, EEXIST for a link.
func plausible(kind string, after bool) []error {
	common := []error{unix.EIO, unix.ESTALE, unix.ETIMEDOUT}
	with := func(errs ...error) []error { return append(errs, common...) }
	switch kind {
	case Create, OpenLog:
		if after {
			return with(unix.ENOSPC)
		}
		return with(unix.ENOSPC, unix.ENOENT, unix.EEXIST)
	case Rename:
		if after {
			return with(unix.ENOENT) // its reply was lost
		}
		return with(unix.ENOENT, unix.ENOSPC)
	case Link, Mkdir:
		if after {
			return with(unix.EEXIST) // its reply was lost
		}
		return with(unix.EEXIST, unix.ENOENT, unix.ENOSPC)
	case Rmdir:
		if after {
			return with(unix.ENOENT)
		}
		return with(unix.ENOTEMPTY)
	case Remove, Read, Identify:
		return with(unix.ENOENT)
	case List:
		return common
	case OpenRecord:
		return with(unix.ENOENT, unix.ENOSPC)
	case TryLock, RecordLock:
		return []error{vfs.ErrLocked, unix.ENOLCK, unix.EIO}
	case RecordWrite, Append:
		return []error{unix.EIO, unix.ENOSPC}
	}
	return []error{unix.EIO} // sync, logsync, unlock, close
}

// faultsOf returns everything that can go wrong with one operation, but for
// late effects.
func (p Plan) faultsOf(kind string) []fault {
	var faults []fault
	add := func(mode byte, errs []error) {
		for _, err := range errs {
			faults = append(faults, fault{mode: mode, err: err})
		}
	}
	modes := []byte{modeBefore}
	if slices.Contains(mutating, kind) {
		modes = append(modes, modeAfter)
	}
	for _, mode := range modes {
		errs := p.errors()
		if errs == nil {
			errs = plausible(kind, mode == modeAfter)
		}
		add(mode, errs)
		if !p.NoDie {
			add(mode, []error{nil})
		}
	}
	if slices.Contains(torn, kind) {
		add(modeTorn, []error{unix.ENOSPC})
		if !p.NoDie {
			add(modeTorn, []error{nil})
		}
	}
	if kind == List && p.Stale {
		add(modeStale, []error{nil})
	}
	return faults
}
