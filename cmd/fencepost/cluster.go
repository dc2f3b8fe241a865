package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fencepost/cmd/fencepost/config"
	"fencepost/cmd/fencepost/secure"
	"fencepost/lease"
	"fencepost/spool"
	"fencepost/submit"
	"fencepost/submit/command"
	"fencepost/submit/gridengine"
	"fencepost/submit/http"
	"fencepost/submit/local"
	"fencepost/submit/slurm"
	"fencepost/submit/slurmrest"
)

// clusterSite is where a backend works.
type clusterSite struct {
	sp    *spool.Spool
	root  string // absolute
	id    lease.Identity
	epoch func() uint64
}

// newCluster makes the configured backend, and sets the options that depend on
// it.
func newCluster(c config.Config, s clusterSite, opt *submit.Options) (submit.Cluster, error) {
	switch name := c.Cluster.Name; name {
	case "local":
		return newLocal(c, s)
	case "command":
		return newCommand(c.Cluster.Command, s, opt)
	case "slurm":
		return newSlurm(c.Cluster.Slurm, s, opt)
	case "slurmrest":
		return newRest(c.Cluster.Rest, s, opt)
	case "gridengine":
		return newGrid(c.Cluster.Grid, s, opt)
	case "http":
		return newHTTP(c.Cluster.HTTP, s, opt)
	default:
		return nil, fmt.Errorf("cluster %q is not known", name)
	}
}

func newLocal(c config.Config, s clusterSite) (submit.Cluster, error) {
	l, err := local.New(local.Config{FS: s.sp.FS, Root: s.root, Host: s.id.Host, SpoolID: s.sp.ID, MachineID: s.id.MachineID,
		BootID: s.id.BootID, RunDir: filepath.Join(runDir(), "local"), Slots: c.Cluster.Local.Slots})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// recoverer is a cluster that looks, now and then, after what this host started
// and can't know of any more: it is marked, never run again.
type recoverer interface {
	Recover(context.Context) ([]local.Recovered, error)
}

// lookAfter does so at the start and once a minute, until ctx is done.
func (d *daemon) lookAfter(ctx context.Context, c recoverer) {
	for {
		marked, err := c.Recover(ctx)
		if err != nil && ctx.Err() == nil {
			d.log.Warn().Err(err).Str("event", "recover-local").Msg("look after the jobs that this host started")
		}
		for _, m := range marked {
			d.log.Warn().Str("event", "interrupted").Str("job", m.Job).Send()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Minute):
		}
	}
}

func newCommand(c config.Command, s clusterSite, opt *submit.Options) (submit.Cluster, error) {
	opt.ConfirmAfter = c.ConfirmAfter.Duration
	opt.KeyWindow = c.KeyWindow.Duration
	cl, err := command.New(command.Config{Submit: c.Submit, Release: c.Release, Cancel: c.Cancel, Find: c.Find, Probe: c.Probe,
		SubmitTimeout: c.SubmitTimeout.Duration, ReleaseTimeout: c.ReleaseTimeout.Duration, CancelTimeout: c.CancelTimeout.Duration,
		FindTimeout: c.FindTimeout.Duration, ProbeTimeout: c.ProbeTimeout.Duration, ID: c.ID, Env: c.Env,
		NamePrefix: s.sp.NamePrefix(), SpoolID: s.sp.ID, Host: s.id.Host, Epoch: s.epoch})
	if err == nil && c.Key {
		return keyed{cl}, nil
	}
	return cl, err
}

// keyed is a cluster whose submit the operator declares idempotent by the job
// id.
type keyed struct{ submit.Cluster }

func (k keyed) Caps() submit.Caps {
	c := k.Cluster.Caps()
	c.Key = true
	return c
}

func newSlurm(c config.Slurm, s clusterSite, opt *submit.Options) (submit.Cluster, error) {
	opt.ConfirmAfter = c.ConfirmAfter.Duration
	opt.StrictGuard = c.Guard == string(slurm.GuardStrict)
	args := slices.Clone(c.Args)
	for _, a := range []struct{ name, value string }{{"partition", c.Partition}, {"account", c.Account}, {"qos", c.QOS}} {
		if a.value != "" {
			args = append(args, "--"+a.name+"="+a.value)
		}
	}
	root := c.SpoolRoot
	if root == "" {
		root = s.root
	}
	return slurm.New(slurm.Config{NamePrefix: s.sp.NamePrefix(), SpoolID: s.sp.ID, Host: s.id.Host, Epoch: s.epoch,
		Guard: slurm.Guard(c.Guard), SpoolRoot: root, Workdir: c.Workdir, Output: c.Output, Args: args,
		JobCompFile: c.JobCompFile, Sacct: c.Sacct, SubmitTimeout: c.SubmitTimeout.Duration, CallTimeout: c.CallTimeout.Duration})
}

