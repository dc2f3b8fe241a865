package race

import (
	"errors"
	"slices"
	"time"

	"fencepost/spool"
	"fencepost/spool/env/drill"
	"fencepost/spool/env/simenv"
	"fencepost/spool/vfs"
	"fencepost/submit"
	"fencepost/submit/clustersim"
)

// setUpCluster makes the cluster that all hosts submit to.
func (r *run) setUpCluster() {
	opt := clustersim.Options{Caps: r.plan.caps, Now: r.w.Now, StartAfter: 300 * time.Millisecond, RunTime: r.plan.runs,
		MinJobAge: 90 * time.Second, Latency: 4 * time.Millisecond, Guard: r.plan.guard}
	if r.plan.on[ClusterLags] && r.plan.caps.List {
		opt.ListLag = r.plan.lag
		r.faults[string(ClusterLags)]++
	}
	if r.plan.caps.Key {
		opt.KeyWindow = keyWindow
	}
	r.sim = clustersim.New(opt)
	r.sim.CancelRuns = r.bugs[drill.CancelRuns]
	r.sim.Inject = r.clusterFate
	r.sim.Before = r.clusterActs
	r.sim.OnStart = r.clusterStarts
}

// clusterGoesOn lets the cluster start and end what is due, though nobody asks
// it anything.
func (r *run) clusterGoesOn() {
	r.sim.Starts()
	r.w.After(time.Second/2, r.clusterGoesOn)
}

// idLength is a job id's.
const idLength = 36

// clusterStarts is told each start that takes effect. With the guard, the
// job's first lines make a link.
func (r *run) clusterStarts(name, id string) {
	job := name[max(len(name)-idLength, 0):]
	if r.plan.guard {
		r.link(job, id)
	}
	r.recordCluster("start", job, id)
	r.w.After(0, func() { r.oracle.started(job) })
}

// link is what the guard does: the first start of a job id makes the name.
func (r *run) link(job, id string) {
	fs := r.srv.Direct()
	path := spool.StartedPath(job)
	dir, _ := vfs.Split(path)
	// A job that can't make its link doesn't run; this cluster's always can.
	r.srv.SetFull(false)
	_ = fs.Mkdir(dir)
	if _, err := fs.Create(path, []byte(id)); err != nil {
		panic(err)
	}
	r.srv.SetFull(r.full)
}

// clusterActs checks what is asked of the cluster, when it is about to do it.
func (r *run) clusterActs(c clustersim.Call) {
	if c.Op == clustersim.OpList {
		r.listed[c.Host] = r.sim.Stats.Crashes
	}
	if c.Op != clustersim.OpRelease && c.Op != clustersim.OpCancel {
		return
	}
	for _, j := range r.sim.Jobs() {
		spared := j.State != submit.Held && !(c.Op == clustersim.OpCancel && r.sim.CancelRuns)
		if j.ID != c.Arg || len(j.Name) < idLength || spared {
			continue
		}
		if id := j.Name[len(j.Name)-idLength:]; c.Op == clustersim.OpRelease {
			r.oracle.released(id, j.ID, j.Token, r.listed[c.Host] != r.sim.Stats.Crashes)
		} else {
			r.oracle.cancelled(id, j.ID, j.Token)
		}
	}
}

// The modes of a fault at the cluster.
const (
	clusterFine uint32 = iota
	clusterDidIt
	clusterDidNot
	clusterHangs
	clusterLate
	clusterLateToo
	clusterKillsBefore
	clusterKillsAfter
	clusterModes
)

func lie(op string) error {
	return &submit.Error{Outcome: submit.Unknown, Op: op, Err: errors.New("no answer")}
}

