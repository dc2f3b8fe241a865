package main

import (
	"context"
	"fmt"
	"slices"
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

// completer is what cobra asks for the words of an argument or a flag.
type completer = func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective)

// notDone are the places of jobs that go on, or could.
var notDone = [...]spool.Place{spool.PlaceAccepting, spool.PlaceWaiting, spool.PlaceClaimed, spool.PlaceSealed, spool.PlaceHeld,
	spool.PlaceParked, spool.PlaceFailed}

// completeHosts completes the one argument of a command with the hosts, and what
// they say of themselves: whether they are silent would take a second.
func (g *globals) completeHosts(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return g.completeHostFlag(cmd, args, prefix)
}

// completeHostFlag completes a flag that names a host.
func (g *globals) completeHostFlag(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return g.complete(cmd, func(ctx context.Context, s *share) ([]string, error) {
		states, err := lease.Look(ctx, s.Env, time.Millisecond)
		var out []string
		for _, st := range states {
			word := string(st.State)
			if st.State == lease.Silent && !st.Measured {
				word = fmt.Sprintf("epoch %d", st.Record.Epoch)
			}
			out = append(out, st.Host+"\t"+word)
		}
		return out, err
	})
}

// completeJobs completes the one argument of a command with the jobs in some
// places, and what they are; without places, with all that passed the gate.
func (g *globals) completeJobs(places ...spool.Place) completer {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		prefix = strings.ToLower(prefix)
		return g.complete(cmd, func(_ context.Context, s *share) ([]string, error) {
			out := map[string]string{}
			add := func(id, what string) {
				if strings.HasPrefix(id, prefix) && (len(out) < completeMost || out[id] != "") {
					out[id] = what
				}
			}
			var err error
			if len(places) == 0 {
				err = s.AcceptedLike(prefix, func(id string) { add(id, "job") })
			} else {
				err = s.Scan(func(f spool.Found) { add(f.Name.ID, fmt.Sprintf("%s, %s", f.Place, f.Name.Stage)) }, places...)
			}
			var words []string
			for id, what := range out {
				words = append(words, id+"\t"+what)
			}
			slices.Sort(words)
			return words, err
		})
	}
}

// completeStages completes a flag that names a stage, with what waits there.
func (g *globals) completeStages(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	words, directive := g.complete(cmd, func(_ context.Context, s *share) ([]string, error) {
		var out []string
		for _, stage := range spool.Stages() {
			n := 0
			names, err := s.FS.List(s.Layout.Input(stage).Dir)
			if err != nil {
				return nil, err
			}
			for _, name := range names {
				if _, ok := spool.ParseEntry(name); ok {
					n++
				}
			}
			out = append(out, fmt.Sprintf("%s\t%d waiting", stage, n))
		}
		return out, nil
	})
	if directive&cobra.ShellCompDirectiveError != 0 {
		return stageWords(), cobra.ShellCompDirectiveNoFileComp // without a spool the words are known all the same
	}
	return words, directive
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
