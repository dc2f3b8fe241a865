package node

import (
	"fmt"
	"time"

	"fencepost/lease"
	"fencepost/spool"
	"fencepost/submit"
)

// Claims counts an instance's claims at one stage.
type Claims struct{ Won, Lost int }

// Stats is what a node knows of itself without a look at the share. Counters
// are those of the current instance: they begin again with its successor.
type Stats struct {
	Epoch   uint64        // 0 while there is no instance
	Since   time.Duration // how long there has been this instance, or none
	Refuses string        // why nothing new is taken; "" = work is taken
	Renewed bool          // the last heartbeat was written
	Busy    int           // claims that are being worked on
	Claims  map[spool.Stage]Claims
	Submit  submit.Stats
	Fit     map[spool.Stage]bool
}

// Stats returns it as of now.
func (n *Node) Stats() Stats {
	now := n.cfg.Env.Now()
	n.mu.Lock()
	s, ready, stopping, changed := n.now, n.now != nil && n.now.ready, n.now != nil && n.now.stopping, n.changed
	n.mu.Unlock()
	st := Stats{Since: now - changed, Refuses: ErrNotReady.Error(), Claims: map[spool.Stage]Claims{}, Fit: map[spool.Stage]bool{}}
	if s == nil {
		return st
	}
	st.Epoch, st.Renewed, st.Busy = s.in.Epoch, s.lease.Renewed(), s.claims()
	switch {
	case !ready:
		st.Refuses = "it moves on what its earlier instance left"
	case stopping:
		st.Refuses = "it stops"
	case s.lease.Drained():
		st.Refuses = "a person drains it"
	default:
		st.Refuses = s.lease.Worn()
	}
	for _, stage := range n.cfg.Stages {
		st.Fit[stage] = true
	}
	if t := s.translate; t != nil {
		won, lost := t.Claims()
		st.Claims[spool.Translate] = Claims{won, lost}
	}
	if t := s.handover; t != nil {
		won, lost := t.Claims()
		st.Claims[spool.Submit] = Claims{won, lost}
	}
	if e := s.engine; e != nil {
		won, lost := e.Taker().Claims()
		st.Claims[spool.Submit] = Claims{won, lost}
		st.Submit = e.Stats()
		fit, why := e.Fitness()
		st.Fit[spool.Submit] = fit
		if st.Refuses == "" && !fit && len(n.cfg.Stages) == 1 {
			st.Refuses = fmt.Sprintf("unfit for %s, its only stage: %s", spool.Submit, why)
		}
	}
	return st
}

// Hosts is what this node's watcher knows of the other hosts, on this host's
// clock; ok is false while nothing watches.
func (n *Node) Hosts() (hosts []lease.HostState, ok bool) {
	n.mu.Lock()
	w := n.watcher
	n.mu.Unlock()
	if w == nil {
		return nil, false
	}
	hosts = w.Hosts()
	return hosts, len(hosts) > 0
}
