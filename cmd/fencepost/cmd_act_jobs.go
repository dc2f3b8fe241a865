package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/config"
	"fencepost/cmd/fencepost/show"
	"fencepost/lease"
	"fencepost/spool"
)

// actFlags are those of every command that acts on a job.
type actFlags struct {
	reason string
	force  bool
	dry    bool
}

// jobAct is something that a person does to a job.
type jobAct struct {
	name, short, long string
	force             bool          // whether there is something to force
	on                []spool.Place // of the jobs that it is for: for completion
	do                func(ctx context.Context, op *spool.Operator, id string) (spool.Acted, error)
}

func newHoldCmd(g *globals) *cobra.Command {
	return g.newJobActCmd(jobAct{name: "hold", on: []spool.Place{spool.PlaceWaiting, spool.PlaceClaimed, spool.PlaceSealed}, short: "Set a waiting job aside until it is released",
		long: "hold sets a waiting job aside. For one that a host is working on it leaves a request, which is\n" +
			"honoured before the job is sealed and before it is released at the cluster, and says who has it.",
		do: func(ctx context.Context, op *spool.Operator, id string) (spool.Acted, error) { return op.Hold(ctx, id) }})
}

func newReleaseCmd(g *globals) *cobra.Command {
	return g.newJobActCmd(jobAct{name: "release", on: []spool.Place{spool.PlaceHeld, spool.PlaceClaimed, spool.PlaceSealed}, short: "Put a held job back into its stage", force: true,
		long: "release puts a held job back into its stage, or withdraws a hold that wasn't honoured yet. A job\n" +
			"whose name bears a cluster's id was submitted, held, before: it needs --force and --reason.",
		do: func(ctx context.Context, op *spool.Operator, id string) (spool.Acted, error) {
			return op.Release(ctx, id)
		}})
}

func newRetryCmd(g *globals) *cobra.Command {
	return g.newJobActCmd(jobAct{name: "retry", on: []spool.Place{spool.PlaceFailed}, short: "Put a failed job back into its stage, its faults forgotten", force: true,
		long: "retry puts a failed job back into its stage, with a new generation and no faults. A job whose\n" +
			"name bears a cluster's id may have run there: it needs --force and --reason.",
		do: func(ctx context.Context, op *spool.Operator, id string) (spool.Acted, error) {
			return op.Retry(ctx, id)
		}})
}

func newCancelCmd(g *globals) *cobra.Command {
	return g.newJobActCmd(jobAct{name: "cancel", on: []spool.Place{spool.PlaceWaiting, spool.PlaceClaimed, spool.PlaceSealed, spool.PlaceHeld, spool.PlaceParked}, short: "Set a job aside for good, unless the cluster has it",
		long: "cancel sets a waiting, held or parked job aside, as failed. For one that a host is working on it\n" +
			"leaves a request. What is done is the cluster's: cancel it there.",
		do: func(ctx context.Context, op *spool.Operator, id string) (spool.Acted, error) {
			return op.Cancel(ctx, id)
		}})
}

