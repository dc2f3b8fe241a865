package race

import (
	"slices"
	"time"

	"fencepost/spool/env/nfssim"
	"fencepost/spool/env/simenv"
	"fencepost/submit"
)

// plan is what a run has in store: which faults, how many, on what kind of
// mount and cluster. A different part of the faults in each run finds more than
// all of them in every one.
type plan struct {
	on      map[Fault]bool
	rate    uint32 // a fault at one in so many calls that matter
	most    int    // faults at calls, at most
	chaos   time.Duration
	version string
	mount   int
	caps    submit.Caps
	guard   bool
	lag     time.Duration
	runs    time.Duration // how long a job does
	moments uint32        // faults by the clock
	births  bool          // hosts that rest take what they make without a stage's directory
}

// few kinds of faults are all on in each run.
const few = 6

// firstKinds are the kinds that a plan's lane begins with. Later ones come at
// its end: a tape that is older than they are has them off.
const firstKinds = 28

// secondKinds are those before the ones that came last.
const secondKinds = 30

func newPlan(lane *simenv.Lane, opt Options) plan {
	p := plan{on: map[Fault]bool{}}
	p.choose(lane, opt, kinds()[:firstKinds])
	p.rate = []uint32{400, 30, 60, 120, 240}[lane.Pick(5)]
	p.most = []int{2, 1, 3, 5, 8}[lane.Pick(5)]
	p.chaos = []time.Duration{8 * time.Second, 5 * time.Second, 12 * time.Second}[lane.Pick(3)]
	p.version = []string{"4.2", "4.2", "4.1", "4.0", "3"}[lane.Pick(5)]
	p.mount = int(lane.Pick(5))
	p.caps = []submit.Caps{
		{Hold: true, List: true, Past: true},
		{Hold: true, List: true, Past: true},
		{Hold: true, List: true},
		{Key: true},
		{},
	}[lane.Pick(5)]
	p.lag = []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond}[lane.Pick(2)]
	p.moments = lane.Pick(5)
	p.choose(lane, opt, kinds()[firstKinds:secondKinds])
	p.runs = []time.Duration{2 * time.Second, 40 * time.Second}[lane.Pick(2)]
	p.choose(lane, opt, kinds()[secondKinds:])
	// So few jobs leave hosts at rest: with births nearly none would wait for a stage,
	// and be raced for. A tape that is older than births has none.
	p.births = lane.Pick(2) == 1
	// What a crashed controller forgets may have run: only the guard in the
	// job keeps it from running twice.
	p.guard = p.on[ClusterCrash] && p.caps.Hold
	if opt.Protocol == ProtocolLegacy {
		p.caps, p.guard = submit.Caps{}, false
		delete(p.on, Retention)
	}
	if !p.caps.Hold {
		delete(p.on, ClusterCrash)
	}
	if p.on[Retention] {
		p.chaos *= 2 // until the first records go takes some time
	}
	return p
}

// choose decides for all kinds, so that a tape fits whatever is asked for. A few
// that were asked for are all meant.
func (p plan) choose(lane *simenv.Lane, opt Options, of []kind) {
	for _, k := range of {
		on := lane.Pick(2) == 1 || len(opt.Faults) <= few
		if on && slices.Contains(opt.Faults, k.fault) {
			p.on[k.fault] = true
		}
	}
}

// mountOptions differ between runs, and in some between hosts.
func (r *run) mountOptions(i int) nfssim.MountOptions {
	switch r.plan.mount {
	case 1: // what docs/nfs.md recommends
		return nfssim.MountOptions{LookupCache: "pos"}
	case 2: // long caches
		return nfssim.MountOptions{ACRegMax: 60 * time.Second, ACDirMax: 60 * time.Second, ACRegMin: 30 * time.Second, ACDirMin: 30 * time.Second}
	case 4: // locks that each host has for itself, where that can be: nothing may rest on them
		return nfssim.MountOptions{NoLock: true}
	case 3:
		if i%2 == 1 {
			return nfssim.MountOptions{ACRegMax: 60 * time.Second, ACDirMax: 60 * time.Second}
		}
	}
	return nfssim.MountOptions{}
}

// pauses are how long things last: less than a heartbeat, some of them, silence,
// a lease, and more.
func (r *run) pause(lane *simenv.Lane) time.Duration {
	return []time.Duration{300 * time.Millisecond, 50 * time.Millisecond, time.Second, 2500 * time.Millisecond, 4 * time.Second,
		6 * time.Second, 10 * time.Second}[lane.Pick(7)]
}
