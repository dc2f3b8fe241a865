package race

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"fencepost/spool"
)

// The times of runs in which records are removed: ids are older than the retention
// from the start, but for the hosts whose clocks are behind.
const (
	retention    = 48 * time.Hour
	removeEvery  = 1500 * time.Millisecond
	removeSettle = time.Second
	// sentAgain is how often each job is sent once more, at any time.
	sentAgain = 5
)

// oldID is the id of the i-th job, made three days before the run: two a bucket.
func oldID(i int) string { return fmt.Sprintf("%07x0-0000-7000-8000-%012x", 0x19b7de+i/2, i) }

// clocksApart sets hosts' clocks days apart.
func (r *run) clocksApart() {
	if !r.plan.on[Retention] {
		return
	}
	lane := r.w.Tape().Lane("clocks")
	for _, h := range r.hosts {
		h.machine.Skew([]time.Duration{0, 0, -5 * 24 * time.Hour, 5 * 24 * time.Hour, -25 * time.Hour}[lane.Pick(5)])
	}
	r.faults[string(Retention)]++
}

// sendOld has clients, or what resends for them, send each job again: while it is
// worked on, while its records are removed, and after that.
func (r *run) sendOld() {
	if !r.plan.on[Retention] {
		return
	}
	lane := r.w.Tape().Lane("again")
	for i := range r.opt.Jobs {
		for range sentAgain {
			h := r.anyHost(lane)
			at := time.Duration(lane.Pick(64)) * r.plan.chaos / 48 // also when all faults are over
			r.w.After(at, func() { r.sendOnce(h, i) })
		}
	}
}

// sendAtReady: a client has waited for the host, with a job that it sent before.
func (r *run) sendAtReady(h *host) {
	if !r.plan.on[Retention] || h.guest {
		return
	}
	i := int(r.w.Tape().Lane("ready").Pick(uint32(r.opt.Jobs)))
	r.w.After(0, func() { r.sendOnce(h, i) })
}

// sendOnce sends the i-th job, if it was ever sent, and doesn't mind the answer.
func (r *run) sendOnce(h *host, i int) {
	j := r.oracle.jobs[r.jobID(i)]
	if j.gate == 0 || !h.running() || h.proc.Stopped() {
		return
	}
	s := &send{r: r, job: j, rec: record(j.id, i, "one"), over: true}
	s.accept(h, func(err error) {
		if err == nil {
			r.oracle.answered(j, h.label, s.rec.Digest)
		}
	})
}

// dropRecord: what remembers a job goes only when the job has ended, and in one order:
// the gate, the exit gate, the record.
func (o *oracle) dropRecord(j *job, p place) {
	left := func(w where) bool {
		return slices.ContainsFunc(j.places, func(q place) bool { return q.where == w && q.path != p.path })
	}
	switch {
	case p.where == atGate:
		if !o.r.plan.on[Retention] || !left(atDone) {
			o.violate(Safety, "gate", j.id, "the gate of job %d was removed", j.n)
		}
		j.removed = true
	case left(atGate) || p.where == atDone && left(atOnce):
		o.violate(Safety, "record", j.id, "%s was removed before the gates of job %d", p.path, j.n)
	}
}

// refusedOrder notes that an order was set aside, where that may be.
func (o *oracle) refusedOrder(path string, ino uint64) {
	if !o.r.plan.on[Retention] || !strings.HasPrefix(path, spool.DirFailed+"/"+string(spool.StageAdopt)+"~") {
		return
	}
	for _, w := range o.r.orders {
		w.refused = w.refused || w.ino == ino
	}
}

// unremoved names a bucket that ought to be gone: all of its jobs ended by themselves,
// and the hosts' clocks are right.
func (o *oracle) unremoved() string {
	if !o.r.plan.on[Retention] {
		return ""
	}
	owners, _ := o.r.srv.ReadDir(spool.DirDrafts)
	if slices.ContainsFunc(owners, func(owner string) bool {
		epochs, _ := o.r.srv.ReadDir(spool.DirDrafts + "/" + owner)
		return strings.HasSuffix(owner, spool.CommandHost("")) && len(epochs) > 0
	}) {
		return "" // a command that was killed: it holds all up until a person looks, or an hour has gone
	}
	kept, there := map[string]bool{}, map[string]bool{}
	for _, j := range o.order {
		for _, p := range j.places {
			b := spool.Bucket(j.id)
			there[b] = true
			if p.where != atGate && p.where != atOnce && p.where != atDone || j.order != nil {
				kept[b] = true
			}
		}
		if j.gate != 0 && !j.removed && !slices.ContainsFunc(j.places, func(p place) bool { return p.where == atDone }) {
			kept[spool.Bucket(j.id)] = true
		}
	}
	for b := range there {
		if !kept[b] {
			return "the records of bucket " + b + " are still there"
		}
	}
	return ""
}

// removedJobs counts the jobs of which nothing is left.
func (o *oracle) removedJobs() (n int) {
	for _, j := range o.order {
		if j.removed && !slices.ContainsFunc(j.places, func(p place) bool { return p.where == atDone }) {
			n++
		}
	}
	return n
}

// halfRemoved counts those that have a record, and no gate any more.
func (o *oracle) halfRemoved() (n int) {
	for _, j := range o.order {
		if j.removed && slices.ContainsFunc(j.places, func(p place) bool { return p.where == atDone }) {
			n++
		}
	}
	return n
}
