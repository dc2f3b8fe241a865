package race

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fencepost/codec"
	"fencepost/lease"
	"fencepost/spool"
	"fencepost/spool/env/simenv"
	"fencepost/spool/vfs"
	"fencepost/submit"
)

// ---- a legacy program that writes orders ----------------------------------------

// inboxDir is where it writes them, settle how long one must be unchanged to be
// complete; a writer's pause is shorter.
const (
	inboxDir = "orders"
	settle   = time.Second
)

// order is a job that comes as a file: it has no id until a host takes it.
type order struct {
	n    int
	ino  uint64
	data []byte
	job  *job // that it was accepted as
	// refused: it was set aside, for a person. Who took it had a clock that was days
	// behind, so that its fresh id was too old for who carried it on.
	refused bool
}

func (w *order) name() string { return fmt.Sprintf("order-%d", w.n) }

// writeOrders has the program write some, in the first half of the chaos.
func (r *run) writeOrders() {
	if !r.plan.on[Writer] {
		return
	}
	lane := r.w.Tape().Lane("writer")
	for i := range 1 + int(lane.Pick(3)) {
		w := &order{n: i}
		w.data = fmt.Appendf(nil, `{"name": %q, "command": ["/bin/true"]}`, w.name())
		r.orders = append(r.orders, w)
		at := time.Duration(lane.Pick(16)) * r.plan.chaos / 32
		pause := time.Duration(lane.Pick(8)) * settle / 10
		r.w.After(at, func() { r.writeOrder(w, pause) })
	}
}

// writeOrder writes the first half of a file, and after a pause the second. The
// program is none of ours, so nothing goes wrong on its way: what counts is what
// our hosts make of it.
func (r *run) writeOrder(w *order, pause time.Duration) {
	r.happens(Writer, nil, "a legacy program writes "+w.name(), pause)
	var file vfs.Log
	half := len(w.data) / 2
	r.spacious(func() {
		name := fmt.Sprintf("%s/ORDER%02d.json", inboxDir, w.n)
		var err error
		if file, err = r.srv.Direct().OpenLog(name); err == nil {
			err = file.Append(w.data[:half])
		}
		if err != nil {
			panic(err)
		}
		w.ino, _, _ = r.srv.Lookup(name)
	})
	r.w.After(pause, func() {
		r.spacious(func() {
			if err := errors.Join(file.Append(w.data[half:]), file.Close()); err != nil {
				panic(err)
			}
		})
	})
}

// spacious does something though the server may be out of space.
func (r *run) spacious(f func()) {
	r.srv.SetFull(false)
	f()
	r.srv.SetFull(r.full)
}

// ordered is the job that an order becomes, when its first name is seen.
func (o *oracle) ordered(p place, ino uint64) *job {
	if p.where != atAccept && p.where != atGate {
		return nil
	}
	data, _ := o.r.srv.Data(ino)
	rec, err := codec.DecodeXML(data)
	if err != nil {
		return nil
	}
	for _, w := range o.r.orders {
		if w.name() == rec.Job.Name {
			j := o.add(p.name.ID)
			j.order, j.given = w, true
			return j
		}
	}
	return nil
}

// adopted: one order is one job.
func (o *oracle) adopted(j *job) {
	if first := j.order.job; first != nil && first != j {
		o.violate(Safety, "adopted-twice", j.id, "order %d was accepted as job %s, and again as %s", j.order.n, first.id, j.id)
	}
	j.order.job = j
}

// removed: the file of an order that isn't accepted yet is all there is of it.
func (o *oracle) removed(c change) {
	for _, w := range o.r.orders {
		if w.job == nil && w.ino == c.ino && c.ino != 0 {
			o.violate(Safety, "lost", "", "order %d was removed before it was accepted: %s", w.n, c.from)
		}
	}
}

// ---- a person who brings back what vanished -------------------------------------

// whenHealed is when a person looks, after all faults: what vanished has been
// noticed by then.
const whenHealed = 5 * time.Second

func (r *run) recovers(lane *simenv.Lane) {
	h := r.anyHost(lane)
	h.commandSlow = lane.Chance(1, 2)
	if r.happens(Recover, h, "a person runs audit --recover", 0) {
		h.recover(nil)
	}
}

// recoverAll tries until it worked twice, half a minute apart: what was sealed at
// the first look, or on its way, may have vanished since, and a person sees the alarm.
func (r *run) recoverAll() {
	h := r.hosts[0]
	h.commandSlow = false
	h.recover(func(err error) {
		if err != nil {
			r.note(h, "log", "audit --recover: "+err.Error())
			r.w.After(time.Second, r.recoverAll)
			return
		}
		if r.recoveries++; r.recoveries < 2 {
			r.w.After(30*time.Second, r.recoverAll)
			return
		}
		r.recovered = true
	})
}

// recover is what the command does, in a process of its own.
func (h *host) recover(then func(error)) {
	r := h.r
	if h.command != nil && !h.command.Dead() || h.machine.Frozen() {
		if then != nil {
			r.w.After(time.Second, func() { h.recover(then) })
		}
		return
	}
	h.starts++
	p := h.machine.Start(fmt.Sprintf("%s audit/%d", h.label, h.starts))
	h.command = p
	r.byProc[p] = h
	p.SetFS(h.client.FS(p))
	e := environment{p, r}
	id := h.id
	id.PID, id.Nonce = h.starts, fmt.Sprintf("%s-%d", h.label, h.starts)
	p.Go("audit", func() {
		err := r.auditRecover(e, id, h.tee)
		r.w.After(0, func() {
			p.Kill()
			if then != nil {
				then(err)
			}
		})
	})
}

func (r *run) auditRecover(e environment, id lease.Identity, tee func(spool.Event)) error {
	ctx := context.Background()
	sp := spool.New(e, r.format)
	b, err := sp.Audit(ctx, ttl)
	if err != nil || len(b.Vanished) == 0 {
		return err
	}
	owner, epoch, err := lease.TakeEpoch(ctx, e, id)
	if err != nil {
		return err
	}
	in, err := spool.NewInstance(sp, spool.Stamp{Host: owner, Epoch: epoch, Version: id.Version, Config: id.ConfigDigest}, tee)
	if err != nil {
		return err
	}
	for _, job := range b.Vanished {
		_, rerr := in.Recover(ctx, job, r.askCluster(), false)
		err = errors.Join(err, rerr)
	}
	_, rerr := in.Reclaim(spool.Over{Host: owner, Epoch: epoch, Why: "the command ended"}, nil)
	return errors.Join(err, rerr, in.Journal.Close())
}

// askCluster is nil for a cluster that doesn't list its jobs.
func (r *run) askCluster() spool.AskCluster {
	if !r.plan.caps.List {
		return nil
	}
	return func(_ context.Context, id string) (spool.Answer, error) {
		if r.sim.Down {
			return spool.Answer{}, errors.New("the cluster is down")
		}
		for _, j := range r.sim.Jobs() {
			if j.Name == r.jobName(id) && !(j.State == submit.Cancelled && !j.Started) {
				return spool.Answer{Known: true, Cluster: j.ID, Detail: string(j.State)}, nil
			}
		}
		return spool.Answer{}, nil
	}
}
