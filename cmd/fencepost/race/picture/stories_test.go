package picture_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"fencepost/cmd/fencepost/race/history"
	"fencepost/cmd/fencepost/race/picture"
)

// pen writes a history by hand. Each event is a millisecond after the last.
type pen struct {
	h []history.Event
	t time.Duration
	n int64
}

// at is an event that each line of a story is a copy of.
func (p *pen) put(e history.Event) {
	p.t += time.Millisecond
	e.T = p.t.Nanoseconds()
	p.h = append(p.h, e)
}

func (p *pen) wait(d time.Duration) { p.t += d }

// call begins an operation; as gives host, process, task and job.
func (p *pen) call(as history.Event, op, from, to string) history.Event {
	p.n++
	as.Kind, as.Call, as.Op, as.From, as.To = history.Call, p.n, op, from, to
	p.put(as)
	return as
}

func (p *pen) effect(of history.Event, err string) {
	p.put(history.Event{Kind: history.Effect, Host: "server", Call: of.Call, Err: err})
}

func (p *pen) answer(of history.Event, err string) {
	p.put(history.Event{Kind: history.Answer, Host: of.Host, Call: of.Call, Err: err})
}

// do is an operation that nothing comes between.
func (p *pen) do(as history.Event, op, from, to, err string) {
	of := p.call(as, op, from, to)
	p.effect(of, err)
	p.answer(of, err)
}

func (p *pen) step(as history.Event, event, text string) {
	as.Kind, as.Op, as.Text = history.Job, event, text
	p.put(as)
}

func (p *pen) fault(host, op, text string, lasts time.Duration) {
	e := history.Event{Kind: history.Fault, Host: host, Op: op, Text: text}
	if lasts > 0 {
		e.Until = (p.t + time.Millisecond + lasts).Nanoseconds()
	}
	p.put(e)
}

func by(host, task, job string) history.Event {
	return history.Event{Host: host, Proc: host + "/1", Task: task + " " + job, Job: job}
}

func jobID(n int) string { return fmt.Sprintf("01890a5d-ac96-774b-bcce-b302099a8%03x", n) }

// legacy is the story that fencepost answers: two machines with one crontab, of
// which only a can submit. Each job is a coin toss.
func legacy() ([]history.Event, picture.Meta) {
	p := &pen{}
	take := func(host, job string, rivals ...string) {
		file := "json/" + job + ".json"
		for _, r := range append(rivals, host) {
			as := by(r, "cron", job)
			p.do(as, "list", "json", "", "")
		}
		won := p.call(by(host, "cron", job), "rename", file, "work/"+host+"/"+job+".json")
		var lost []history.Event
		for _, r := range rivals {
			lost = append(lost, p.call(by(r, "cron", job), "rename", file, "work/"+r+"/"+job+".json"))
		}
		p.effect(won, "")
		for _, l := range lost {
			p.effect(l, "ENOENT")
		}
		p.answer(won, "")
		for _, l := range lost {
			p.answer(l, "ENOENT")
		}
		p.step(by(host, "cron", job), "taken", "by "+host)
	}
	accept := func(job string) {
		c := by("client", "send", job)
		c.Proc = ""
		sent := p.call(c, "send", "", job)
		p.do(by("a", "serve", job), "create", "", "xml/"+job+".xml", "")
		p.step(by("a", "serve", job), "accepted", "")
		p.answer(sent, "")
		p.wait(2 * time.Second)
		p.do(by("a", "translate", job), "rename", "xml/"+job+".xml", "json/"+job+".json", "")
		p.step(by("a", "translate", job), "translated", "")
	}
	for n, host := range []string{"a", "b"} {
		job := jobID(n + 1)
		accept(job)
		p.wait(30 * time.Second)
		for range 3 {
			p.do(history.Event{Host: "b", Proc: "b/1", Task: "cron"}, "list", "xml", "", "")
			p.wait(time.Second)
		}
		take(host, job, map[string]string{"a": "b", "b": "a"}[host])
		as := by(host, "cron", job)
		submit := p.call(as, "submit", "work/"+host+"/"+job+".json", "")
		if host == "a" {
			p.effect(submit, "")
			p.answer(submit, "")
			p.do(as, "remove", "work/a/"+job+".json", "", "")
			p.step(as, "done", "cluster id 4711")
			continue
		}
		p.effect(submit, "EPERM")
		p.answer(submit, "EPERM")
		p.do(as, "remove", "work/b/"+job+".json", "", "")
		p.step(as, "dropped", "b can't submit, and gives up")
		p.put(history.Event{Kind: history.Violation, Op: "lost", Job: job, Text: "the client heard that the job was accepted; it is in no file, and the cluster never got it"})
	}
	return p.h, picture.Meta{
		Title:   "race: seed 1, the old way",
		Verdict: "job " + jobID(2) + " is lost: b took it and could not submit it.",
		Command: "fencepost race --protocol legacy --seed 1",
		Explanation: []string{
			"Two machines run the same crontab: a, and b, which came a month later. Both look at the same directory.",
			"The client hands over the job; a writes it and answers.",
			"a and b both list the directory and both see the file. Both try to take it, by a rename.",
			"b is quicker. a finds the file gone (ENOENT): nothing unusual, it goes on.",
			"b tries to submit the job and may not (EPERM). It removes the file and logs an error that nobody reads.",
			"The job is nowhere. Half of all jobs end like this, and a's log is clean.",
		},
	}
}

