package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/show"
	"fencepost/lease"
	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/vfs"
)

func newInitCmd(g *globals) *cobra.Command {
	noEnroll := false
	var dirs map[string]string
	cmd := &cobra.Command{
		Use:   "init --spool DIR",
		Short: "Make a spool, and enrol this host",
		Long: "init makes the directory if it is missing, the layout of a spool in it, and enrols this host.\n" +
			"Running it again changes nothing; what is missing of the layout is made.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return g.init(cmd, !noEnroll, dirs) },
	}
	cmd.Flags().BoolVar(&noEnroll, "no-enroll", false, "don't put this host on the roster")
	cmd.Flags().StringToStringVar(&dirs, "stage-dir", nil, "`STAGE=DIR` of a new spool: where jobs wait for translate (xml) and submit (json)")
	g.bind(cmd, "host", "machine_id")
	return cmd
}

// newFormat is that of a new spool, with stage directories of other names.
func newFormat(cmd *cobra.Command, dirs map[string]string) (spool.Format, error) {
	f, err := spool.NewFormat()
	for stage, dir := range dirs {
		switch spool.Stage(stage) {
		case spool.Translate:
			f.Stages.Translate.Dir = dir
		case spool.Submit:
			f.Stages.Submit.Dir = dir
		default:
			return f, usagef(cmd, "--stage-dir: jobs wait for %s and %s, not for %q", spool.Translate, spool.Submit, stage)
		}
	}
	if verr := f.Validate(); verr != nil {
		return f, usagef(cmd, "--stage-dir: %w", verr)
	}
	return f, err
}

// initDoc is what init did.
type initDoc struct {
	Spool    string `json:"spool"`
	SpoolID  string `json:"spool_id"`
	Made     bool   `json:"made"` // the spool wasn't there
	Host     string `json:"host"`
	Enrolled bool   `json:"enrolled"` // the host is on the roster
	Changed  bool   `json:"changed"`
}

func (g *globals) init(cmd *cobra.Command, enroll bool, dirs map[string]string) error {
	host, err := g.host(cmd)
	if err != nil {
		return err
	}
	c, err := g.config(cmd)
	if err != nil {
		return err
	}
	fresh, err := newFormat(cmd, dirs)
	if err != nil {
		return err
	}
	open := g.openFS
	defer func() { g.openFS = open }()
	g.openFS = openMade(open)
	doc, err := onDir(g, cmd, func(ctx context.Context, dir string, e env.Env) (initDoc, error) {
		d := initDoc{Spool: dir, Host: host}
		f, made, err := spool.Init(e.FS(), fresh)
		if err != nil {
			return d, fmt.Errorf("make spool: %w", err)
		}
		d.Made = made
		if len(dirs) > 0 && (f.Stages.Translate.Dir != fresh.Stages.Translate.Dir || f.Stages.Submit.Dir != fresh.Stages.Submit.Dir) {
			return d, &exitError{code: exitFailed, err: fmt.Errorf("--stage-dir: the spool is there already, with stage directories %s and %s",
				f.Stages.Translate.Dir, f.Stages.Submit.Dir), next: "leave --stage-dir out, or choose another --spool"}
		}
		d.SpoolID, d.Changed = f.SpoolID, d.Made
		if !enroll {
			return d, nil
		}
		added, err := lease.Enroll(ctx, e, lease.Member{Host: host, MachineID: machineID(host, c.MachineID), By: person()})
		d.Enrolled, d.Changed = err == nil, d.Changed || added
		return d, err
	})
	if err != nil {
		return err
	}
	return g.print("init", doc, func(o *show.Out) {
		switch {
		case doc.Made:
			o.Line(fmt.Sprintf("made spool %s (id %s)", doc.Spool, doc.SpoolID))
		case !doc.Changed:
			o.Line(fmt.Sprintf("spool %s (id %s) is there already: nothing changed", doc.Spool, doc.SpoolID))
		default:
			o.Line(fmt.Sprintf("spool %s (id %s) is there already", doc.Spool, doc.SpoolID))
		}
		if doc.Enrolled && doc.Changed {
			o.Line("enrolled host " + doc.Host)
		}
	})
}

