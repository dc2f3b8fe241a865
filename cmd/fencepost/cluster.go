package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"fencepost/cmd/fencepost/config"
	"fencepost/lease"
	"fencepost/spool"
	"fencepost/submit"
	"fencepost/submit/command"
	"fencepost/submit/local"
	"fencepost/submit/slurm"
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
	default:
		return nil, fmt.Errorf("cluster %q is not known: choose one of local, command, slurm", name)
	}
}

func newLocal(c config.Config, s clusterSite) (submit.Cluster, error) {
	l, err := local.New(local.Config{FS: s.sp.FS, Root: s.root, Host: s.id.Host, SpoolID: s.sp.ID, MachineID: s.id.MachineID,
		BootID: s.id.BootID, RunDir: filepath.Join(runDir(), "local"), Slots: c.Cluster.Local.Slots})
	if err != nil {
		return nil, err
	}
	// What this host started and can't know of any more is marked, not run.
	if _, err := l.Recover(context.Background()); err != nil {
		return nil, fmt.Errorf("local cluster: look after earlier jobs: %w", err)
	}
	return l, nil
}

func newCommand(c config.Command, s clusterSite, opt *submit.Options) (submit.Cluster, error) {
	opt.ConfirmAfter = c.ConfirmAfter.Duration
	opt.KeyWindow = c.KeyWindow.Duration
	return command.New(command.Config{Submit: c.Submit, Release: c.Release, Cancel: c.Cancel, Find: c.Find, Probe: c.Probe,
		SubmitTimeout: c.SubmitTimeout.Duration, ReleaseTimeout: c.ReleaseTimeout.Duration, CancelTimeout: c.CancelTimeout.Duration,
		FindTimeout: c.FindTimeout.Duration, ProbeTimeout: c.ProbeTimeout.Duration, ID: c.ID, Env: c.Env,
		NamePrefix: s.sp.NamePrefix(), SpoolID: s.sp.ID, Host: s.id.Host, Epoch: s.epoch})
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
