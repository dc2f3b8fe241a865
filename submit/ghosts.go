package submit

import (
	"context"
	"fmt"

	"fencepost/spool"
	"fencepost/spool/env/drill"
	"fencepost/submit/internal/canary"
)

// ghostLoop cancels held jobs that nobody will ever release: submissions whose
// seal was lost. It needs positive proof that their token can't be sealed any
// more; that a listing doesn't show something is no proof.
func (e *Engine) ghostLoop(ctx context.Context) {
	for e.env.Sleep(ctx, e.opt.SweepEvery) == nil {
		if _, err := e.SweepGhosts(ctx); err != nil {
			e.in.Warn("sweep held jobs", err)
		}
	}
}

// SweepGhosts makes one pass. The cluster is read first, then the spool: a
// token that is sealed after the listing was in its claim at the listing.
func (e *Engine) SweepGhosts(ctx context.Context) (cancelled int, err error) {
	l, _, err := e.list(ctx)
	if err != nil {
		return 0, err
	}
	orphans := map[string]bool{}
	defer func() { e.orphans = orphans }()
	for _, j := range sortedJobs(l) {
		if ctx.Err() != nil {
			return cancelled, context.Cause(ctx)
		}
		tok, ok := spool.ParseToken(j.Token)
		if j.State != Held || !ok || tok.Spool != e.in.ID {
			continue
		}
		dead, why, err := e.provenDead(j, tok, orphans)
		if err != nil {
			return cancelled, err
		}
		if !dead {
			continue
		}
		if err := e.cluster.Cancel(ctx, j.ID); err != nil {
			e.in.Warn("cancel ghost "+j.ID, err)
			continue
		}
		cancelled++
		e.tally(func(s *Stats) { s.Ghosts++ })
		e.note(spool.EvGhost, spool.Name{ID: j.Key, Gen: tok.Gen, Host: tok.Host, Epoch: tok.Epoch, Seq: tok.Seq}, j.ID, why, 0)
	}
	return cancelled, nil
}

// provenDead says whether the token of a held job can't be sealed any more.
// orphans takes those whose epoch is gone, for the next sweep.
func (e *Engine) provenDead(j Job, tok spool.Token, orphans map[string]bool) (bool, string, error) {
	if host, epoch, ok := canary.Parse(e.in.NamePrefix(), j.Name); ok {
		if j.Token != canary.Token(e.in.ID, host, epoch) {
			return false, "", nil
		}
		gone, err := e.epochGone(j, tok, orphans)
		return gone, "the canary of an instance that is over", err
	}
	if !spool.ValidID(j.Key) || j.Name != e.in.NamePrefix()+j.Key {
		return false, "", nil
	}
	found, err := e.in.Locate(j.Key)
	if err != nil {
		return false, "", err
	}
	for _, f := range found {
		if f.Name.Cluster == j.ID {
			return false, "", nil // a sealed, parked, failed or done file names it
		}
	}
	if drill.Broken(e.env, drill.SweepByAbsence) {
		return true, "no file names it", nil
	}
	for _, f := range found {
		if f.Name.Stage != spool.Submit {
			continue
		}
		if f.Name.Cluster != "" && f.Name.Gen >= tok.Gen && (f.Place == spool.PlaceSealed || f.Place == spool.PlaceDone) {
			return true, fmt.Sprintf("the job is %s with cluster id %s", f.Place, f.Name.Cluster), nil
		}
		if f.Name.Gen > tok.Gen && e.genuine(f, j.Key) {
			return true, fmt.Sprintf("the job is at generation %d, this is of %d", f.Name.Gen, tok.Gen), nil
		}
	}
	gone, err := e.epochGone(j, tok, orphans)
	if err != nil || !gone {
		return false, "", err
	}
	// Its directories went after the listing, or before: look again, so that a
	// file which was sealed and moved on meanwhile is seen.
	if found, err = e.in.Locate(j.Key); err != nil {
		return false, "", err
	}
	for _, f := range found {
		if f.Name.Cluster == j.ID {
			return false, "", nil
		}
	}
	return len(found) > 0, fmt.Sprintf("epoch %d of %s is over and nothing names this id", tok.Epoch, tok.Host), nil
}

// genuine says whether a file is the one that passed the exit gate: the
// generation of a recovered copy proves nothing about the genuine job.
func (e *Engine) genuine(f spool.Found, key string) bool {
	once, err := e.in.FS.Identify(spool.OncePath(spool.Submit, key))
	if err != nil {
		return false
	}
	id, err := e.in.FS.Identify(f.Path)
	return err == nil && id == once
}

// epochGone says whether all directories of a token's epoch were removed: so at
// this sweep and at the one before it, since one listing may be an old one.
func (e *Engine) epochGone(j Job, tok spool.Token, orphans map[string]bool) (bool, error) {
	for _, base := range []string{spool.DirClaims, spool.DirSealed, spool.DirDrafts} {
		there, err := e.in.Exists(spool.EpochDir(base, tok.Host, tok.Epoch))
		if err != nil || there {
			return false, err
		}
	}
	key := j.ID + " " + j.Token
	orphans[key] = true
	return e.orphans[key], nil
}
