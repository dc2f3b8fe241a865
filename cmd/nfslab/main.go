package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"fencepost/cmd/fencepost/nfslab"
	"fencepost/cmd/fencepost/nfslab/guest"
	"fencepost/cmd/fencepost/nfslab/line"
	"fencepost/spool/vfs/nfsfacts"
)

func main() {
	if code, ok := guest.Main(os.Args[1:]); ok {
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) == 3 && os.Args[1] == roleMember {
		if err := member(ctx, os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "nfslab:", err)
			os.Exit(1)
		}
		return
	}
	good, err := do(ctx, os.Args[1:], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "nfslab:", err)
	}
	if err != nil || !good {
		os.Exit(1)
	}
}

// do: "all" is everything, "trial" the trials alone, "bench" the program's bench
// on a host, "hosts" what hosts with a client each ask the server, anything else the
// table.
func do(ctx context.Context, args []string, out io.Writer) (good bool, err error) {
	switch {
	case len(args) == 1 && args[0] == "all":
		return all(ctx, out)
	case len(args) > 0 && args[0] == "bench":
		err := benchOn(ctx, args[1:], out)
		return err == nil, err
	case len(args) > 0 && args[0] == "hosts":
		err := hosts(ctx, args[1:], out)
		return err == nil, err
	case len(args) > 0 && args[0] == "trial":
		err := trials(ctx, args[1:], out, nil)
		return err == nil, err
	}
	return lab(ctx, args, out)
}

// lab does what the arguments ask for; good says whether all was as expected.
func lab(ctx context.Context, args []string, out io.Writer) (good bool, err error) {
	flags := flag.NewFlagSet("nfslab", flag.ExitOnError)
	versions := flags.String("versions", "4.2", "versions of NFS, with commas")
	options := flags.String("options", "", "more mount options")
	only := flags.String("run", "", "regular expression: which experiments")
	suite := flags.Bool("conformance", true, "run the suite of package vfs on the mount, too")
	verbose := flags.Bool("v", false, "show what the kernel says")
	_ = flags.Parse(args)
	want, err := regexp.Compile(*only)
	if err != nil {
		return false, err
	}
	config := nfslab.Config{}
	if *verbose {
		config.Log = os.Stderr
	}
	began := time.Now()
	l, err := nfslab.Boot(ctx, config)
	if err != nil {
		return false, err
	}
	// An experiment doesn't watch ctx: its laboratory ends under it.
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer func() {
		stop()
		if closed := l.Close(); err == nil {
			err = closed
		}
	}()
	fmt.Fprintf(out, "booted in %.1f s\n", time.Since(began).Seconds())
	good = true
	for _, v := range strings.Split(*versions, ",") {
		fmt.Fprintf(out, "\nNFS %s %s\n", v, *options)
		err := l.RunFacts(ctx, nfslab.Run{
			Mount: nfslab.HostConfig{Version: v, Options: *options},
			Want:  func(e nfsfacts.Experiment) bool { return want.MatchString(e.Name) },
			Done: func(r nfsfacts.Result, took time.Duration) {
				good = good && len(r.Differs()) == 0
				show(out, r, took)
			},
		})
		if err != nil {
			return false, err
		}
		if *suite {
			ok, err := conformance(ctx, l, nfslab.HostConfig{Version: v, Options: *options}, out)
			if err != nil {
				return false, err
			}
			good = good && ok
		}
	}
	return good, nil
}

func conformance(ctx context.Context, l *nfslab.Lab, c nfslab.HostConfig, out io.Writer) (good bool, err error) {
	h, err := l.AddHost(ctx, c)
	if err != nil {
		return false, err
	}
	defer h.Close()
	began := time.Now()
	said, err := l.Conformance(ctx, h)
	var exit *line.ExitError
	if err != nil && !errors.As(err, &exit) {
		return false, err
	}
	fmt.Fprintf(out, "%-20s %5.1f s  %d passed, %d failed, %d skipped\n", "conformance", time.Since(began).Seconds(),
		strings.Count(said, "    --- PASS"), strings.Count(said, "    --- FAIL"), strings.Count(said, "    --- SKIP"))
	if err != nil {
		fmt.Fprintln(out, said)
	}
	return err == nil, nil
}

func show(out io.Writer, r nfsfacts.Result, took time.Duration) {
	verdict := "as expected"
	why, skipped := r.Skipped()
	switch {
	case skipped:
		verdict = "not run: " + why
	case len(r.Differs()) > 0:
		verdict = "DIFFERS"
	}
	fmt.Fprintf(out, "%-20s %5.1f s  %s\n", r.Experiment.Name, took.Seconds(), verdict)
	if skipped {
		return
	}
	for _, o := range r.Seen {
		fmt.Fprintf(out, "    %-45s %s\n", o.What, o.Is)
	}
	for _, d := range r.Differs() {
		fmt.Fprintf(out, "    ! %s\n", d)
	}
}
