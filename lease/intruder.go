package lease

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/vfs"
)

// Intruder is one machine that was refused, on one day.
type Intruder struct {
	Host      string    `json:"host"`
	MachineID string    `json:"machine_id"`
	BootID    string    `json:"boot_id"`
	PID       int       `json:"pid"`
	Version   string    `json:"version"`
	Hostname  string    `json:"hostname,omitempty"` // the machine's own name for itself
	Addresses string    `json:"addresses,omitempty"`
	User      string    `json:"user,omitempty"`
	Program   string    `json:"program,omitempty"`
	Reason    string    `json:"reason"`
	First     time.Time `json:"first"` // by its own clock
	Last      time.Time `json:"last"`
	Count     int       `json:"count"` // two at the same moment may count as one
}

// refusedPrefix begins the names of these files: intruders/ holds others too.
const refusedPrefix = "refused~"

// RecordIntruder notes that this process was refused: one file a machine and
// day, counted, so that a service that is restarted every second doesn't fill
// the directory.
func RecordIntruder(ctx context.Context, e env.Env, id Identity, reason string) error {
	if err := id.validate(); err != nil {
		return fmt.Errorf("record intruder: %w", err)
	}
	f, now := filesOf(e), e.Wall().UTC()
	name := path.Join(spool.DirIntruders, fmt.Sprintf("%s%s~%s~%s.json",
		refusedPrefix, id.Host, id.MachineID, now.Format(time.DateOnly)))
	err := f.again(ctx, func() error {
		in := Intruder{First: now}
		if err := readJSON(f.fs, name, &in); err != nil && !notThere(err) && !isFinal(err) {
			return err // what can't be parsed is written anew
		}
		in.Host, in.MachineID, in.BootID, in.PID = id.Host, id.MachineID, id.BootID, id.PID
		in.Version, in.Reason, in.Last = id.Version, reason, now
		in.Hostname, in.Addresses, in.User, in.Program = id.From.Hostname, id.From.Addresses, id.From.User, id.From.Program
		in.Count++
		// A replacing rename: the last writer wins, and a count may be lost.
		draft := path.Join(spool.DirIntruders, draftPrefix+f.nonce())
		if _, err := f.fs.Create(draft, encode(in)); err != nil {
			return errors.Join(err, f.fs.Remove(draft))
		}
		if err := f.fs.Rename(draft, name); err != nil {
			if there, lerr := has(f.fs, draft); lerr != nil || there {
				return errors.Join(err, lerr, f.fs.Remove(draft))
			}
		}
		return f.fs.Sync(spool.DirIntruders)
	})
	if err != nil {
		return fmt.Errorf("record intruder: %w", err)
	}
	return nil
}

// Intruders lists what RecordIntruder noted, by file name.
func Intruders(fs vfs.FS) ([]Intruder, error) {
	all, err := names(fs, spool.DirIntruders)
	if err != nil {
		return nil, fmt.Errorf("list intruders: %w", err)
	}
	var found []Intruder
	var failed []error
	for _, n := range all {
		if !strings.HasPrefix(n, refusedPrefix) {
			continue
		}
		var in Intruder
		if err := readJSON(fs, path.Join(spool.DirIntruders, n), &in); err != nil {
			failed = append(failed, err)
			continue
		}
		found = append(found, in)
	}
	return slices.Clip(found), errors.Join(failed...)
}
