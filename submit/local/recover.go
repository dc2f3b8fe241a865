package local

import (
	"context"
	"errors"
	"path"
	"syscall"
	"time"

	"fencepost/spool"
	"fencepost/spool/vfs"
)

// Recovered is a job whose wrapper is gone.
type Recovered struct {
	Job       string
	ClusterID string
	Reason    string
}

// Recover looks through this host's starts that have no status yet, and
// records interrupted for those whose wrapper is provably gone. It is cheap,
// and meant to be called at the start and from time to time. It never runs a
// job: what has started once never starts again. Starts of other machines are
// left to these.
func (c *Cluster) Recover(ctx context.Context) ([]Recovered, error) {
	names, err := c.cfg.FS.List(openDir(c.cfg.Host))
	if errors.Is(err, syscall.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []Recovered
	var errs []error
	for _, name := range names {
		if ctx.Err() != nil {
			return found, context.Cause(ctx)
		}
		job, nonce, ok := parseOpen(name)
		if !ok {
			continue // foreign, or half written: no start rests on it
		}
		r, err := c.recoverOne(job, nonce)
		if err != nil {
			errs = append(errs, err)
		}
		if r != nil {
			found = append(found, *r)
		}
	}
	return found, errors.Join(errs...)
}

func (c *Cluster) recoverOne(job, nonce string) (*Recovered, error) {
	fs, own := c.cfg.FS, openPath(c.cfg.Host, job, nonce)
	r, id, err := readStart(fs, own)
	if err != nil {
		if errors.Is(err, syscall.ENOENT) {
			return nil, nil // its wrapper has just finished
		}
		return nil, err
	}
	there, err := fs.Identify(path.Join(spool.StartedPath(job)))
	switch {
	case errors.Is(err, syscall.ENOENT):
		// Its wrapper lives, or died before the link. A link in flight may
		// land yet, so the file stays until somebody has started the job.
		return nil, nil
	case err != nil:
		return nil, err
	case there != id:
		return nil, dropOpen(fs, own) // another start won
	}
	if s, err := Read(fs, job); err != nil {
		return nil, err
	} else if s.State == Done || s.State == Interrupted {
		return nil, dropOpen(fs, own)
	}
	gone, reason := c.gone(r)
	if !gone {
		return nil, nil
	}
	s := Status{Job: job, ClusterID: r.ClusterID, Host: r.Host, State: Interrupted, Reason: reason,
		StartedAt: r.StartedAt, EndedAt: time.Now().UTC()}
	if err := writeStatus(fs, s, nonce+".recover", false); err != nil {
		return nil, err
	}
	return &Recovered{Job: job, ClusterID: r.ClusterID, Reason: reason}, dropOpen(fs, own)
}

func dropOpen(fs vfs.FS, own string) error {
	if err := fs.Remove(own); err != nil && !errors.Is(err, syscall.ENOENT) {
		return err
	}
	return nil
}

// gone asks for proof that a wrapper is dead. Only its own machine can have
// it: that has booted since, or the wrapper's slot has been freed by the
// kernel. A process id proves nothing: it may be in use again.
func (c *Cluster) gone(r start) (bool, string) {
	if r.MachineID != c.cfg.MachineID {
		return false, ""
	}
	if r.BootID != c.cfg.BootID {
		return true, "the machine was restarted"
	}
	if r.RunDirID != c.slots.id {
		return false, "" // another run directory: a container's, or a changed setting
	}
	gone, err := c.slots.gone(r.Slot, r.Job+" "+r.Nonce)
	if err != nil || !gone {
		return false, ""
	}
	return true, "the wrapper died"
}
