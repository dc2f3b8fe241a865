package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/doctor"
	"fencepost/cmd/fencepost/fstest"
	"fencepost/cmd/fencepost/show"
	"fencepost/lease"
	"fencepost/spool/vfs"
	"fencepost/spool/vfs/mountstats"
)

func newFstestCmd(g *globals) *cobra.Command {
	var peer bool
	var wait time.Duration
	var names int
	cmd := &cobra.Command{
		Use:   "fstest [--peer]",
		Short: "Prove, from two hosts at once, that they can share the directory",
		Long: "fstest tries out on the share what fencepost rests on, in phases, each of which says what it\n" +
			"proves: writes, exclusive create, mkdir, link and rename with one winner, rmdir as a fence,\n" +
			"locks and their release, a lock of a killed process, what a killed writer leaves, records that\n" +
			"are rewritten in place, and how late caches show what the other host did.\n\n" +
			"With --peer run it on two hosts at the same time, on the same directory: they find each other,\n" +
			"and both print the same verdict. Without, the other side is a second process of this host,\n" +
			"which proves nothing about what two hosts see of each other.\n\n" +
			"The directory (--spool) may be a spool in use, or any other one on the share. All is done in\n" +
			".fencepost-fstest in it, which is removed. docs/ops/fstest.md says more.\n\n" +
			"Exit 0: all phases passed. Exit 1: one failed, or the other side fell silent. Exit 3: no other\n" +
			"side came. Exit 8: the share did not answer.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wait <= 0 {
				return usagef(cmd, "--wait: must be more than 0")
			}
			if names < fewestNames || names > mostNames {
				return usagef(cmd, "--names: %d is not in %d to %d", names, fewestNames, mostNames)
			}
			return g.fstest(cmd, peer, wait, names)
		},
	}
	cmd.Flags().BoolVar(&peer, "peer", false, "work with an fstest --peer on another host")
	cmd.Flags().DurationVar(&wait, "wait", 2*time.Minute, "`DURATION` to wait for the other host to come, or for its next step")
	cmd.Flags().IntVar(&names, "names", fstest.DefaultSizes().Names, "`NUMBER` of names that are raced for by rename, by the rest half as many")
	g.bind(cmd, "host")
	return cmd
}

// Limits of --names: fewer are no race, and a message has room for so many.
const (
	fewestNames = 20
	mostNames   = 10_000
)

// fstestDoc is what fstest found.
type fstestDoc struct {
	Spool string `json:"spool"`
	OK    bool   `json:"ok"`
	*fstest.Report
}

func (g *globals) fstest(cmd *cobra.Command, peer bool, wait time.Duration, names int) error {
	dir, err := g.spoolDir(cmd)
	if err != nil {
		return err
	}
	host, err := g.host(cmd)
	if err != nil {
		return err
	}
	c, err := g.config(cmd)
	if err != nil {
		return err
	}
	dir = absolute(dir)
	g.touched = dir
	w, say := newWatch(c.Timeout.Duration), &talk{w: g.stderr, name: "fstest"}
	defer say.end()
	site := fstestSite{machine: g.machine, open: g.openFS, self: g.self, dir: dir, host: host}
	rep, err := underWatch(cmd.Context(), w, func(ctx context.Context) (*fstest.Report, error) {
		// An interrupted run clears up: only the share may end it at once.
		ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		cfg, err := site.config(w)
		if err != nil {
			return nil, err
		}
		cfg.Sizes.Names = names
		cfg.Alone, cfg.Wait, cfg.Patience, cfg.Say = !peer, wait, wait+cfg.Sizes.Limit, say.line
		return fstest.Run(ctx, cfg)
	})
	say.end()
	switch {
	case errors.Is(err, fstest.ErrNoPeer):
		return notFoundf("run fencepost fstest --peer on the other host at the same time; if it runs: is it on the same directory of the same export? (findmnt)", "%w", err)
	case errors.Is(err, fstest.ErrPeerLost):
		return &exitError{code: exitFailed, err: err, next: "what does it say itself? run both again"}
	case errors.Is(err, context.Canceled):
		return &exitError{code: exitFailed, err: errors.New("interrupted")}
	case err != nil:
		return err
	}
	d := fstestDoc{Spool: dir, OK: rep.Pass, Report: rep}
	if err := g.print("fstest", d, func(o *show.Out) { printFstest(o, d) }); err != nil {
		return err
	}
	if !rep.Pass {
		return &exitError{code: exitFailed}
	}
	return nil
}

