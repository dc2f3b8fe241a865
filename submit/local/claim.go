package local

import (
	"encoding/json"
	"errors"
	"path"
	"syscall"
	"time"

	"fencepost/spool"
	"fencepost/spool/vfs"
)

// claimTries is how often a link is tried before its outcome is called unknown.
const claimTries = 4

// announce writes the start record under a name of its own. Nothing is decided
// by it; an error means surely not started.
func announce(fs vfs.FS, r start) (own string, id vfs.ID, err error) {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", vfs.ID{}, err
	}
	if err := makeDir(fs, spool.LocalDir(r.Job)); err != nil {
		return "", vfs.ID{}, err
	}
	own = openPath(r.Host, r.Job, r.Nonce)
	id, err = fs.Create(own, append(data, '\n'))
	if errors.Is(err, syscall.ENOENT) { // this host's first job
		if err = makeDir(fs, openDir(r.Host)); err == nil {
			id, err = fs.Create(own, append(data, '\n'))
		}
	}
	if err == nil {
		err = fs.Sync(openDir(r.Host), spool.DirLocal)
	}
	return own, id, err
}

// take links the own file to the name that only one start can have.
//
//	link own -> started/BUCKET/ID; fsync started/BUCKET, started
//
// Won is decided by the identity of the file that stands there, never by the
// answer of the link, whose reply may be lost. Won with an error: taken, but
// perhaps not durably. Any other error means unknown: the link may be there, or
// may yet come.
func take(fs vfs.FS, own string, id vfs.ID, job string) (won bool, winner start, err error) {
	name := spool.StartedPath(job)
	for range claimTries {
		err = fs.Link(own, name)
		if err == nil {
			return true, start{}, syncStart(fs, job)
		}
		there, lerr := fs.Identify(name)
		switch {
		case lerr == nil && there == id:
			return true, start{}, syncStart(fs, job)
		case lerr == nil:
			winner, _, err = readStart(fs, name)
			return false, winner, err
		case !errors.Is(lerr, syscall.ENOENT) && !errors.Is(lerr, syscall.ESTALE):
			return false, start{}, errors.Join(err, lerr)
		}
		// The bucket may be missing; one that is there is as good.
		if merr := makeDir(fs, path.Dir(name)); merr != nil {
			return false, start{}, errors.Join(err, merr)
		}
	}
	return false, start{}, err
}

// syncStart makes a start durable: otherwise a crash of the machine would undo
// the link, and the job would run again.
func syncStart(fs vfs.FS, job string) (err error) {
	for try := range openTries {
		time.Sleep(time.Duration(try) * 200 * time.Millisecond)
		if err = fs.Sync(path.Dir(spool.StartedPath(job)), spool.DirStarted); err == nil {
			return nil
		}
	}
	return err
}
