package lease

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"syscall"
	"time"

	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/env/drill"
	"fencepost/spool/vfs"
)

// epochBases are the directories of an epoch in the order in which they are
// made. The order is a promise to reclaim: once drafts is seen, a missing
// claims or sealed means removed, not "not made yet" (HOLES: rmdirOfNothing).
var epochBases = []string{spool.DirClaims, spool.DirSealed, spool.DirDrafts}

// maxCollisions bounds the search for a free number: each one that is taken is
// seen in the listing that follows, so that two are many.
const maxCollisions = 1000

func parseEpoch(name string) (uint64, bool) {
	n, err := strconv.ParseUint(name, 10, 63)
	return n, err == nil && n > 0 && strconv.FormatUint(n, 10) == name
}

func epochsIn(fs vfs.FS, dir string) ([]uint64, error) {
	all, err := names(fs, dir)
	var found []uint64
	for _, name := range all {
		if n, ok := parseEpoch(name); ok {
			found = append(found, n)
		}
	}
	slices.Sort(found)
	return found, err
}

// origin is what an instance leaves in epochs/N, under its nonce.
type origin struct {
	MachineID string    `json:"machine_id"`
	BootID    string    `json:"boot_id"`
	PID       int       `json:"pid"`
	Version   string    `json:"version"`
	At        time.Time `json:"at"`
}

// newEpoch makes the next number of owner, with its directories. trying is told
// each number before it is tried.
//
// A number is given up after any error: EEXIST may mean that the own mkdir was
// done, but nobody ever adopts an epoch, since two might. It is burnt, and what
// was made of its directories is reclaimed like any other's.
func (f files) newEpoch(ctx context.Context, owner string, id Identity, floor uint64, trying func(uint64)) (uint64, error) {
	for _, base := range epochBases {
		if err := f.ensureDir(ctx, path.Join(base, owner)); err != nil {
			return 0, fmt.Errorf("make epoch of host %s: %w", owner, err)
		}
	}
	pause, failures := firstPause, 0
	for range maxCollisions {
		top, err := f.highest(ctx, owner)
		if err != nil {
			return 0, fmt.Errorf("make epoch of host %s: %w", owner, err)
		}
		n := max(top, floor) + 1
		trying(n)
		if err = f.makeEpoch(ctx, owner, n, id); err == nil {
			return n, nil
		}
		floor = n
		if isErr(err, syscall.EEXIST) || err == errPassed {
			continue
		}
		if failures++; failures == attempts {
			return 0, fmt.Errorf("make epoch of host %s: %w", owner, err)
		}
		if f.env.Sleep(ctx, pause) != nil {
			return 0, errors.Join(err, context.Cause(ctx))
		}
		pause *= 2
	}
	return 0, fmt.Errorf("make epoch of host %s: %d numbers were taken", owner, maxCollisions)
}

// highest is the highest number that was ever given out, as far as listings
// show: the mkdir decides.
func (f files) highest(ctx context.Context, owner string) (top uint64, err error) {
	dirs := []string{spool.EpochsDir(owner)}
	for _, base := range epochBases {
		dirs = append(dirs, path.Join(base, owner))
	}
	for _, dir := range dirs {
		err = f.again(ctx, func() error {
			found, err := epochsIn(f.fs, dir)
			if len(found) > 0 {
				top = max(top, found[len(found)-1])
			}
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return top, nil
}

// errPassed: a higher number was given out before this one was made.
var errPassed = errors.New("a higher epoch was made first")

// makeEpoch: mkdir epochs/N; the nonce in it; a look; then claims, sealed, drafts, each
// on disk before the next is begun.
func (f files) makeEpoch(ctx context.Context, owner string, n uint64, id Identity) error {
	dir := path.Join(spool.EpochsDir(owner), strconv.FormatUint(n, 10))
	if err := f.fs.Mkdir(dir); err != nil && !(isErr(err, syscall.EEXIST) && drill.Broken(f.env, drill.EpochAdopt)) {
		return err
	}
	data := encode(origin{MachineID: id.MachineID, BootID: id.BootID, PID: id.PID, Version: id.Version, At: f.env.Wall().UTC()})
	if _, err := f.fs.Create(path.Join(dir, id.Nonce), data); err != nil {
		return err
	}
	if err := f.fs.Sync(spool.EpochsDir(owner), dir); err != nil {
		return err
	}
	// Another process of this host may have gone past this number before it was
	// made: then it was over at its birth, and nobody looks for it any more.
	if top, err := f.highest(ctx, owner); err != nil {
		return err
	} else if top > n && !drill.Broken(f.env, drill.EpochBehind) {
		return errPassed
	}
	for _, base := range epochBases {
		err := f.fs.Mkdir(spool.EpochDir(base, owner, n))
		if err != nil && !(isErr(err, syscall.EEXIST) && drill.Broken(f.env, drill.EpochAdopt)) {
			return err
		}
		if err := f.fs.Sync(path.Join(base, owner)); err != nil {
			return err
		}
	}
	return nil
}

// madeBy says whether a process made an epoch. Without a nonce in it nobody can
// tell: then it is another's.
func (f files) madeBy(owner string, n uint64, nonce string) (bool, error) {
	all, err := names(f.fs, path.Join(spool.EpochsDir(owner), strconv.FormatUint(n, 10)))
	return slices.Contains(all, nonce), err
}

// TakeEpoch makes an epoch with its directories for a command that writes
// drafts, as host HOST~cmd, without lease. Watchers call it over once it is
// CommandAge old.
func TakeEpoch(ctx context.Context, e env.Env, id Identity) (owner string, epoch uint64, err error) {
	if err := id.validate(); err != nil {
		return "", 0, err
	}
	f := filesOf(e)
	owner = spool.CommandHost(id.Host)
	if err := f.hostDirs(ctx, owner); err != nil {
		return "", 0, err
	}
	epoch, err = f.newEpoch(ctx, owner, id, 0, func(uint64) {})
	return owner, epoch, err
}

// LowerEpochs lists the epochs of a host below epoch that still have a
// directory under claims, sealed or drafts.
func LowerEpochs(fs vfs.FS, host string, epoch uint64) ([]uint64, error) {
	found, err := epochDirs(fs, host)
	i, _ := slices.BinarySearch(found, epoch)
	return found[:i], err
}

// epochDirs lists all epochs of an owner that have a directory, sorted.
func epochDirs(fs vfs.FS, owner string) ([]uint64, error) {
	var all []uint64
	for _, base := range epochBases {
		found, err := epochsIn(fs, path.Join(base, owner))
		if err != nil {
			return nil, fmt.Errorf("list epochs of host %s: %w", owner, err)
		}
		all = append(all, found...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}