// openMade opens a directory, made first if it is missing.
func openMade(open func(string) (vfs.FS, error)) func(string) (vfs.FS, error) {
	return func(dir string) (vfs.FS, error) {
		fs, err := open(dir)
		if err == nil || !isMissing(err) {
			return fs, err
		}
		if err := os.MkdirAll(dir, 0o770); err != nil {
			return fs, &exitError{code: exitFailed, err: fmt.Errorf("make the spool's directory: %w", err),
				next: "make it yourself, or choose another one"}
		}
		return open(dir)
	}
}

// machineID is this machine's, or "" if it has none: the host is then pinned at
// its first start.
func machineID(host, override string) string {
	id, err := lease.Local(host, override)
	if err != nil {
		return ""
	}
	return id.MachineID
}

// person is who runs this command, for records that people read.
func person() string {
	name := "uid " + itoa(os.Getuid())
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}

func newEnrollCmd(g *globals) *cobra.Command {
	var machine string
	var stages []string
	cmd := &cobra.Command{
		Use:   "enroll HOST",
		Short: "Put a host on the roster",
		Long: "enroll lets a host take part. Without --machine-id it is pinned to the machine that starts\n" +
			"it first. Again with the same data it changes nothing.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m := lease.Member{Host: strings.ToLower(args[0]), MachineID: machine, By: person()}
			for _, s := range stages {
				m.Stages = append(m.Stages, spool.Stage(s))
			}
			return g.enroll(cmd, m)
		},
	}
	cmd.Flags().StringVar(&machine, "machine-id", "", "`ID` of the only machine that may be this host (/etc/machine-id there)")
	cmd.Flags().StringSliceVar(&stages, "stages", nil, "`LIST` of the stages that it may serve (default all)")
	return cmd
}

func (g *globals) enroll(cmd *cobra.Command, m lease.Member) error {
	if err := checkHost(cmd, m.Host); err != nil {
		return err
	}
	for _, s := range m.Stages {
		if s != spool.Ingest && s != spool.Translate && s != spool.Submit {
			return usagef(cmd, "unknown stage %q: choose from ingest, translate, submit", string(s))
		}
	}
	changed, err := onSpool(g, cmd, func(ctx context.Context, s *share) (bool, error) { return lease.Enroll(ctx, s.Env, m) })
	var other *lease.EnrolledError
	if errors.As(err, &other) {
		return &exitError{code: exitFailed, err: err, next: "fencepost revoke " + m.Host + " takes it off the roster first"}
	}
	if err != nil {
		return err
	}
	return g.print("enroll", map[string]any{"host": m.Host, "changed": changed}, func(o *show.Out) {
		if changed {
			o.Line("enrolled host " + m.Host)
		} else {
			o.Line("host " + m.Host + " is enrolled already: nothing changed")
		}
	})
}

func checkHost(cmd *cobra.Command, host string) error {
	if !spool.ValidHost(host) {
		return usagef(cmd, "%q can't be a host's name: 1 to 63 of a-z, 0-9, '.' and '-', beginning and ending with a letter or digit", host)
	}
	return nil
}

func newRevokeCmd(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:               "revoke HOST",
		Short:             "Take a host off the roster: it stops at its next heartbeats",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.completeHosts,
		RunE: func(cmd *cobra.Command, args []string) error {
			host := strings.ToLower(args[0])
			if err := checkHost(cmd, host); err != nil {
				return err
			}
			changed, err := onSpool(g, cmd, func(ctx context.Context, s *share) (bool, error) { return lease.Revoke(ctx, s.Env, host) })
			if err != nil {
				return err
			}
			if !changed {
				return notFoundf("fencepost hosts shows who is enrolled", "host %s is not on the roster", host)
			}
			return g.print("revoke", map[string]any{"host": host, "changed": true}, func(o *show.Out) { o.Line("revoked host " + host) })
		},
	}
}

// absolute is for showing: a spool is often named relative to somewhere.
func absolute(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
}
