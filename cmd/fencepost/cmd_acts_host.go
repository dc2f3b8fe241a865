package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/show"
	"fencepost/lease"
	"fencepost/spool"
)

// hostAct is something that a person asks of a host.
type hostAct struct {
	name, short, long string
	do                func(ctx context.Context, s *share, host, reason string) (changed bool, err error)
	done, same        string // what is said afterwards
}

func newDrainCmd(g *globals) *cobra.Command {
	cmd := g.newHostActCmd(hostAct{
		name: "drain", short: "Let a host finish what it has, and take nothing more until resume",
		long: "drain asks a host to take no more work; it goes on living and finishes or returns what it has.\n" +
			"With --wait the command ends when the host holds nothing any more.",
		do: func(ctx context.Context, s *share, host, reason string) (bool, error) {
			was, err := lease.Drained(s.FS, host)
			if err != nil || was {
				return false, err
			}
			return true, lease.Drain(ctx, s.Env, host, person(), reason)
		},
		done: "draining", same: "is draining already: nothing changed",
	})
	wait := cmd.Flags().Bool("wait", false, "wait until the host holds nothing any more")
	act := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dry, _ := cmd.Flags().GetBool("dry-run")
		if err := act(cmd, args); err != nil || !*wait || dry {
			return err
		}
		return g.waitDrained(cmd, strings.ToLower(args[0]))
	}
	return cmd
}

// waitDrained returns when a host holds neither claims nor sealed files.
func (g *globals) waitDrained(cmd *cobra.Command, host string) error {
	_, err := onSpool(g, cmd, func(ctx context.Context, s *share) (any, error) {
		for {
			claims, err := claimsByHost(s)
			if err != nil || claims[host] == 0 {
				return nil, err
			}
			if err := s.Env.Sleep(ctx, 200*time.Millisecond); err != nil {
				return nil, err
			}
		}
	})
	return err
}

func newFenceCmd(g *globals) *cobra.Command {
	return g.newHostActCmd(hostAct{
		name: "fence", short: "Stop a host's instance, and keep it stopped until resume",
		long: "fence makes a host's instance exit with 7 at its next heartbeat; no other starts before resume.\n" +
			"Its work goes on at the other hosts.",
		do: func(ctx context.Context, s *share, host, reason string) (bool, error) {
			was, err := lease.FencedByPerson(s.FS, host)
			if err != nil || was {
				return false, err
			}
			return true, lease.Fence(ctx, s.Env, host, person(), reason)
		},
		done: "fenced", same: "is fenced already: nothing changed",
	})
}

func newResumeCmd(g *globals) *cobra.Command {
	return g.newHostActCmd(hostAct{
		name: "resume", short: "Take drain and fence back",
		long: "resume lets a drained host take work again, and a fenced one start again.",
		do: func(ctx context.Context, s *share, host, _ string) (bool, error) {
			return lease.Resume(ctx, s.Env, host)
		},
		done: "resumed", same: "was neither drained nor fenced: nothing changed",
	})
}

func (g *globals) newHostActCmd(a hostAct) *cobra.Command {
	var reason string
	var dry bool
	cmd := &cobra.Command{
		Use: a.name + " HOST", Short: a.short, Long: a.long,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.completeHosts,
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.hostAct(cmd, a, strings.ToLower(args[0]), reason, dry)
		},
	}
	if a.name != "resume" {
		cmd.Flags().StringVar(&reason, "reason", "", "`TEXT` that others will read")
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would be done")
	return cmd
}

func (g *globals) hostAct(cmd *cobra.Command, a hostAct, host, reason string, dry bool) error {
	if err := checkHost(cmd, host); err != nil {
		return err
	}
	changed, err := onSpool(g, cmd, func(ctx context.Context, s *share) (bool, error) {
		if err := s.knows(host); err != nil || dry {
			return false, err
		}
		return a.do(ctx, s, host, reason)
	})
	if err != nil {
		return err
	}
	return g.print(a.name, map[string]any{"host": host, "changed": changed, "dry_run": dry}, func(o *show.Out) {
		switch {
		case dry:
			o.Line(fmt.Sprintf("would %s host %s", a.name, host))
		case changed:
			o.Line(a.done + " host " + host)
		default:
			o.Line("host " + host + " " + a.same)
		}
	})
}

// knows says whether a host is enrolled, or ever ran.
func (s *share) knows(host string) error {
	members, err := lease.Roster(s.FS)
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.Host == host {
			return nil
		}
	}
	ran, err := s.FS.List(spool.DirHosts)
	if err != nil || contains(ran, host) {
		return err
	}
	return notFoundf("fencepost hosts shows who is enrolled", "host %s is not on the roster and never ran", host)
}