// tokenLook is the time between two looks whether a token's file has changed.
const tokenLook = time.Second

func newRest(c config.Rest, s clusterSite, opt *submit.Options) (submit.Cluster, error) {
	opt.ConfirmAfter = c.ConfirmAfter.Duration
	opt.StrictGuard = c.Guard == string(slurmrest.GuardStrict)
	root := c.SpoolRoot
	if root == "" {
		root = s.root
	}
	cfg := slurmrest.Config{NamePrefix: s.sp.NamePrefix(), SpoolID: s.sp.ID, Host: s.id.Host, Epoch: s.epoch,
		Address: c.Address, Insecure: c.Insecure, Version: c.Version, User: c.User, ClusterName: c.ClusterName,
		Guard: slurmrest.Guard(c.Guard), SpoolRoot: root, Workdir: c.Workdir, Output: c.Output, Partition: c.Partition,
		Properties: maps.Clone(c.Properties), JobCompFile: c.JobCompFile,
		SubmitTimeout: c.SubmitTimeout.Duration, CallTimeout: c.CallTimeout.Duration}
	for name, value := range map[string]string{"account": c.Account, "qos": c.QOS} {
		if value != "" {
			if cfg.Properties == nil {
				cfg.Properties = map[string]string{}
			}
			cfg.Properties[name] = value
		}
	}
	var err error
	if c.TokenFile != "" {
		if cfg.Token, err = secure.WatchSecret(c.TokenFile, tokenLook); err != nil {
			return nil, fmt.Errorf("cluster.slurmrest.token_file: %w", err)
		}
	}
	if len(c.CA) > 0 {
		if cfg.TLS, err = secure.Client(secure.Files{CA: c.CA}); err != nil {
			return nil, fmt.Errorf("cluster.slurmrest.ca: %w", err)
		}
		cfg.TLS.NextProtos = nil // not fencepost's protocol
	}
	return slurmrest.New(cfg)
}

func newGrid(c config.Grid, s clusterSite, opt *submit.Options) (submit.Cluster, error) {
	opt.ConfirmAfter = c.ConfirmAfter.Duration
	opt.StrictGuard = c.Guard == string(gridengine.GuardStrict)
	root := c.SpoolRoot
	if root == "" {
		root = s.root
	}
	return gridengine.New(gridengine.Config{NamePrefix: s.sp.NamePrefix(), SpoolID: s.sp.ID, Host: s.id.Host, Epoch: s.epoch,
		Guard: gridengine.Guard(c.Guard), SpoolRoot: root, Workdir: c.Workdir, Output: c.Output, Args: c.Args, PE: c.PE,
		MemoryResource: c.MemoryResource, ID: c.ID, Accounting: c.Accounting, SubmitTimeout: c.SubmitTimeout.Duration,
		CallTimeout: c.CallTimeout.Duration})
}

func newHTTP(c config.HTTP, s clusterSite, opt *submit.Options) (submit.Cluster, error) {
	opt.KeyWindow = c.KeyWindow.Duration
	headers, err := readHeaders(c.HeadersFile)
	if err != nil {
		return nil, err
	}
	return http.New(http.Config{URL: c.URL, ProbeURL: c.ProbeURL, Headers: headers, Host: s.id.Host, KeyHeader: c.KeyHeader,
		QuoteKey: c.QuoteKey, Answers: c.Answers, ID: c.JobID, PinID: c.ID, Timeout: c.Timeout.Duration})
}

// readHeaders reads a header a line. They are in a file of their own since they
// hold secrets, and the configuration is shown to people.
func readHeaders(file string) (map[string]string, error) {
	if file == "" {
		return nil, nil
	}
	info, err := os.Stat(file)
	if err == nil && info.Mode().Perm()&0o007 != 0 {
		err = fmt.Errorf("%s: everybody on this machine may use it (mode %04o, want 0600 or 0640)", file, info.Mode().Perm())
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, fmt.Errorf("cluster.http.headers_file: %w", err)
	}
	headers := map[string]string{}
	for i, line := range strings.Split(string(data), "\n") {
		name, value, ok := strings.Cut(line, ":")
		switch {
		case strings.TrimSpace(line) == "":
		case !ok || strings.TrimSpace(name) == "":
			return nil, fmt.Errorf("cluster.http.headers_file: %s:%d: not of the form Name: value", file, i+1)
		default:
			headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return headers, nil
}