// talk is what a look may say on standard error while it runs: nothing any more
// after it was given up.
type talk struct {
	mu   sync.Mutex
	w    io.Writer
	name string // of the command
	over bool
}

func (t *talk) line(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over {
		fmt.Fprintln(t.w, show.Clean(t.name+": "+fmt.Sprintf(format, args...)))
	}
}

func (t *talk) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
}

// fstestSite is where fstest works; see doctorSite.
type fstestSite struct {
	machine   fs.FS
	open      func(string) (vfs.FS, error)
	self      string
	dir, host string
}

func (s fstestSite) config(w *watch) (fstest.Config, error) {
	cfg := fstest.Config{Sizes: fstest.DefaultSizes()}
	done := w.begin("open", s.dir)
	fsys, err := s.open(s.dir)
	id := 0
	if err == nil {
		id, err = doctor.MountOf(s.dir)
	}
	done()
	if err != nil {
		return cfg, openError(err)
	}
	identity, err := lease.Local(s.host, "-")
	if err != nil {
		return cfg, err
	}
	cfg.FS = fstest.Dir{FS: watchedFS{fsys, w}, Path: s.dir, Begin: w.begin}
	cfg.Me = fstest.Who{Host: s.host, BootID: identity.BootID, Version: version()}
	if m, ok := doctor.Find(s.machine, id, s.dir); ok {
		cfg.Me.Mount = m.String()
		if m.NFS() {
			cfg.Calls = func() (mountstats.Counts, error) { return callsOf(s.machine, m.Point) }
		}
	}
	self := or(s.self, "/proc/self/exe")
	cfg.Child = func(ctx context.Context, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, self, append([]string{"fstest-child", s.dir, s.host}, args...)...)
		cmd.Args[0] = os.Args[0]
		return cmd
	}
	return cfg, nil
}

// callsOf counts what was asked of an NFS mount's server so far.
func callsOf(machine fs.FS, point string) (mountstats.Counts, error) {
	data, err := fs.ReadFile(machine, strings.TrimPrefix(mountstats.File, "/"))
	if err != nil {
		return nil, err
	}
	mounts, err := mountstats.Parse(data)
	if m, ok := mountstats.At(mounts, point); ok {
		return m.Counts(), nil
	}
	return nil, errors.Join(err, fmt.Errorf("%s has no statistics of %s", mountstats.File, point))
}

func printFstest(o *show.Out, d fstestDoc) {
	word, severity := "PASS", show.Fine
	if !d.OK {
		word, severity = "FAIL", show.Bad
	}
	o.Cells(severity, word, "directory "+d.Spool, "host "+d.Me.Host+" with "+d.Peer.Host)
	o.Cells(show.Fine, "", "proves", d.Proves)
	o.Gap()
	for _, ph := range d.Phases {
		word, severity := "PASS", show.Fine
		if !ph.Pass {
			word, severity = "FAIL", show.Bad
		}
		o.Cells(severity, word, ph.Name, ph.Proves)
		for _, problem := range ph.Problems {
			o.Cells(show.Bad, "", "problem", problem)
		}
		for _, e := range ph.Evidence {
			o.Cells(show.Fine, "", "evidence", e)
		}
		if ph.Calls != nil {
			o.Cells(show.Fine, "", "calls", ph.Calls.String())
		}
	}
	if !d.OK {
		o.Gap()
		o.Line("This directory is not safe for fencepost: fencepost doctor, docs/nfs.md and docs/ops/fstest.md say what may be wrong.")
	}
}

// newFstestChildCmd is a second process of fstest.
func newFstestChildCmd(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:    "fstest-child DIR HOST KIND [ARG...]",
		Short:  "Do a part of fstest, in a process of its own (started by fstest)",
		Hidden: true,
		Args:   cobra.MinimumNArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			signal.Ignore(syscall.SIGINT) // of a terminal: who started this one ends it
			site := fstestSite{machine: g.machine, open: g.openFS, self: g.self, dir: args[0], host: args[1]}
			cfg, err := site.config(newWatch(time.Hour))
			if err != nil {
				return err
			}
			cfg.Wait, cfg.Patience, cfg.Say = time.Minute, 5*time.Minute, func(string, ...any) {}
			return fstest.RunChild(cmd.Context(), cfg, g.stdin, g.stdout, args[2:])
		},
	}
}
