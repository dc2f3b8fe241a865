package race

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"fencepost/codec"
	"fencepost/spool"
	"fencepost/spool/env/simenv"
)

// ---- the cluster ----------------------------------------------------------------

// submitted: what reaches the cluster is what came in.
func (o *oracle) submitted(id string, document []byte) {
	if o.r.opt.Protocol == ProtocolLegacy {
		return
	}
	j := o.jobs[id]
	if j == nil || j.gate == 0 {
		o.violate(Safety, "submitted", id, "a job that was never accepted was submitted")
		return
	}
	if !bytes.Equal(document, j.json) {
		o.violate(Safety, "payload", id, "job %d was submitted with another content than it came in with", j.n)
	}
}

// released: only an id that was decided may be let go.
//
// A controller that crashes between a host's look and its act is the gap that
// only the guard in the job closes: excused says so.
func (o *oracle) released(id, clusterID, tok string, excused bool) {
	j := o.jobs[id]
	if j == nil || excused || slices.Contains(j.sealed, sealedAs{tok, clusterID}) {
		return
	}
	o.violate(Safety, "unsealed", id, "job %d was released as %s (%s), which nobody had sealed", j.n, clusterID, tok)
}

// cancelled: what is decided and has no end yet must not be cancelled.
func (o *oracle) cancelled(id, clusterID, tok string) {
	j := o.jobs[id]
	if j == nil {
		return
	}
	for _, p := range j.places {
		t := spool.Token{Spool: o.r.format.SpoolID, Host: p.name.Host, Epoch: p.name.Epoch, Seq: p.name.Seq, Gen: p.name.Gen}
		if (p.where == atSealed || p.where == atDone) && p.name.Cluster == clusterID && t.String() == tok {
			o.violate(Safety, "cancelled", id, "job %d was cancelled as %s, which is sealed: %s", j.n, clusterID, p.path)
		}
	}
}

// started checks that no two submissions of a job ran.
func (o *oracle) started(id string) {
	if j := o.jobs[id]; j != nil {
		j.starts++
	}
	if wrong := o.r.sim.Problems(); len(wrong) > 0 {
		n := -1
		if j := o.jobs[id]; j != nil {
			n = j.n
		}
		o.violate(Safety, "twice", id, "job %d ran twice: %s", n, wrong[0])
	}
}

// ---- clients ------------------------------------------------------------------

// answered: a client hears ACCEPTED for what it sent.
func (o *oracle) answered(j *job, host, digest string) {
	j.acked = true
	if j.gate == 0 {
		o.violate(Safety, "acked", j.id, "host %s answered ACCEPTED for job %d, which isn't in", host, j.n)
		return
	}
	if r, err := codec.DecodeXML(j.xml); err != nil || r.Digest != digest {
		o.violate(Safety, "acked", j.id, "host %s answered ACCEPTED for another job than the one that is in as job %d", host, j.n)
	}
}

// alarmed: an alarm is raised only for what is true.
func (o *oracle) alarmed(event, id string) {
	j := o.jobs[id]
	if j == nil || j.stolen || j.copied {
		return
	}
	o.violate(Safety, "alarm", id, "job %d was reported as %s, which it isn't", j.n, event)
}

// fenced: an instance that lives, and that nothing has happened to, isn't fenced.
func (o *oracle) fenced(owner, epoch string, by *simenv.Proc) {
	h := o.r.hostNamed(owner)
	if h == nil || h.proc == nil || by == h.proc || o.maker[owner+"/"+epoch] != h.proc || h.proc.Dead() || h.proc.Stopped() || h.machine.Frozen() || h.down {
		return
	}
	if o.r.w.Now()-o.r.troubled < quietBefore || o.r.w.Now()-h.began < quietBefore {
		return
	}
	o.violate(Safety, "fenced", "", "host %s was fenced, though nothing was wrong with it", owner)
}

// settled says whether every accepted job has come to its end.
func (o *oracle) settled() bool {
	for _, j := range o.order {
		if !j.given {
			return false
		}
		if j.gate != 0 && !j.removed && !slices.ContainsFunc(j.places, place.final) && !(j.stolen && o.restored(j)) {
			return false
		}
		if (j.copied || j.stolen) && slices.ContainsFunc(j.places, func(p place) bool { return p.live() && !p.final() }) {
			return false // both files come to their end: two persons may bring back what was stolen
		}
	}
	return !slices.ContainsFunc(o.r.orders, func(w *order) bool { return w.job == nil && !w.refused })
}

// restored: what a legacy consumer took stays away, unless a person is to bring
// it back: then a copy comes to an end, or is parked where the job may have run.
func (o *oracle) restored(j *job) bool {
	return !o.r.plan.on[Recover] || o.r.recovered && slices.ContainsFunc(j.places, func(p place) bool { return p.where == atCopy })
}

// ended counts the jobs by their end.
func (o *oracle) count(w where) (n int) {
	for _, j := range o.order {
		if slices.ContainsFunc(j.places, func(p place) bool { return p.where == w }) {
			n++
		}
	}
	return n
}

// unsettled says, for a person, what hasn't ended.
func (o *oracle) unsettled() string {
	var b strings.Builder
	for _, j := range o.order {
		if j.gate != 0 && !j.removed && !slices.ContainsFunc(j.places, place.final) && !(j.stolen && o.restored(j)) {
			fmt.Fprintf(&b, "job %d (%s):", j.n, j.id)
			for _, p := range j.places {
				fmt.Fprintf(&b, " %s", p.path)
			}
			b.WriteByte('\n')
		}
	}
	for _, w := range o.r.orders {
		if w.job == nil && !w.refused {
			fmt.Fprintf(&b, "order %d was never accepted\n", w.n)
		}
	}
	return b.String()
}

// short is a duration for people.
func short(d time.Duration) string { return d.Round(time.Millisecond).String() }
