package lease

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/vfs"
)

// Flag is what a person asked of a host. The name of its file is what counts;
// the contents are for people.
type Flag struct {
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// Names of flags: fenced/person beside the numbers, and drain.
const (
	personName = "person"
	drainName  = "drain"
)

func personPath(host string) string { return path.Join(spool.FencedDir(host), personName) }
func drainPath(host string) string  { return path.Join(spool.HostDir(host), drainName) }

// Fence stops a host's instances until Resume: what runs stops at its next
// heartbeat, what starts is refused. A fence that stands already is left alone.
func Fence(ctx context.Context, e env.Env, host, by, reason string) error {
	return filesOf(e).raise(ctx, "fence", host, personPath(host), Flag{By: by, Reason: reason})
}

// Drain asks a host to take no more work until Resume.
func Drain(ctx context.Context, e env.Env, host, by, reason string) error {
	return filesOf(e).raise(ctx, "drain", host, drainPath(host), Flag{By: by, Reason: reason})
}

func (f files) raise(ctx context.Context, verb, host, name string, flag Flag) error {
	if !spool.ValidHost(host) {
		return fmt.Errorf("%s: invalid host name %q", verb, host)
	}
	flag.At = f.env.Wall().UTC()
	err := f.hostDirs(ctx, host) // a host that never ran has none
	if err == nil {
		_, err = f.publish(ctx, name, encode(flag))
	}
	if err != nil {
		return fmt.Errorf("%s host %s: %w", verb, host, err)
	}
	return nil
}

// Resume takes Fence and Drain back; changed is false if there was neither.
func Resume(ctx context.Context, e env.Env, host string) (changed bool, err error) {
	if !spool.ValidHost(host) {
		return false, fmt.Errorf("resume: invalid host name %q", host)
	}
	f := filesOf(e)
	fenced, ferr := f.remove(ctx, personPath(host))
	drained, derr := f.remove(ctx, drainPath(host))
	if err := errors.Join(ferr, derr); err != nil {
		return fenced || drained, fmt.Errorf("resume host %s: %w", host, err)
	}
	return fenced || drained, nil
}

// Drained says whether a host is to be drained, by a fresh listing: an open may
// go on saying "no such file" for as long as a directory's attributes are cached.
func Drained(fs vfs.FS, host string) (bool, error) {
	all, err := names(fs, spool.HostDir(host))
	return slices.Contains(all, drainName), err
}

// FencedByPerson says whether a person fenced a host, by a fresh listing.
func FencedByPerson(fs vfs.FS, host string) (bool, error) {
	all, err := names(fs, spool.FencedDir(host))
	return slices.Contains(all, personName), err
}

// readFlag reads what can be read of a flag that a listing showed.
func readFlag(fs vfs.FS, name string) Flag {
	var flag Flag
	if readJSON(fs, name, &flag) != nil {
		return Flag{}
	}
	return flag
}