func newUnparkCmd(g *globals) *cobra.Command {
	var submitted, copyToken string
	var again bool
	var run func(*cobra.Command, []string) error
	cmd := g.newJobActCmd(jobAct{name: "unpark", on: []spool.Place{spool.PlaceParked}, short: "Decide about a parked job: the cluster has it, or submit it again", force: true,
		long: "unpark ends what no program may decide.\n\n" +
			"With --submitted, the cluster has the job under that id: it is done.\n" +
			"With --again it is submitted once more. That needs proof that it can't run twice: the process that\n" +
			"had it is gone (it said goodbye, or its machine was started again), its guard shows no start, and\n" +
			"the configured cluster, asked now, doesn't know it. What is missing needs --force and --reason.\n\n" +
			"With --copy, a second copy of the job is meant, which the exit gate refused: it takes the place of\n" +
			"what was handed over first, which always needs --force and --reason. It is refused while the job\n" +
			"itself is anywhere.",
		do: func(ctx context.Context, op *spool.Operator, id string) (spool.Acted, error) {
			switch {
			case submitted != "":
				return op.Submitted(ctx, id, submitted, copyToken)
			case copyToken != "":
				return op.CopyAgain(ctx, id, copyToken)
			}
			return op.Again(ctx, id)
		}})
	cmd.Flags().StringVar(&submitted, "submitted", "", "the cluster has it as `CLUSTER_ID`")
	cmd.Flags().BoolVar(&again, "again", false, "submit it once more")
	cmd.Flags().StringVar(&copyToken, "copy", "", "a parked copy, by its `TOKEN` HOST/EPOCH/SEQ; any = the only one")
	cmd.MarkFlagsMutuallyExclusive("submitted", "again")
	run = cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if submitted == "" && !again {
			return usagef(cmd, "say what is known: --submitted CLUSTER_ID, or --again")
		}
		return run(cmd, args)
	}
	g.bind(cmd, "cluster.name")
	return cmd
}

func (g *globals) newJobActCmd(a jobAct) *cobra.Command {
	var f actFlags
	cmd := &cobra.Command{
		Use: a.name + " JOB", Short: a.short, Long: a.long,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.completeJobs(a.on...),
		RunE:              func(cmd *cobra.Command, args []string) error { return g.jobAct(cmd, a, f, args[0]) },
	}
	cmd.Flags().StringVar(&f.reason, "reason", "", "`TEXT` that others will read")
	cmd.Flags().BoolVar(&f.dry, "dry-run", false, "only say what would be done")
	if a.force {
		cmd.Flags().BoolVar(&f.force, "force", false, "do what can't be proven to be safe; needs --reason")
	}
	g.bind(cmd, "host")
	return cmd
}

func (g *globals) jobAct(cmd *cobra.Command, a jobAct, f actFlags, prefix string) error {
	if f.force && f.reason == "" {
		return usagef(cmd, "--force needs --reason TEXT: it is written down with your name")
	}
	host, err := g.host(cmd)
	if err != nil {
		return err
	}
	c, err := g.config(cmd)
	if err != nil {
		return err
	}
	did, err := onSpool(g, cmd, func(ctx context.Context, s *share) (spool.Acted, error) {
		id, err := resolve(s, prefix)
		if err != nil {
			return spool.Acted{}, err
		}
		op := newOperator(s, c, host, f)
		did, err := a.do(ctx, op, id)
		return did, errors.Join(err, op.Close())
	})
	if err != nil {
		return refused(err)
	}
	return g.print(a.name, did, func(o *show.Out) { o.Line(actedLine(did)) })
}

// newOperator is the person at this command.
func newOperator(s *share, c *config.Loaded, host string, f actFlags) *spool.Operator {
	op := &spool.Operator{Spool: s.Spool, Host: host, By: person(), Reason: f.reason, Force: f.force, DryRun: f.dry,
		Stamp: spool.Stamp{Version: version(), Config: c.Digest()}, Ask: askCluster(c, s, host)}
	op.Gone = func(host string, epoch uint64) (bool, string, error) { return lease.Gone(s.FS, host, epoch) }
	return op
}

// refused says what to do instead.
func refused(err error) error {
	var r *spool.Refusal
	if errors.As(err, &r) {
		return &exitError{code: exitFailed, err: err, next: r.Next}
	}
	return err
}

func actedLine(a spool.Acted) string {
	verb := a.Did
	if a.DryRun {
		verb = "would be " + verb
	}
	switch {
	case a.Did == "nothing":
		return fmt.Sprintf("job %s: %s", a.Job, a.Detail)
	case a.Detail != "":
		return fmt.Sprintf("%s: job %s: %s -> %s: %s", verb, a.Job, a.From, a.To, a.Detail)
	}
	return fmt.Sprintf("%s: job %s: %s -> %s", verb, a.Job, a.From, a.To)
}
