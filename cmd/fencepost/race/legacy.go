package race

import (
	"errors"
	"slices"
	"time"

	"fencepost/cmd/fencepost/race/history"
	"fencepost/codec"
	"fencepost/spool/env/simenv"
	"fencepost/submit"
)

// legacyPoll is the pace of the old programs' crontab, much sped up.
const legacyPoll = 300 * time.Millisecond

// legacy is the service of the story: it writes each job as an XML file, one
// program makes JSON of it, one submits that. All see a file and take it. They
// were written for one host, and now there are several with the same crontab.
func (r *run) legacy() {
	r.chaos = true
	if r.plan.on[Unfit] && len(r.hosts) > 1 {
		// The replacement machine of the story: it never could submit.
		r.happens(Unfit, r.hosts[1], "can't submit", 0)
		r.sim.Unfit[r.hosts[1].label] = &submit.Error{Outcome: submit.Unfit, Op: "submit", Detail: "permission denied"}
	}
	for _, h := range r.hosts {
		h.startLegacy()
	}
	r.sendLegacy()
	r.timeline()
	if !r.w.Run(r.plan.chaos) {
		return
	}
	r.chaos = false
	r.srv.SetFull(false)
	for _, h := range r.hosts {
		h.machine.Thaw()
		h.client.Join()
		if h.proc.Continue(); h.proc.Dead() {
			h.startLegacy()
		}
	}
	r.healCluster()
	if !r.w.Run(r.w.Now() + 30*time.Second) {
		return
	}
	for _, j := range r.oracle.order {
		if j.acked && j.starts == 0 {
			r.oracle.violate(Safety, "lost", j.id, "job %d was accepted, and never ran", j.n)
		}
	}
}

func (h *host) startLegacy() {
	r := h.r
	h.starts++
	h.proc = h.machine.Start(h.label + " crontab")
	r.byProc[h.proc] = h
	h.proc.SetFS(h.client.FS(h.proc))
	c := r.clusterOf(h, environment{h.proc, r}, "legacy-")
	l := &legacyHost{h: h, p: h.proc, c: c}
	h.proc.Go("translate", func() { l.every(l.translate) })
	h.proc.Go("submit", func() { l.every(l.submit) })
}

// legacyHost is the old programs on one host.
type legacyHost struct {
	h *host
	p *simenv.Proc
	c submit.Cluster
}

func (l *legacyHost) every(f func()) {
	for l.p.Sleep(noContext(), legacyPoll) == nil {
		f()
	}
}

// translate takes each XML file that it sees.
func (l *legacyHost) translate() {
	names, _ := l.p.FS().List(layoutXML)
	slices.Sort(names)
	for _, name := range names {
		data, _, err := l.p.FS().Read(layoutXML+"/"+name, 1<<20)
		if err != nil {
			continue
		}
		out, err := codec.Translate(data)
		if err != nil {
			continue // half written: next time
		}
		id := name[:len(name)-len(".xml")]
		l.say(id, "translated", "")
		_, _ = l.p.FS().Create(layoutJSON+"/"+id+".json", out)
		_ = l.p.FS().Remove(layoutXML + "/" + name)
	}
}

// submit takes each JSON file that it sees. What can't be submitted is dropped.
func (l *legacyHost) submit() {
	names, _ := l.p.FS().List(layoutJSON)
	slices.Sort(names)
	for _, name := range names {
		data, _, err := l.p.FS().Read(layoutJSON+"/"+name, 1<<20)
		if err != nil || len(data) == 0 {
			continue
		}
		_ = l.p.FS().Remove(layoutJSON + "/" + name)
		id := name[:len(name)-len(".json")]
		_, err = l.c.Submit(noContext(), submit.Request{Key: id, Name: l.h.r.jobName(id), Host: l.h.label, Document: data})
		if err != nil {
			l.say(id, "dropped", err.Error())
			l.dropped(id, err)
			continue
		}
		l.say(id, "submitted", "")
	}
}

// dropped: the file is gone, and the cluster doesn't have the job.
func (l *legacyHost) dropped(id string, err error) {
	j := l.h.r.oracle.jobs[id]
	var e *submit.Error
	if j == nil || l.h.r.sim.ByName(id) != "" || !errors.As(err, &e) || e.Outcome != submit.Unfit {
		return
	}
	l.h.r.oracle.violate(Safety, "lost", id, "host %s took job %d, could not submit it, and dropped it: %v", l.h.label, j.n, err)
}

func (l *legacyHost) say(id, op, words string) {
	l.h.r.record(history.Event{Kind: "job", Host: l.h.label, Op: op, Job: id, Text: words})
}

// sendLegacy has clients send their jobs to the service on the first host,
// which writes each into the stage's directory, in place.
func (r *run) sendLegacy() {
	for i := range r.opt.Jobs {
		rec := record(r.jobID(i), i, "one")
		rec.ReceivedBy = r.hosts[0].name
		j := r.oracle.add(rec.ID)
		data, err := codec.EncodeXML(rec)
		if err != nil {
			panic(err) // the record is ours
		}
		r.w.After(time.Duration(i+1)*r.plan.chaos/time.Duration(2*r.opt.Jobs), func() {
			h := r.hosts[0]
			if h.proc.Dead() {
				return
			}
			h.proc.Go("service", func() {
				if _, err := h.proc.FS().Create(layoutXML+"/"+rec.ID+".xml", data); err == nil {
					r.record(history.Event{Kind: "job", Host: h.label, Op: "accepted", Job: rec.ID})
					j.acked = true
				}
			})
		})
	}
}
