package doctor

import (
	"context"
	"fmt"
	"maps"
	"time"

	"fencepost/spool"
	"fencepost/submit"
)

func clusterChecks() []check {
	on := func(ask func(context.Context, *patient, submit.Cluster) Finding) func(context.Context, *patient) Finding {
		return func(ctx context.Context, p *patient) Finding {
			if p.Cluster == nil {
				return skipped("no cluster is configured here")
			}
			c, err := p.Cluster()
			if err != nil {
				return Finding{Warn, []string{err.Error()}, "fencepost config check"}
			}
			return ask(ctx, p, c)
		}
	}
	return []check{
		{"FP060", "this host can submit", "A host claims nothing of the last stage until its probe passes.", false, on(probeCluster)},
		{"FP061", "the pinned cluster", "A spool's jobs go to one cluster; a host that is configured for another one does nothing there.", false, on(comparePin)},
		{"FP062", "the cluster's token", "After its end nothing is submitted, released or listed.", false, on(checkToken)},
	}
}

func probeCluster(ctx context.Context, _ *patient, c submit.Cluster) Finding {
	if err := c.Probe(ctx); err != nil {
		fix := "make the cluster's programs work for this user on this host; fencepost config show has the settings of [cluster]"
		if submit.OutcomeOf(err) == submit.Unavailable {
			fix = "the cluster is down or full: see that it comes back; nothing is wrong with this host"
		}
		return Finding{Warn, []string{err.Error()}, fix}
	}
	caps := c.Caps()
	switch {
	case caps.Hold && caps.List:
		return good("the probe passes; submissions are held, sealed, released and confirmed")
	case caps.Key:
		return good("the probe passes; submissions are told apart by the job's id")
	}
	return Finding{Note, []string{"the probe passes, but this backend has neither a hold that can be listed nor a key"},
		"nothing, or add release and find to the programs: until then a submission whose outcome is unclear is parked for a person"}
}

func comparePin(ctx context.Context, p *patient, c submit.Cluster) Finding {
	want, err := submit.ReadPin(p.Spool.FS)
	if err != nil {
		return Finding{Warn, []string{err.Error()}, "restore " + spool.ClusterFile + " from a backup; without it no host submits"}
	}
	got, err := c.Pin(ctx)
	switch {
	case err != nil:
		return Finding{Warn, []string{"ask the cluster who it is: " + err.Error()}, "see FP060"}
	case want == nil:
		return good(fmt.Sprintf("not pinned yet; the first host whose probe passes pins it, here to %v", got))
	case !maps.Equal(got, want):
		return Finding{Warn, []string{fmt.Sprintf("this host is configured for %v, %s says %v", got, spool.ClusterFile, want)},
			"configure this host for the cluster that the spool is pinned to"}
	}
	return good(fmt.Sprintf("%v", got))
}

// tokenLeft is how long before its end a token is warned of.
const tokenLeft = time.Hour

func checkToken(_ context.Context, _ *patient, c submit.Cluster) Finding {
	holder, ok := c.(interface{ TokenExpires() time.Time })
	if !ok {
		return skipped("this cluster takes no token")
	}
	end := holder.TokenExpires()
	switch left := time.Until(end); {
	case end.IsZero():
		return good("no token, or one without an end")
	case left < tokenLeft:
		return Finding{Warn, []string{"the token expires at " + end.UTC().Format(time.RFC3339)},
			"put a new one into the cluster's token_file (scontrol token makes it); it is read without a restart"}
	}
	return good("the token expires at " + end.UTC().Format(time.RFC3339))
}