// takeover: a is killed with a rename under way; b fences it, takes the job back
// and finishes it. The rename arrives when it can't do harm any more.
func takeover() ([]history.Event, picture.Meta) {
	p := &pen{}
	job := jobID(7)
	epoch := func(host string) {
		as := history.Event{Host: host, Proc: host + "/1", Task: "start"}
		p.do(as, "mkdir", "", "hosts/"+host+"/epochs/1", "")
		for _, d := range []string{"claims", "sealed", "drafts"} {
			p.do(as, "mkdir", "", d+"/"+host+"/1", "")
		}
		as.Kind, as.Op, as.Text = history.Note, "ready", "epoch 1"
		p.put(as)
	}
	epoch("a")
	epoch("b")
	beat := func(host string) {
		p.do(history.Event{Host: host, Proc: host + "/1", Task: "heartbeat"}, "write", "", "hosts/"+host+"/heartbeat", "")
	}
	beat("a")
	beat("b")
	a := by("a", "accept", job)
	p.do(a, "create", "", "drafts/a/1/new~1~"+job+".xml", "")
	p.do(a, "rename", "drafts/a/1/new~1~"+job+".xml", "drafts/a/1/accept~1~"+job+".xml", "")
	p.do(a, "link", "drafts/a/1/accept~1~"+job+".xml", "gate/8007/"+job, "")
	p.do(a, "rename", "drafts/a/1/accept~1~"+job+".xml", "xml/"+job+".xml", "")
	p.step(a, "accepted", "")
	a = by("a", "translate", job)
	p.do(a, "rename", "xml/"+job+".xml", "claims/a/1/translate~2~"+job+"+0.0.xml", "")
	p.step(a, "claimed", "token a/1/2")
	p.do(a, "create", "", "drafts/a/1/translate~2~"+job+".json", "")
	seal := p.call(a, "rename", "claims/a/1/translate~2~"+job+"+0.0.xml", "sealed/a/1/translate~2~"+job+"+0.0.xml")
	p.fault("a", "delay", "a's request waits in the net", 34*time.Second)
	p.fault("a", "kill", "killed with its seal under way", 0)
	for range 6 {
		p.wait(5 * time.Second)
		beat("b")
	}
	janitor := history.Event{Host: "b", Proc: "b/1", Task: "reclaim a/1"}
	p.do(janitor, "list", "claims/a/1", "", "")
	back := janitor
	back.Job = job
	p.do(back, "rename", "claims/a/1/translate~2~"+job+"+0.0.xml", "xml/"+job+"+1.1.xml", "")
	p.step(back, "reclaimed", "a/1 is over: its record stood still")
	p.do(janitor, "rmdir", "claims/a/1", "", "")
	p.wait(4 * time.Second)
	p.finish(job, seal)
	return p.h, picture.Meta{Title: "race: seed 42, fencepost", Verdict: "pass: 1 job, done once, by b after a was killed.",
		Command: "fencepost race --seed 42", Explanation: []string{
			"a accepts the job and claims it. With its seal under way, a is killed.",
			"b sees a's record stand still, puts the claim back under a higher generation, and removes a's directory: the fence.",
			"a's seal arrives at the server and finds nothing (ENOENT): it can do no harm any more.",
			"b claims, seals, publishes and submits the job. One answer of the cluster is lost, and the release is sent again: it is for the same id.",
			"The job is done, once.",
		}}
}

