package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/config"
	"fencepost/lease"
	"fencepost/spool"
)

// Completion looks at the live spool, but not for longer than a person waits.
const (
	completeTimeout = 2 * time.Second
	completeMost    = 200
)

func (g *globals) completeHosts(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return g.complete(cmd, func(_ context.Context, s *share) ([]string, error) {
		members, err := lease.Roster(s.FS)
		var out []string
		for _, m := range members {
			out = append(out, m.Host)
		}
		return out, err
	})
}

func (g *globals) completeJobs(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return g.complete(cmd, func(_ context.Context, s *share) ([]string, error) {
		var out []string
		err := s.Accepted(func(id string) {
			if strings.HasPrefix(id, prefix) && len(out) < completeMost {
				out = append(out, id)
			}
		})
		return out, err
	})
}

func (g *globals) complete(cmd *cobra.Command, look func(context.Context, *share) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	if c, err := g.config(cmd); err == nil && c.Timeout.Duration > completeTimeout {
		c.Timeout = config.Duration{Duration: completeTimeout}
	}
	out, err := onSpool(g, cmd, look)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError | cobra.ShellCompDirectiveNoFileComp
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// oneOf completes a flag's fixed words.
func oneOf(words ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

func stageWords() []string {
	var out []string
	for _, s := range spool.Stages() {
		out = append(out, string(s))
	}
	return out
}

func placeWords() []string {
	var out []string
	for _, p := range spool.Places() {
		out = append(out, string(p))
	}
	return out
}
