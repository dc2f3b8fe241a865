package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/config"
	"fencepost/cmd/fencepost/show"
	"fencepost/spool"
)

// recoveredDoc is an audit after what vanished was looked after.
type recoveredDoc struct {
	spool.Balance
	DryRun    bool             `json:"dry_run"`
	Recovered []spool.Recovery `json:"recovered"`
}

// auditRecover audits, enters copies of what vanished, and audits again. The
// looks that find a job vanished are the audit's.
func (g *globals) auditRecover(cmd *cobra.Command, apart time.Duration, dry bool) error {
	host, err := g.host(cmd)
	if err != nil {
		return err
	}
	c, err := g.config(cmd)
	if err != nil {
		return err
	}
	doc, err := onSpool(g, cmd, func(ctx context.Context, s *share) (recoveredDoc, error) {
		d := recoveredDoc{DryRun: dry, Recovered: []spool.Recovery{}}
		b, err := s.Audit(ctx, apart)
		if d.Balance = b; err != nil || len(b.Vanished) == 0 {
			return d, err
		}
		d.Recovered, err = recoverJobs(ctx, s, c, host, b.Vanished, dry)
		if err != nil || dry {
			return d, err
		}
		d.Balance, err = s.Audit(ctx, apart)
		return d, err
	})
	if err != nil {
		return err
	}
	if err := g.print("audit", doc, func(o *show.Out) {
		printBalance(o, doc.Balance)
		for _, r := range doc.Recovered {
			o.Cells(show.Fine, r.Did, r.Job, dash(r.Path), r.Detail)
		}
	}); err != nil {
		return err
	}
	return unbalanced(doc.Balance)
}

// recoverJobs goes on after a failure: each job is one of its own.
func recoverJobs(ctx context.Context, s *share, c *config.Loaded, host string, ids []string, dry bool) ([]spool.Recovery, error) {
	in := &spool.Instance{Spool: s.Spool, Host: spool.CommandHost(host)} // looks only
	if !dry {
		var err error
		if in, err = commandInstance(ctx, s, c, host); err != nil {
			return nil, err
		}
		in.Journal.Add(spool.Event{Event: "recover", Result: "by " + person()})
	}
	ask := askCluster(c, s, host)
	out := []spool.Recovery{}
	var failed error
	for _, id := range ids {
		r, err := in.Recover(ctx, id, ask, dry)
		failed = errors.Join(failed, err)
		if err == nil {
			out = append(out, r)
		}
	}
	if !dry {
		failed = errors.Join(failed, endCommand(in))
	}
	return out, failed
}