// finish: b takes the job from its stage to the end; a's late seal comes between.
func (p *pen) finish(job string, seal history.Event) {
	b := by("b", "translate", job)
	p.do(b, "rename", "xml/"+job+"+1.1.xml", "claims/b/1/translate~1~"+job+"+1.1.xml", "")
	p.step(b, "claimed", "token b/1/1")
	p.effect(seal, "ENOENT")
	p.do(b, "create", "", "drafts/b/1/translate~1~"+job+".json", "")
	p.do(b, "rename", "claims/b/1/translate~1~"+job+"+1.1.xml", "sealed/b/1/translate~1~"+job+"+1.1.xml", "")
	p.step(b, "sealed", "")
	p.do(b, "rename", "drafts/b/1/translate~1~"+job+".json", "json/"+job+"+1.0.json", "")
	p.step(b, "published", "")
	p.do(b, "remove", "sealed/b/1/translate~1~"+job+"+1.1.xml", "", "")
	b = by("b", "submit", job)
	p.do(b, "rename", "json/"+job+"+1.0.json", "claims/b/1/submit~2~"+job+"+1.0.json", "")
	p.step(b, "claimed", "token b/1/2")
	p.do(b, "link", "claims/b/1/submit~2~"+job+"+1.0.json", "once/8007/submit~"+job, "")
	p.do(b, "submit", "claims/b/1/submit~2~"+job+"+1.0.json", "", "")
	p.do(b, "rename", "claims/b/1/submit~2~"+job+"+1.0.json", "sealed/b/1/submit~2~"+job+"+1.0=4711.json", "")
	p.step(b, "sealed", "cluster id 4711")
	lost := p.call(b, "release", "4711", "")
	p.effect(lost, "")
	p.fault("cluster", "lost-reply", "the answer to the release is lost", 0)
	p.wait(3 * time.Second)
	p.effect(lost, "")
	p.answer(lost, "")
	p.step(b, "released", "")
	p.wait(10 * time.Second)
	p.do(b, "rename", "sealed/b/1/submit~2~"+job+"+1.0=4711.json", "done/8007/submit~b~1.2~"+job+"+1.0=4711.json", "")
	p.step(b, "done", "")
}

// crowd is a busy run: so many hosts and jobs, with polls as often as said,
// heartbeats, kills and freezes.
func crowd(hosts, jobs int, polls time.Duration, seed uint64) []history.Event {
	c := &throng{rnd: rand.New(rand.NewPCG(seed, 1)), epochs: make([][]time.Duration, hosts)}
	length := time.Duration(jobs) * 700 * time.Millisecond
	for i := range hosts {
		c.faults(i, length)
	}
	for n := range jobs {
		c.job(hosts, jobID(n), time.Duration(c.rnd.Int64N(int64(length))))
	}
	for i := range hosts {
		for t := time.Duration(c.rnd.IntN(1000)) * time.Millisecond; t < length; t += polls {
			c.op(i, t, "poll", "list", "xml", "", "")
			if c.rnd.IntN(3) == 0 {
				c.op(i, t+time.Millisecond, "heartbeat", "write", "", "hosts/"+name(i)+"/heartbeat", "")
			}
		}
	}
	slices.SortStableFunc(c.all, func(a, b history.Event) int { return cmp.Compare(a.T, b.T) })
	return c.all
}

