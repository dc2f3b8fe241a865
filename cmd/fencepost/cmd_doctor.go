package main

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/config"
	"fencepost/cmd/fencepost/doctor"
	"fencepost/cmd/fencepost/fstest"
	"fencepost/cmd/fencepost/show"
	"fencepost/lease"
	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/vfs"
	"fencepost/submit"
)

func newDoctorCmd(g *globals) *cobra.Command {
	var ignore []string
	cmd := &cobra.Command{
		Use:   "doctor [--ignore ID]...",
		Short: "Check the share, this host and the spool, and say what to fix",
		Long: "doctor makes named checks (FP001, ...): the mount and its options, what the protocol needs of the\n" +
			"share (tried with probe files, which are removed), the layout, the hosts, this machine's timers,\n" +
			"and, if a cluster is configured, whether this host can submit: that submits a held job and\n" +
			"cancels it. Each finding comes with its evidence and the fix; docs/ops/doctor.md says more.\n\n" +
			"Exit 0: all good, or only notes. Exit 4: warnings. Exit 5: unsafe.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := knownChecks(cmd, "--ignore", ignore, doctor.IDs()); err != nil {
				return err
			}
			return g.doctor(cmd, ignore)
		},
	}
	cmd.Flags().StringSliceVar(&ignore, "ignore", nil, "`ID` of a check whose findings don't count; may be repeated")
	g.bind(cmd, "host", "machine_id", "heartbeat", "lease", "cluster.name")
	_ = cmd.RegisterFlagCompletionFunc("ignore", cobra.FixedCompletions(doctor.IDs(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// knownChecks refuses ids that name no check: a typing mistake must not look
// like a finding that was ignored.
func knownChecks(cmd *cobra.Command, where string, ids, known []string) error {
	for _, id := range ids {
		if !slices.Contains(known, strings.ToUpper(id)) {
			return usagef(cmd, "%s: %q is not one of %s%s", where, id, strings.Join(known, ", "), maybe(config.Nearest(strings.ToUpper(id), known)))
		}
	}
	return nil
}

// doctorDoc is what doctor found.
type doctorDoc struct {
	Spool   string          `json:"spool"`
	Host    string          `json:"host"`
	OK      bool            `json:"ok"` // no warnings, nothing unsafe
	Verdict doctor.Verdict  `json:"verdict"`
	Checks  []doctor.Result `json:"checks"`
}

func (g *globals) doctor(cmd *cobra.Command, ignore []string) error {
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
	w := newWatch(c.Timeout.Duration)
	site := doctorSite{g.machine, g.openFS, dir, host, g.self}
	results, err := underWatch(cmd.Context(), w, func(ctx context.Context) ([]doctor.Result, error) {
		return runDoctor(ctx, c, w, site, ignore)
	})
	if err != nil {
		return err
	}
	d := doctorDoc{Spool: dir, Host: host, Verdict: doctor.Worst(results), Checks: results}
	d.OK = d.Verdict != doctor.Warn && d.Verdict != doctor.Refuse
	if err := g.print("doctor", d, func(o *show.Out) { printDoctor(o, d) }); err != nil {
		return err
	}
	switch d.Verdict {
	case doctor.Refuse:
		return &exitError{code: exitUnsafe}
	case doctor.Warn:
		return &exitError{code: exitDegraded}
	}
	return nil
}

// pairNames is how many names doctor's two processes race for: it is to be quick.
const pairNames = 60

// doctorSite is where doctor works: what it needs of the globals, copied, since
// an abandoned look must not see them change.
type doctorSite struct {
	machine   fs.FS
	open      func(string) (vfs.FS, error)
	dir, host string
	self      string // see globals
}

func runDoctor(ctx context.Context, c *config.Loaded, w *watch, site doctorSite, ignore []string) ([]doctor.Result, error) {
	dir, host := site.dir, site.host
	cfg, err := mountConfig(site.machine, w.begin, dir)
	if err != nil {
		return nil, openError(err)
	}
	done := w.begin("open", dir)
	fsys, err := site.open(dir)
	done()
	if err != nil {
		return nil, openError(err)
	}
	sp, err := spool.Open(env.NewReal(watchedFS{fsys, w}))
	if err != nil {
		return nil, err
	}
	id, err := lease.Local(host, c.MachineID)
	if err != nil {
		return nil, &exitError{code: exitUsage, err: err}
	}
	cfg.Spool, cfg.Host, cfg.MachineID, cfg.Digest = sp, host, id.MachineID, c.Digest()
	cfg.Heartbeat, cfg.Lease, cfg.Ignore = c.Heartbeat.Duration, c.Lease.Duration, ignore
	if site.self != "" {
		cfg.Locker = func(ctx context.Context, name string) *exec.Cmd {
			cmd := exec.CommandContext(ctx, site.self, "lock-probe", dir, name)
			cmd.Args[0] = os.Args[0]
			return cmd
		}
	}
	if site.self != "" {
		cfg.Pair = func(ctx context.Context, phases []string) (*fstest.Report, error) {
			pair, err := fstestSite{machine: site.machine, open: site.open, self: site.self, dir: dir, host: host}.config(w)
			if err != nil {
				return nil, err
			}
			pair.Alone, pair.Only, pair.Sizes.Names, pair.Say = true, phases, pairNames, func(string, ...any) {}
			pair.Wait, pair.Patience = time.Minute, time.Minute
			return fstest.Run(ctx, pair)
		}
	}
	cfg.Door = doorOf(c.Config, host)
	if clusterNamed(c) {
		cfg.Cluster = func() (submit.Cluster, error) {
			opt := submit.DefaultOptions()
			return newCluster(c.Config, clusterSite{sp: sp, root: dir, id: id, epoch: func() uint64 { return 0 }}, &opt)
		}
	}
	return doctor.Run(ctx, cfg)
}

// mountConfig is what the mount checks need. To find the mount opens the
// directory, which may be of a dead share.
func mountConfig(machine fs.FS, begin func(what, name string) func(), dir string) (doctor.Config, error) {
	done := begin("open", dir)
	defer done()
	mount, err := doctor.MountOf(dir)
	return doctor.Config{Dir: dir, Machine: machine, MountID: mount, Begin: begin}, err
}

// doorOf is what doctor looks at of the settings of TLS and tokens.
func doorOf(c config.Config, host string) doctor.Door {
	files := func(names []string) (out []string) {
		for _, n := range names {
			out = append(out, absoluteFile(n))
		}
		return out
	}
	d := doctor.Door{Host: doctor.End{Cert: absoluteFile(c.TLS.Cert), Key: absoluteFile(c.TLS.Key), CA: files(c.TLS.ClientCA)},
		Send: doctor.End{Cert: absoluteFile(c.Send.Cert), Key: absoluteFile(c.Send.Key), CA: files(c.Send.CA)}, Names: []string{host}}
	if name, err := os.Hostname(); err == nil && name != host {
		d.Names = append(d.Names, name)
	}
	if addr, _, err := net.SplitHostPort(c.Listen); err == nil && addr != "" {
		if ip, err := netip.ParseAddr(addr); err != nil || !ip.IsUnspecified() {
			d.Names = append(d.Names, addr)
		}
	}
	for _, s := range []doctor.Secret{{Setting: "token_file", File: c.TokenFile}, {Setting: "spool_key_file", File: c.SpoolKeyFile},
		{Setting: "send.token_file", File: c.Send.TokenFile}, {Setting: "cluster.http.headers_file", File: c.Cluster.HTTP.HeadersFile, Group: true},
		{Setting: "cluster.slurmrest.token_file", File: c.Cluster.Rest.TokenFile},
		{Setting: "http_token_file", File: c.HTTPToken, Group: true}} {
		if s.File != "" {
			s.File = absoluteFile(s.File)
			d.Secrets = append(d.Secrets, s)
		}
	}
	return d
}

// absoluteFile is a file's absolute path; "" stays.
func absoluteFile(name string) string {
	if name == "" {
		return ""
	}
	return absolute(name)
}

// clusterNamed: somebody said which cluster; the default is none to be tried.
func clusterNamed(c *config.Loaded) bool {
	for _, s := range config.Settings() {
		if s.Key == "cluster.name" {
			return c.Origin(s) != "default"
		}
	}
	return false
}

func printDoctor(o *show.Out, d doctorDoc) {
	word, severity := "ok", show.Fine
	switch d.Verdict {
	case doctor.Warn:
		word, severity = "DEGRADED", show.Warn
	case doctor.Refuse:
		word, severity = "UNSAFE", show.Bad
	}
	o.Cells(severity, word, "spool "+d.Spool, "host "+d.Host)
	o.Gap()
	for _, r := range d.Checks {
		severity := map[doctor.Verdict]show.Severity{doctor.Warn: show.Warn, doctor.Refuse: show.Bad}[r.Verdict]
		o.Cells(severity, string(r.Verdict), r.ID, r.Name+": "+strings.Join(r.Evidence, "; "))
		if r.Verdict == doctor.Note || r.Verdict == doctor.Warn || r.Verdict == doctor.Refuse {
			o.Cells(show.Fine, "", "means", r.Means)
			if r.Fix != "" {
				o.Cells(show.Fine, "", "fix", r.Fix)
			}
		}
	}
}

// newLockProbeCmd is the second process of doctor's lock check.
func newLockProbeCmd(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:    "lock-probe DIR NAME",
		Short:  "Try one lock, from a process of its own (started by doctor)",
		Hidden: true,
		Args:   cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			return doctor.RunLocker(args[0], args[1], g.stdin, g.stdout)
		},
	}
}

// checkMount is serve's look at the mount, before anything is taken: an unsafe
// one is refused, unless its check was named. Warnings go to the log.
func (d *daemon) checkMount(ctx context.Context, cmd *cobra.Command, dir string) error {
	if err := knownChecks(cmd, "unsafe_mount", d.cfg.UnsafeMount, doctor.MountIDs()); err != nil {
		return err
	}
	dir = absolute(dir)
	w, machine := newWatch(d.cfg.Timeout.Duration), d.g.machine
	type found struct {
		results []doctor.Result
		mount   string
	}
	f, err := underWatch(ctx, w, func(ctx context.Context) (f found, err error) {
		cfg, err := mountConfig(machine, w.begin, dir)
		if err != nil {
			return f, openError(err)
		}
		cfg.Ignore = d.cfg.UnsafeMount
		if m, ok := doctor.Find(machine, cfg.MountID, dir); ok {
			f.mount = m.String()
		}
		f.results = doctor.Start(ctx, cfg)
		return f, nil
	})
	if err != nil {
		return err
	}
	d.mount = f.mount
	for _, r := range f.results {
		evidence := strings.Join(r.Evidence, "; ")
		switch r.Verdict {
		case doctor.Refuse:
			return &exitError{code: exitUnsafe, err: fmt.Errorf("unsafe mount: %s %s: %s", r.ID, r.Name, evidence),
				next: r.Fix + "; or, if you know better: --unsafe-mount " + r.ID}
		case doctor.Warn, doctor.Ignored:
			d.log.Warn().Str("event", "mount").Str("check", r.ID).Str("fix", r.Fix).Msg(r.Name + ": " + evidence)
		}
	}
	return nil
}
