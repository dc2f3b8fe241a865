package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"fencepost/cmd/fencepost/config"
	"fencepost/cmd/fencepost/show"
)

func main() {
	// What is made on the share is no business of others, whatever this was started with.
	unix.Umask(unix.Umask(0o077) | 0o027)
	g := newGlobals()
	g.self = "/proc/self/exe" // not by its path: the file may have been replaced since
	os.Exit(run(context.Background(), g, os.Args[1:]))
}

// rootCommands are the commands, by group. A new one is added here.
func rootCommands(g *globals) map[string][]*cobra.Command {
	return map[string][]*cobra.Command{
		groupRun: {newInitCmd(g), newEnrollCmd(g), newRevokeCmd(g), newLayoutCmd(g), newServeCmd(g), newSendCmd(g), newDemoCmd(g), newJobWrapperCmd(g)},
		groupSee: {newStatusCmd(g), newTopCmd(g), newHostsCmd(g), newJobsCmd(g), newTraceCmd(g), newWhyCmd(g), newEventsCmd(g), newDepthCmd(g), newIntrudersCmd(g), newAuditCmd(g), newRetentionCmd(g),
			newDoctorCmd(g), newLockProbeCmd(g), newFstestCmd(g), newFstestChildCmd(g), newConfigCmd(g), newVersionCmd(g), newManCmd(g)},
		groupAct: {newDrainCmd(g), newResumeCmd(g), newFenceCmd(g), newHoldCmd(g), newReleaseCmd(g), newRetryCmd(g), newCancelCmd(g),
			newUnparkCmd(g), newRecoverCmd(g)},
		groupProve: {newBenchCmd(g), newRaceCmd(g), newRaceClusterCmd(g)},
	}
}

const (
	groupRun = "run"
	groupSee = "see"
	groupAct = "act"

	groupProve = "prove"
)

// run is the whole program but for its exit: so tests run it in-process.
func run(ctx context.Context, g *globals, args []string) int {
	root := newRootCmd(g)
	root.SetArgs(args)
	cmd, err := execute(ctx, root, args)
	if err == nil {
		return exitOK
	}
	var quiet *exitError
	if !errors.As(err, &quiet) || quiet.err != nil {
		report(g, cmd, err)
	}
	return exitCode(err)
}

// execute looks for an unknown command first: cobra would complain of its flags.
func execute(ctx context.Context, root *cobra.Command, args []string) (*cobra.Command, error) {
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") && !strings.HasPrefix(args[0], "__") {
		if c, _, err := root.Find(args); err == nil && c == root {
			return root, unknownCommand(root, args[:1])
		}
	}
	return root.ExecuteContextC(ctx)
}

func newRootCmd(g *globals) *cobra.Command {
	root := &cobra.Command{
		Use:   "fencepost",
		Short: "Run one job spool on several hosts that share a directory",
		Long: "fencepost runs the same spool pipeline on several hosts that share one directory, so that\n" +
			"no job is ever taken twice, none is lost, and anyone can see which host did what.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs, // so that an unknown command reaches unknownCommand
		RunE:          unknownCommand,
	}
	root.SetOut(g.stdout)
	root.SetErr(g.stderr)
	root.SetIn(g.stdin)
	root.SetFlagErrorFunc(flagError)
	root.CompletionOptions.HiddenDefaultCmd = false
	root.AddGroup(&cobra.Group{ID: groupRun, Title: "Run:"}, &cobra.Group{ID: groupSee, Title: "See:"},
		&cobra.Group{ID: groupAct, Title: "Act:"}, &cobra.Group{ID: groupProve, Title: "Prove:"})
	g.addFlags(root.PersistentFlags())
	for group, cmds := range rootCommands(g) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	usageArgs(root)
	return root
}

// addFlags adds what every command takes.
func (g *globals) addFlags(fs *pflag.FlagSet) {
	config.Bind(fs, g.given, "spool", "timeout")
	fs.StringVar(&g.configFile, "config", "", "`FILE` with settings (default "+config.DefaultFile+" if it exists)")
	fs.BoolVar(&g.json, "json", false, "print one JSON document")
}

// usageArgs makes what cobra says of positional arguments a usage error.
func usageArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usagef(cmd, "%w", err)
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		usageArgs(sub)
	}
}

// unknownCommand runs for the root, or a command that only has sub-commands.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		cmd.SetOut(cmd.ErrOrStderr())
		_ = cmd.Help()
		return &exitError{code: exitUsage}
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return usagef(cmd, "unknown command %q%s", args[0], maybe(config.Nearest(args[0], names)))
}

func flagError(cmd *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	hint := ""
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && len(unknown.GetSpecifiedName()) > 1 {
		var names []string
		add := func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		}
		cmd.Flags().VisitAll(add)
		cmd.InheritedFlags().VisitAll(add)
		if n := config.Nearest(unknown.GetSpecifiedName(), names); n != "" {
			hint = maybe("--" + n)
		}
	}
	return usagef(cmd, "%w%s", err, hint)
}

func maybe(meant string) string {
	if meant == "" {
		return ""
	}
	return "; did you mean " + meant + "?"
}

// report prints a failure: what failed, where, why, and what to do next.
func report(g *globals, cmd *cobra.Command, err error) {
	var b strings.Builder
	for i, line := range strings.Split(err.Error(), "\n") {
		if i == 0 {
			line = cmd.CommandPath() + ": " + g.where() + line
		}
		b.WriteString(show.Clean(line) + "\n")
	}
	if next := nextStep(cmd, err); next != "" {
		b.WriteString("  " + show.Clean(next) + "\n")
	}
	fmt.Fprint(g.stderr, b.String())
}
