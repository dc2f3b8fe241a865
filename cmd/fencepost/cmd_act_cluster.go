package main

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"fencepost/cmd/fencepost/config"
	"fencepost/lease"
	"fencepost/spool"
	"fencepost/submit"
)

// askCluster is the question to the configured cluster whether it knows a job;
// nil if it is of a kind that can't list its jobs. The cluster is listed once a
// command. The embedded one is not asked: its starts are links on the share,
// which whoever acts looks for anyway.
func askCluster(c *config.Loaded, s *share, host string) spool.AskCluster {
	switch c.Cluster.Name {
	case "local":
		return nil
	case "command":
		if len(c.Cluster.Command.Find) == 0 {
			return nil
		}
	}
	var jobs []submit.Job
	asked := false
	return func(ctx context.Context, id string) (spool.Answer, error) {
		if !asked {
			var err error
			if jobs, err = listCluster(ctx, c, s, host); err != nil {
				return spool.Answer{}, err
			}
			asked = true
		}
		for _, j := range jobs {
			// A held job counts: whoever submitted it may release it yet.
			if (j.Key == id || j.Name == s.NamePrefix()+id) && (j.State != submit.Cancelled || j.Started) {
				return spool.Answer{Known: true, Cluster: j.ID, Detail: string(j.State)}, nil
			}
		}
		return spool.Answer{}, nil
	}
}

// listCluster lists the jobs of the cluster that the spool is pinned to. Who it
// is, is asked before and after: in a listing of another one no job is known.
func listCluster(ctx context.Context, c *config.Loaded, s *share, host string) ([]submit.Job, error) {
	want, err := submit.ReadPin(s.FS)
	if err != nil {
		return nil, err
	}
	if want == nil {
		return nil, nil // no host could submit yet
	}
	id, err := lease.Local(host, c.MachineID)
	if err != nil {
		return nil, err
	}
	opt := submit.DefaultOptions()
	cluster, err := newCluster(c.Config, clusterSite{sp: s.Spool, root: s.Dir, id: id, epoch: func() uint64 { return 0 }}, &opt)
	if err != nil {
		return nil, err
	}
	check := func() error {
		got, err := cluster.Pin(ctx)
		if err == nil && !maps.Equal(got, want) {
			err = fmt.Errorf("this host is configured for %v, but the spool's %s says %v", got, spool.ClusterFile, want)
		}
		return err
	}
	if err := check(); err != nil {
		return nil, err
	}
	jobs, err := cluster.List(ctx)
	return jobs, errors.Join(err, check())
}
