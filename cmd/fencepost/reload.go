package main

import (
	"context"
	"os"
	"slices"

	"fencepost/cmd/fencepost/access"
	"fencepost/cmd/fencepost/config"
	"fencepost/spool"
)

// reloadable are the settings that SIGHUP takes over: who may send what. All
// others hold until a restart; certificates, CAs and tokens are read again by
// themselves.
func reloadable(key string) bool {
	return slices.Contains([]string{"clients", "types", "limits.rate", "limits.burst"}, key)
}

// reloads takes new rules over at each SIGHUP, until ctx ends.
func (d *daemon) reloads(ctx context.Context, hangup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			d.reload()
		}
	}
}

// reload reads the configuration anew. What can't be used changes nothing: half of
// a set of rules would be worse than the old ones.
func (d *daemon) reload() {
	l, err := config.Load(d.g.sources())
	var policy *access.Policy
	if err == nil {
		policy, err = l.Policy()
	}
	if err != nil {
		d.log.Error().Err(err).Str("event", "reload_failed").Msg("the new configuration can't be used: the old one stays in force; fencepost config check says more")
		return
	}
	restart := []string{}
	for _, s := range config.Settings() {
		if !reloadable(s.Key) && l.Text(s) != d.cfg.Text(s) {
			restart = append(restart, s.Key)
		}
	}
	inForce := d.cfg.Config
	inForce.Clients, inForce.Types, inForce.Limits.Rate, inForce.Limits.Burst = l.Clients, l.Types, l.Limits.Rate, l.Limits.Burst
	digest := inForce.Digest()
	d.door.policy.Store(policy)
	d.digest.Store(&digest)
	if in, err := d.node.Instance(); err == nil {
		in.Journal.Add(spool.Event{Event: "reloaded", Detail: "config digest " + digest})
	}
	e := d.log.Info()
	if len(restart) > 0 {
		e = d.log.Warn().Strs("restart_needed_for", restart)
	}
	e.Str("event", "reloaded").Str("digest", digest).Int("clients", len(l.Clients)).Int("types", len(l.Types)).
		Msg("rules of clients and job types were read again")
}

// configDigest is that of the settings in force.
func (d *daemon) configDigest() string {
	if digest := d.digest.Load(); digest != nil {
		return *digest
	}
	return d.id.ConfigDigest
}
