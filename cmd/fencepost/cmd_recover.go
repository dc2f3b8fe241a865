package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/config"
	"fencepost/cmd/fencepost/show"
	"fencepost/lease"
	"fencepost/spool"
)

// recoverDoc is what a pass found and did.
type recoverDoc struct {
	DryRun bool         `json:"dry_run"`
	Epochs []recoverRow `json:"epochs"`
}

// recoverRow is an epoch that is over.
type recoverRow struct {
	Host      string `json:"host"`
	Epoch     uint64 `json:"epoch"`
	Why       string `json:"why"`
	Files     int    `json:"files"` // that it had
	Returned  int    `json:"returned"`
	Published int    `json:"published"`
	Accepted  int    `json:"accepted"`
	Foreign   int    `json:"foreign"`
	Left      int    `json:"left"` // sealed submissions, for an instance that can reach the cluster
	Gone      bool   `json:"gone"`
}

func newRecoverCmd(g *globals) *cobra.Command {
	dry := false
	var wait config.Duration
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Move on what instances that are over left behind",
		Long: "recover does what every instance does beside its work, for a spool that has none at the moment:\n" +
			"it watches the heartbeats for as long as a lease needs to expire, or for --wait, fences what was\n" +
			"silent for so long, and moves on the work of epochs that are over. What lives is never touched.\n" +
			"Sealed submissions are left to an instance that can reach the cluster.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return g.recover(cmd, wait.Duration, dry) },
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would be done")
	cmd.Flags().TextVar(&wait, "wait", config.Duration{}, "watch for `DURATION` (default as long as an expired lease takes to show)")
	cmd.Flags().Lookup("wait").DefValue = ""
	g.bind(cmd, "host")
	return cmd
}

func (g *globals) recover(cmd *cobra.Command, wait time.Duration, dry bool) error {
	host, err := g.host(cmd)
	if err != nil {
		return err
	}
	c, err := g.config(cmd)
	if err != nil {
		return err
	}
	if wait == 0 {
		wait = c.Lease.Duration*3/2 + 3*c.Heartbeat.Duration
	}
	fmt.Fprintf(g.stderr, "watching the heartbeats for %s\n", wait)
	doc, err := onSpool(g, cmd, func(ctx context.Context, s *share) (recoverDoc, error) {
		if dry {
			return wouldRecover(ctx, s, c, host, wait)
		}
		return recoverAll(ctx, s, c, host, wait)
	})
	if err != nil {
		return err
	}
	return g.print("recover", doc, func(o *show.Out) {
		t := o.Table("HOST", "EPOCH", "FILES", "RETURNED", "PUBLISHED", "ACCEPTED", "FOREIGN", "LEFT", "GONE", "WHY")
		for _, r := range doc.Epochs {
			t.Row(r.Host, fmt.Sprint(r.Epoch), itoa(r.Files), itoa(r.Returned), itoa(r.Published), itoa(r.Accepted), itoa(r.Foreign),
				itoa(r.Left), yes(r.Gone), r.Why)
		}
		t.End()
	})
}

// watchFor observes all hosts. Epoch 0 is an observer that fences nobody.
func watchFor(ctx context.Context, s *share, c *config.Loaded, self string, epoch uint64, wait time.Duration) ([]spool.Over, []lease.HostState, error) {
	w := lease.NewWatcher(lease.WatchConfig{Env: s.Env, Self: self, Epoch: epoch, Heartbeat: c.Heartbeat.Duration, TTL: c.Lease.Duration})
	for start := s.Env.Now(); ; {
		over := w.Round(ctx, true)
		if s.Env.Now()-start >= wait {
			return over, w.Hosts(), nil
		}
		if err := s.Env.Sleep(ctx, c.Heartbeat.Duration); err != nil {
			return nil, nil, err
		}
	}
}

// wouldRecover changes nothing: what is silent by the end would be fenced.
func wouldRecover(ctx context.Context, s *share, c *config.Loaded, host string, wait time.Duration) (recoverDoc, error) {
	doc := recoverDoc{DryRun: true, Epochs: []recoverRow{}}
	over, hosts, err := watchFor(ctx, s, c, spool.CommandHost(host), 0, wait)
	for _, h := range hosts {
		if h.State == lease.Silent {
			over = append(over, spool.Over{Host: h.Host, Epoch: h.Record.Epoch, Why: "silent: would be fenced"})
		}
	}
	for _, o := range over {
		doc.Epochs = append(doc.Epochs, recoverRow{Host: o.Host, Epoch: o.Epoch, Why: o.Why, Files: filesOf(s, o)})
	}
	return doc, err
}

func recoverAll(ctx context.Context, s *share, c *config.Loaded, host string, wait time.Duration) (recoverDoc, error) {
	doc := recoverDoc{Epochs: []recoverRow{}}
	in, err := commandInstance(ctx, s, c, host)
	if err != nil {
		return doc, err
	}
	over, _, failed := watchFor(ctx, s, c, in.Host, in.Epoch, wait)
	for _, o := range over {
		row := recoverRow{Host: o.Host, Epoch: o.Epoch, Why: o.Why, Files: filesOf(s, o)}
		did, err := in.Reclaim(o, nil)
		failed = errors.Join(failed, err)
		row.Returned, row.Published, row.Accepted, row.Foreign, row.Left, row.Gone =
			did.Returned, did.Published, did.Rolled, did.Foreign, did.Left, did.Gone
		in.Journal.Add(spool.Event{Event: "reclaim", Token: fmt.Sprintf("%s/%d", o.Host, o.Epoch), Result: "by " + person(), Detail: o.Why})
		doc.Epochs = append(doc.Epochs, row)
	}
	return doc, errors.Join(failed, endCommand(in))
}

func filesOf(s *share, o spool.Over) int {
	n := 0
	for _, base := range []string{spool.DirClaims, spool.DirSealed, spool.DirDrafts} {
		names, err := s.FS.List(spool.EpochDir(base, o.Host, o.Epoch))
		if err == nil {
			n += len(names)
		}
	}
	return n
}

// commandInstance is this command under an epoch of its own, as HOST~cmd: it
// writes drafts, and claims nothing.
func commandInstance(ctx context.Context, s *share, c *config.Loaded, host string) (*spool.Instance, error) {
	id, err := lease.Local(host, c.MachineID)
	if err != nil {
		return nil, &exitError{code: exitUsage, err: err}
	}
	id.Version, id.ConfigDigest = version(), c.Digest()
	owner, epoch, err := lease.TakeEpoch(ctx, s.Env, id)
	if err != nil {
		return nil, err
	}
	return spool.NewInstance(s.Spool, spool.Stamp{Host: owner, Epoch: epoch, Version: id.Version, Config: id.ConfigDigest}, nil)
}

// endCommand takes the command's epoch away again. What it leaves is reclaimed
// by others, later.
func endCommand(in *spool.Instance) error {
	_, err := in.Reclaim(spool.Over{Host: in.Host, Epoch: in.Epoch, Why: "the command ended"}, nil)
	return errors.Join(err, in.Journal.Close())
}
