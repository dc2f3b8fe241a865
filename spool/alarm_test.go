package spool_test

import (
	"strings"
	"testing"
	"time"

	"fencepost/spool"
)

// take is a foreign consumer that takes all that matches its pattern.
func (w *world) take(dir, ext string) (taken []string) {
	w.m.Quiet(func() {
		fs := w.m.View("rogue")
		for _, name := range must(fs.List(dir)) {
			if strings.HasSuffix(name, "."+ext) {
				mustDo(fs.Remove(dir + "/" + name))
				taken = append(taken, name)
			}
		}
	})
	return taken
}

// TestHole_23_Canary: taken, it is noticed at the second fresh listing that
// misses it, put back, and counted in one file a day; a listing that is stale
// once is no alarm; it is nobody's entry and nobody's stray.
func TestHole_23_Canary(t *testing.T) {
	w := memWorld(t)
	view := w.m.View("a")
	a := w.startOn(newEnv(view), "a")
	view.Freeze("xml") // from before it was there
	c := spool.NewCanary(a)
	mustDo(c.Place())
	look := func(want int) {
		t.Helper()
		if err := c.Look(); err != nil || c.Counts != want {
			t.Errorf("got %d alarms, %v, want %d", c.Counts, err, want)
		}
	}
	look(0) // the frozen listing
	look(0)
	for want := 1; want <= 2; want++ {
		if got := w.take("xml", "xml"); len(got) != 1 || got[0] != "canary-a.xml" {
			t.Fatalf("the rogue took %v", got)
		}
		look(want - 1)
		look(want)
		if !w.has("xml/canary-a.xml") {
			t.Error("it wasn't put back")
		}
	}
	alarms := must(a.Alarms())
	if len(alarms) != 1 || alarms[0].Count != 2 || alarms[0].Stage != spool.Translate || alarms[0].Host != "a" {
		t.Errorf("alarms: %+v", alarms)
	}
	q := spool.NewQueue(a.Spool, spool.Translate, "a")
	if _, ok, err := q.Next(true); ok || err != nil || len(q.Strays) != 0 {
		t.Errorf("the queue: %v, %v, strays %v", ok, err, q.Strays)
	}
	n := must(a.ResolveAlarms(func(spool.Alarm) bool { return true }, "p: it was me"))
	if alarms = must(a.Alarms()); n != 1 || alarms[0].Resolved == nil {
		t.Errorf("resolved %d: %+v", n, alarms)
	}
	w.take("xml", "xml")
	look(2)
	look(3)
	if alarms = must(a.Alarms()); alarms[0].Resolved != nil || alarms[0].Count != 3 {
		t.Errorf("it was taken again: %+v", alarms)
	}
	mustDo(c.Remove())
	if w.has("canary") && len(w.take("xml", "xml"))+len(w.take("json", "json")) > 0 {
		t.Error("canaries are left")
	}
}

// TestCanaryQuiet: an alarm that nothing followed for an hour is resolved.
func TestCanaryQuiet(t *testing.T) {
	w := memWorld(t)
	e := newEnv(w.m.View("a"))
	a := w.startOn(e, "a")
	c := spool.NewCanary(a)
	mustDo(c.Place())
	w.take("json", "json")
	mustDo(c.Look())
	mustDo(c.Look())
	e.pass(59 * time.Minute)
	mustDo(c.Look())
	if al := must(a.Alarms()); len(al) != 1 || al[0].Resolved != nil {
		t.Fatalf("alarms: %+v", al)
	}
	e.pass(2 * time.Minute)
	mustDo(c.Look())
	if al := must(a.Alarms()); al[0].Resolved == nil {
		t.Errorf("alarms: %+v", al)
	}
}

// TestAuditorNames: the alarm names the job and the stage that it was taken
// from; it is raised once, and cleared when the job is right again.
func TestAuditorNames(t *testing.T) {
	for _, x := range []struct {
		stage spool.Stage
		file  string
	}{{spool.Translate, "xml/" + jobA + ".xml"}, {spool.Submit, "json/" + jobA + ".json"}} {
		t.Run(string(x.stage), func(t *testing.T) {
			w := memWorld(t)
			a := w.start("a")
			w.through(a, jobA, x.stage)
			w.through(a, jobB, spool.Translate)
			auditor := spool.NewAuditor(a, 20*time.Second, 10*time.Second)
			mustDo(auditor.Pass(ctx))
			w.steal(x.file)
			for range 2 {
				mustDo(auditor.Pass(ctx))
			}
			got := must(a.Alarms())
			if len(got) != 1 || got[0].Job != jobA || got[0].Kind != spool.AlarmVanished || got[0].Stage != x.stage ||
				got[0].Place != spool.PlaceWaiting || got[0].Host != "a" || got[0].Count != 1 {
				t.Fatalf("alarms: %+v", got)
			}
			if !strings.Contains(got[0].Detail, "waiting in "+strings.Split(x.file, "/")[0]+"/") {
				t.Errorf("detail %q doesn't name the directory", got[0].Detail)
			}
			must(w.recoverRun("op"))
			mustDo(auditor.Pass(ctx))
			if got = must(a.Alarms()); len(got) != 0 {
				t.Errorf("after the recovery: %+v", got)
			}
			if c := auditor.Counts(); c.Vanished != 1 || c.Duplicated != 0 {
				t.Errorf("counts: %+v", c)
			}
		})
	}
}

