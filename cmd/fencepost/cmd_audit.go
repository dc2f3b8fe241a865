package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/config"
	"fencepost/cmd/fencepost/show"
	"fencepost/spool"
)

func newAuditCmd(g *globals) *cobra.Command {
	var wait config.Duration
	recover, dry, verify, heads := false, false, false, ""
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Prove that no job is lost or doubled",
		Long: "audit counts names on disk, nothing else: accepted = accepting + waiting + claimed + sealed +\n" +
			"held + parked + failed + done (+ handed over). A job that seems to be nowhere or twice is looked\n" +
			"for twice more, --wait apart. Exit 5 if the difference isn't 0, or a job vanished or is doubled.\n\n" +
			"With --recover, each vanished job enters its first stage again, as a copy of what the gate keeps,\n" +
			"unless the configured cluster, asked first, knows it. One that had passed the exit gate may have\n" +
			"been submitted: its copy is parked, and the alarm stays until a person decides (unpark --copy).",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.config(cmd)
			if err != nil {
				return err
			}
			apart := c.Lease.Duration
			if cmd.Flags().Changed("wait") {
				apart = wait.Duration
			}
			if verify || heads != "" {
				return g.auditVerify(cmd, heads)
			}
			if recover {
				return g.auditRecover(cmd, apart, dry)
			}
			return g.audit(cmd, apart)
		},
	}
	cmd.Flags().BoolVar(&recover, "recover", false, "enter copies of vanished jobs again")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "with --recover: only say what would be done")
	cmd.Flags().BoolVar(&verify, "verify", false, "check the journals' chains instead: exit 5 if a line was changed, left out or put in")
	cmd.Flags().StringVar(&heads, "heads", "", "with --verify: `FILE` that an earlier audit --verify --json printed; what it knew has to be there still")
	g.bind(cmd, "host", "cluster.name")
	cmd.Flags().TextVar(&wait, "wait", config.Duration{}, "`DURATION` between the looks for a suspect (default a lease time)")
	cmd.Flags().Lookup("wait").DefValue = ""
	return cmd
}

func (g *globals) audit(cmd *cobra.Command, apart time.Duration) error {
	b, err := onSpool(g, cmd, func(ctx context.Context, s *share) (spool.Balance, error) { return s.Audit(ctx, apart) })
	if err != nil {
		return err
	}
	if err := g.print("audit", b, func(o *show.Out) { printBalance(o, b) }); err != nil {
		return err
	}
	return unbalanced(b)
}

// unbalanced is the verdict on a balance.
func unbalanced(b spool.Balance) error {
	if b.OK() {
		return nil
	}
	return &exitError{code: exitUnsafe, next: "fencepost trace JOB shows who had it last; fencepost intruders, whether somebody else was at work",
		err: fmt.Errorf("the balance is wrong: difference %d, %d vanished, %d in two places", b.Difference, len(b.Vanished), len(b.Duplicated))}
}

func printBalance(o *show.Out, b spool.Balance) {
	t := o.Table("PLACE", "JOBS")
	for _, r := range []struct {
		what string
		n    int
	}{{"accepted", b.Accepted}, {"accepting", b.Accepting}, {"waiting", b.Waiting}, {"claimed", b.Claimed}, {"sealed", b.Sealed},
		{"held", b.Held}, {"parked", b.Parked}, {"failed", b.Failed}, {"done", b.Done}, {"handed over", b.HandedOver},
		{"difference", b.Difference}} {
		t.Row(r.what, itoa(r.n))
	}
	t.End()
	for _, l := range []struct {
		what string
		ids  []string
		sev  show.Severity
	}{{"vanished", b.Vanished, show.Bad}, {"duplicated", b.Duplicated, show.Bad}, {"ungated", b.Ungated, show.Warn}} {
		for _, id := range l.ids {
			o.Cells(l.sev, l.what, id)
		}
	}
}
