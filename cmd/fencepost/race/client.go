package race

import (
	"errors"
	"fmt"
	"time"

	"fencepost/cmd/fencepost/node"
	"fencepost/codec"
	"fencepost/spool"
	"fencepost/spool/env/simenv"
)

// clientTimeout is how long a client waits for an answer before it asks again.
const clientTimeout = 2 * time.Second

// send is one client's job, sent until an answer is final.
type send struct {
	r      *run
	job    *job
	lane   *simenv.Lane
	rec    codec.Record
	clash  bool // another client's, under the same id
	target int
	try    int
	over   bool
}

// sendAll has clients send all jobs, spread over the first part of the chaos.
func (r *run) sendAll() {
	lane := r.w.Tape().Lane("client")
	for i := range r.opt.Jobs {
		id := r.jobID(i)
		j := r.oracle.add(id)
		at := time.Duration(i)*r.plan.chaos/time.Duration(2*r.opt.Jobs) + time.Duration(lane.Pick(8))*50*time.Millisecond
		s := &send{r: r, job: j, lane: lane, rec: record(id, i, "one"), target: i % len(r.hosts)}
		r.w.After(at+400*time.Millisecond, s.ask)
		if lane.Chance(1, 12) && r.plan.on[ClientClash] {
			c := &send{r: r, job: j, lane: lane, rec: record(id, i, "another"), clash: true, target: int(lane.Pick(uint32(len(r.hosts))))}
			r.w.After(at+time.Duration(lane.Pick(8))*300*time.Millisecond+400*time.Millisecond, c.ask)
		}
		if lane.Chance(1, 12) && r.plan.on[BadJob] {
			j.bad = true
			r.sim.Reject[r.jobName(id)] = true
			r.faults[string(BadJob)]++
		}
	}
	r.sendOld()
}

// jobID is the id of the i-th job. The first eight digits are a minute: some
// jobs share one.
func (r *run) jobID(i int) string {
	if r.plan.on[Retention] {
		return oldID(i)
	}
	return fmt.Sprintf("0192%04x-0000-7000-8000-%012x", i/4, i)
}

func (r *run) jobName(id string) string { return "fp-" + r.format.SpoolID[:8] + "-" + id }

func record(id string, i int, name string) codec.Record {
	rec := codec.Record{ID: id, Job: codec.Job{Name: fmt.Sprintf("%s-%d", name, i), Script: "#!/bin/sh\ntrue\n"}, Client: "race",
		ReceivedAt: time.UnixMilli(0).UTC()}
	rec.Digest = codec.Digest(rec.Job)
	return rec
}

// ask sends the job to a host, and again to one if no answer comes.
func (s *send) ask() {
	if s.over {
		return
	}
	s.try++
	h := s.r.hosts[s.target%len(s.r.hosts)]
	if s.try > 1 {
		s.r.faults[string(ClientRetry)]++
	}
	answered := false
	if h.running() && !h.proc.Stopped() {
		s.r.recordNote2(h, s.job.id, "a client sends the job")
		s.accept(h, func(err error) {
			if !answered && !s.over {
				answered = true
				s.answer(h, err)
			}
		})
	}
	s.r.w.After(clientTimeout, func() {
		if !answered && !s.over {
			answered = true
			s.again()
		}
	})
	// An impatient client asks another host at the same time.
	if s.r.plan.on[ClientRetry] && s.lane.Chance(1, 10) {
		other := s.r.hosts[(s.target+1)%len(s.r.hosts)]
		if other.running() {
			s.r.faults[string(ClientRetry)]++
			s.accept(other, func(err error) {
				if err == nil {
					s.r.oracle.answered(s.job, other.label, s.rec.Digest)
				}
			})
		}
	}
}

// accept is what the TCP server does with a job.
func (s *send) accept(h *host, reply func(error)) {
	rec := s.rec
	rec.ReceivedBy = h.name
	n := h.node
	h.proc.Go("accept", func() {
		data, err := codec.EncodeXML(rec)
		if err == nil {
			_, err = n.Accept(rec.ID, data, node.SameJob(rec.Digest))
		}
		reply(err)
	})
}

// answer is what the client does with one.
func (s *send) answer(h *host, err error) {
	switch {
	case err == nil:
		s.over = true
		s.job.given = true
		s.r.oracle.answered(s.job, h.label, s.rec.Digest)
	case errors.Is(err, spool.ErrConflict):
		s.over = true
		s.job.given = true
		s.r.faults[string(ClientClash)]++
		if s.job.gate == 0 {
			s.r.oracle.violate(Safety, "conflict", s.job.id, "host %s refused job %d as a conflict, but nobody has that id", h.label, s.job.n)
		}
	case errors.Is(err, spool.ErrTooOld) && s.r.plan.on[Retention]:
		s.over = true
		s.job.given = true
	default:
		s.r.w.After(200*time.Millisecond, s.again)
	}
}

func (s *send) again() {
	if s.r.plan.on[ClientRetry] || s.try > 3 {
		s.target++
	}
	s.ask()
}

// rogues lets a legacy consumer loose: it takes what it finds in a stage's
// directory.
func (r *run) rogues(lane *simenv.Lane) {
	if r.rogue != nil || !r.happens(Rogue, nil, "a legacy consumer takes files", 0) {
		return
	}
	m := r.w.Machine("rogue")
	client := r.srv.Mount(m, r.mountOptions(0))
	p := m.Start("rogue")
	p.SetFS(client.FS(p))
	r.rogue = p
	dir := []string{layoutJSON, layoutXML}[lane.Pick(2)]
	all := lane.Chance(1, 2) // or it knows a canary when it sees one
	p.Go("take", func() {
		for taken := 0; taken < 3; {
			names, _ := p.FS().List(dir)
			for _, name := range names {
				if _, ok := parsePlace(dir + "/" + name); (ok || all) && p.FS().Remove(dir+"/"+name) == nil {
					taken++
				}
			}
			_ = p.Sleep(noContext(), 20*time.Millisecond)
		}
	})
}