type throng struct {
	rnd    *rand.Rand
	all    []history.Event
	call   int64
	epochs [][]time.Duration // of each host, when its later processes began
}

func name(host int) string { return string(rune('a' + host)) }

func (c *throng) put(t time.Duration, e history.Event) {
	e.T = t.Nanoseconds()
	c.all = append(c.all, e)
}

func (c *throng) proc(host int, t time.Duration) string {
	n := 1
	for _, s := range c.epochs[host] {
		if s <= t {
			n++
		}
	}
	return fmt.Sprintf("%s/%d", name(host), n)
}

func (c *throng) faults(host int, length time.Duration) {
	for t := time.Duration(c.rnd.Int64N(int64(20 * time.Second))); t < length; t += time.Duration(c.rnd.Int64N(int64(60 * time.Second))) {
		switch c.rnd.IntN(3) {
		case 0:
			c.put(t, history.Event{Kind: history.Fault, Host: name(host), Op: "kill", Text: "killed by the plan"})
			c.epochs[host] = append(c.epochs[host], t+2*time.Second)
		case 1:
			c.put(t, history.Event{Kind: history.Fault, Host: name(host), Op: "freeze", Until: (t + 8*time.Second).Nanoseconds(), Text: "the machine stands still"})
		default:
			c.put(t, history.Event{Kind: history.Fault, Op: "cut", Until: (t + time.Second).Nanoseconds(), Text: "no host reaches the server"})
		}
	}
}

func (c *throng) op(host int, t time.Duration, task, op, from, to, job string) time.Duration {
	c.call++
	c.put(t, history.Event{Host: name(host), Proc: c.proc(host, t), Task: task, Call: c.call, Op: op, From: from, To: to, Job: job, Kind: history.Call})
	t += time.Duration(1+c.rnd.IntN(900)) * time.Microsecond
	err := ""
	if c.rnd.IntN(12) == 0 {
		err = "ENOENT"
	}
	c.put(t, history.Event{Kind: history.Effect, Call: c.call, Err: err})
	t += time.Duration(1+c.rnd.IntN(900)) * time.Microsecond
	if c.rnd.IntN(2000) != 0 {
		c.put(t, history.Event{Kind: history.Answer, Call: c.call, Err: err})
	}
	return t + time.Duration(c.rnd.IntN(300))*time.Microsecond
}

func (c *throng) job(hosts int, id string, t time.Duration) {
	seq := 0
	last := map[string]string{"ingest": "accepted", "translate": "published", "submit": "done"}
	for _, stage := range []string{"ingest", "translate", "submit"} {
		for try := 1 + c.rnd.IntN(2); try > 0; try-- {
			i := c.rnd.IntN(hosts)
			seq++
			claim := fmt.Sprintf("claims/%s/1/%s~%d~%s+%d.0.xml", name(i), stage, seq, id, seq)
			draft := fmt.Sprintf("drafts/%s/1/%s~%d~%s.json", name(i), stage, seq, id)
			sealed := "sealed" + claim[len("claims"):]
			for _, o := range [][3]string{{"rename", "xml/" + id + ".xml", claim}, {"create", "", draft}, {"sync", "", draft}, {"rename", claim, sealed},
				{"rename", draft, "json/" + id + ".json"}, {"read", "json/" + id + ".json", ""}, {"remove", sealed, ""}} {
				t = c.op(i, t, stage+" "+id, o[0], o[1], o[2], id)
			}
			c.put(t, history.Event{Kind: history.Job, Host: name(i), Proc: c.proc(i, t), Job: id, Op: last[stage]})
			t += time.Duration(c.rnd.Int64N(int64(5 * time.Second)))
		}
	}
}
