package realrun

import (
	"time"

	"fencepost/cmd/fencepost/race"
	"fencepost/spool"
)

// NewBook makes an empty cluster.
var NewBook = newBook

// EndCluster waits for the cluster's programs.
var EndCluster = endCluster

// Strike is a decision, as a test sees it.
type Strike struct {
	After, Lasts time.Duration
	Kind         race.Fault
	Alone        bool
}

// Strikes are the first n decisions about a host.
func Strikes(o Options, host, n int) (all []Strike) {
	p := newPlan(o, host)
	for range n {
		s := p.next()
		all = append(all, Strike{s.after, s.lasts, s.kind, s.alone})
	}
	return all
}

// Done is a fault that was done.
type Done struct {
	Host        string
	Kind        race.Fault
	From, Until time.Time
}

// Takeovers and Leases are what a result says of faults and events.
func Takeovers(faults []Done, events []spool.Event) (takeovers []time.Duration, leases int) {
	r := &run{}
	for _, d := range faults {
		r.faults = append(r.faults, done{d.Host, d.Kind, d.From, d.Until})
	}
	return r.takeovers(events), r.leases(events)
}