func (r *run) clusterFate(c clustersim.Call) clustersim.Verdict {
	h := r.labelled(c.Host)
	if h == nil {
		return clustersim.Verdict{}
	}
	r.recordCall2(h, c)
	rate := max(r.plan.rate/12, 3)
	if r.opt.Where != "" && !r.meant("cluster "+c.Op) {
		rate = 1 << 30
	}
	mode := h.cluster.Rare(1, rate, clusterModes)
	d := r.pause(h.cluster)
	if !r.chaos || r.faulted >= r.plan.most || mode == clusterFine {
		return clustersim.Verdict{}
	}
	v, fault := clustersim.Verdict{}, ClusterLies
	switch mode {
	case clusterDidIt:
		v = clustersim.Verdict{Apply: true, Err: lie(c.Op)}
	case clusterDidNot:
		v = clustersim.Verdict{Err: lie(c.Op)}
	case clusterHangs:
		v = clustersim.Verdict{Apply: true, Hang: d}
		fault = ClusterLate
	case clusterLate:
		v = clustersim.Verdict{Err: lie(c.Op), Late: d}
		fault = ClusterLate
	case clusterLateToo: // twice: harmless with a hold or a key, and nobody's to prevent without
		if !r.plan.caps.Hold && !r.plan.caps.Key {
			return v
		}
		v = clustersim.Verdict{Apply: true, Err: lie(c.Op), Late: d}
		fault = ClusterLate
	case clusterKillsBefore:
		v, fault = clustersim.Verdict{Die: true}, Kill
	case clusterKillsAfter:
		v, fault = clustersim.Verdict{Apply: true, Die: true}, Kill
	}
	if !r.plan.on[fault] || !v.Die && h.proc != nil && h.proc.Dead() {
		return clustersim.Verdict{}
	}
	if fault != Kill {
		r.cluster.lied = true
	}
	r.did(fault, h, "at the cluster's "+c.Op+" "+c.Arg, 0)
	return v
}

func (r *run) labelled(label string) *host {
	for _, h := range append(slices.Clone(r.hosts), r.guests...) {
		if h.label == label {
			return h
		}
	}
	return nil
}

func (r *run) clusterDown(lane *simenv.Lane) {
	if d := r.pause(lane); r.happens(ClusterDown, nil, "the cluster is down", d) {
		r.sim.Down = true
		r.w.After(d, func() { r.sim.Down = false })
	}
}

func (r *run) clusterCrashes(lane *simenv.Lane) {
	// What a controller forgets is younger than confirm_after: that is what it
	// is for.
	d := min(r.pause(lane), confirmAfter*3/4)
	if r.happens(ClusterCrash, nil, "the controller crashes, and forgets the last "+d.String(), 0) {
		r.cluster.crashed = true
		r.sim.Crash(d)
	}
}

func (r *run) unfits(lane *simenv.Lane) {
	h, d := r.anyHost(lane), r.pause(lane)
	if r.happens(Unfit, h, "can't submit", d) {
		r.sim.Unfit[h.label] = &submit.Error{Outcome: submit.Unfit, Op: "submit", Detail: "this host may not"}
		r.w.After(d, func() { delete(r.sim.Unfit, h.label) })
	}
}

func (r *run) misconfigures(lane *simenv.Lane) {
	h, d := r.anyHost(lane), r.pause(lane)
	if r.happens(Misconfigured, h, "is configured for another cluster", d) {
		r.sim.Another[h.label] = true
		r.w.After(d, func() { delete(r.sim.Another, h.label) })
	}
}

func (r *run) healCluster() {
	r.sim.Down = false
	clear(r.sim.Unfit)
	clear(r.sim.Another)
}

// parkCause says why a job may have been parked; "" if there is no reason.
func (r *run) parkCause(p place) string {
	caps := r.plan.caps
	j := r.oracle.jobs[p.name.ID]
	switch {
	case j != nil && j.copied:
		return "somebody made a copy"
	case p.name.Faults > spool.DefaultLimits().Faults:
		return "it was tried too often"
	case r.cluster.crashed:
		return "the cluster forgot"
	case !caps.Hold && len(r.faults) > 0:
		return "a cluster without a hold: what is unclear is for a person"
	}
	return ""
}