// TestAuditorDuplicate: somebody copies an entry that is there already.
func TestAuditorDuplicate(t *testing.T) {
	w := memWorld(t)
	a := w.start("a")
	w.through(a, jobA, spool.Submit)
	w.m.Quiet(func() { must(w.m.View("rogue").Create("xml/"+jobA+".xml", payload(jobA))) })
	auditor := spool.NewAuditor(a, 20*time.Second, 10*time.Second)
	mustDo(auditor.Pass(ctx))
	if got := must(a.Alarms()); len(got) != 1 || got[0].Kind != spool.AlarmDuplicated {
		t.Fatalf("alarms: %+v", got)
	}
	w.steal("xml/" + jobA + ".xml")
	mustDo(auditor.Pass(ctx))
	if got := must(a.Alarms()); len(got) != 0 {
		t.Errorf("alarms: %+v", got)
	}
}

// TestAuditorSkips: a bucket whose jobs have all been done for long isn't listed
// in every audit; one in which a job turns up is.
func TestAuditorSkips(t *testing.T) {
	w := memWorld(t)
	e := newEnv(w.m.View("a"))
	a := w.startOn(e, "a")
	for _, id := range []string{jobA, jobC} {
		w.through(a, id, spool.Submit)
		mustDo(submitted(must(claimIn(a, spool.Submit, id))))
	}
	lists := func(auditor *spool.Auditor, dir string) int {
		t.Helper()
		before := len(w.m.Trace())
		mustDo(auditor.Pass(ctx))
		n := 0
		for _, op := range w.m.Trace()[before:] {
			if op.Op.Kind == "list" && op.Op.From == dir {
				n++
			}
		}
		return n
	}
	auditor := spool.NewAuditor(a, 20*time.Second, 10*time.Second)
	gate := "gate/" + spool.Bucket(jobA)
	for range 2 {
		if n := lists(auditor, gate); n != 1 {
			t.Fatalf("got %d listings of %s, want 1", n, gate)
		}
		e.pass(21 * time.Minute)
	}
	lists(auditor, gate)
	if n := lists(auditor, gate); n != 0 {
		t.Errorf("got %d listings of a quiet bucket, want none", n)
	}
	w.through(a, jobB, spool.Translate) // of the same bucket
	lists(auditor, gate)
	if n := lists(auditor, gate); n != 1 {
		t.Errorf("got %d listings of a bucket that woke, want 1", n)
	}
	w.steal("xml/" + jobB + ".xml")
	mustDo(auditor.Pass(ctx))
	if got := must(a.Alarms()); len(got) != 1 || got[0].Job != jobB {
		t.Errorf("alarms: %+v", got)
	}
}

// TestAuditorTurns: of three hosts one audits; when it stops, one of the others
// goes on.
func TestAuditorTurns(t *testing.T) {
	w := memWorld(t)
	var envs []*testEnv
	var all []*spool.Auditor
	for _, h := range []string{"a", "b", "c"} {
		e := newEnv(w.m.View(h))
		envs = append(envs, e)
		all = append(all, spool.NewAuditor(w.startOn(e, h), 20*time.Second, 10*time.Second))
	}
	run := func(d time.Duration, hosts ...int) []int {
		count := make([]int, len(all))
		for range int(d / time.Second) {
			for i, e := range envs {
				e.pass(time.Second)
				for _, h := range hosts {
					if h == i && all[i].Due() {
						count[i]++
						mustDo(all[i].Pass(ctx))
					}
				}
			}
		}
		return count
	}
	got := run(5*time.Minute, 0, 1, 2)
	lead, sum := 0, 0
	for i, n := range got {
		sum += n
		if n > got[lead] {
			lead = i
		}
	}
	if got[lead] < 14 || sum > got[lead]+2 {
		t.Errorf("audits by host: %v, want about 15 by one", got)
	}
	got = run(5*time.Minute, (lead+1)%3, (lead+2)%3)
	if a, b := got[(lead+1)%3], got[(lead+2)%3]; a+b < 12 || a+b > 17 {
		t.Errorf("audits after the first stopped: %v", got)
	}
}

// TestRequestsOfEndedJobs are removed: nobody will honour them.
func TestRequestsOfEndedJobs(t *testing.T) {
	w := memWorld(t)
	a := w.start("a")
	w.through(a, jobA, spool.Submit)
	c := must(claimIn(a, spool.Submit, jobA))
	must(w.operator("op", 1).Hold(ctx, jobA))
	auditor := spool.NewAuditor(a, 20*time.Second, 10*time.Second)
	mustDo(auditor.Pass(ctx))
	if !w.has("requests/hold~" + jobA) {
		t.Error("the request of a claimed job was removed")
	}
	mustDo(submitted(c))
	mustDo(auditor.Pass(ctx))
	if w.has("requests/hold~" + jobA) {
		t.Error("the request of a done job is left")
	}
}
