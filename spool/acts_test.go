package spool_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"fencepost/spool"
	"fencepost/spool/vfs/memfs"
)

// opEnv is the host of one run of a command: its random numbers are its own.
type opEnv struct {
	*testEnv
	run byte
	n   byte
}

func (e *opEnv) Random(p []byte) {
	e.n++
	for i := range p {
		p[i] = e.run ^ byte(i)
	}
	p[0], p[1] = e.run, e.n
}

// operator is a run of a person's command on host h; each is told from the
// others by a number.
func (w *world) operator(host string, run byte) *spool.Operator {
	var op *spool.Operator
	w.m.Quiet(func() {
		s := must(spool.Open(&opEnv{testEnv: newEnv(w.m.View(host)), run: run}))
		op = &spool.Operator{Spool: s, Host: "a", By: "p@a", Reason: "because"}
	})
	op.Gone = func(string, uint64) (bool, string, error) { return true, "it said goodbye", nil }
	op.Ask = func(context.Context, string) (spool.Answer, error) { return spool.Answer{}, nil }
	return op
}

// one is the only file of jobA that counts.
func (w *world) one() (file, error) {
	j := w.files()[jobA]
	if j == nil {
		return file{}, errors.New("no files")
	}
	all := append(append([]file{}, j.before...), j.after...)
	if len(all) != 1 {
		return file{}, fmt.Errorf("%d files: %v", len(all), j)
	}
	return all[0], nil
}

// personAct is what a person does to jobA, and where that leads.
type personAct struct {
	name  string
	setUp func(w *world, a *spool.Instance)
	do    func(op *spool.Operator) error
	want  string // path at the end
}

func aside(stage spool.Stage, end func(*spool.Claim) error) func(*world, *spool.Instance) {
	return func(w *world, a *spool.Instance) {
		w.through(a, jobA, stage)
		w.m.Quiet(func() { mustDo(end(must(claimIn(a, stage, jobA)))) })
	}
}

func held(c *spool.Claim) error   { return c.Hold("test") }
func failed(c *spool.Claim) error { return c.Fail(spool.EvFailed, "test") }
func parked(c *spool.Claim) error { return c.Park("test") }

var personActs = []personAct{
	{"hold", translateSetUp, func(op *spool.Operator) error { _, err := op.Hold(ctx, jobA); return err },
		"held/translate~" + jobA + ".xml"},
	{"release", aside(spool.Submit, held), func(op *spool.Operator) error { _, err := op.Release(ctx, jobA); return err },
		"json/" + jobA + "+1.0.json"},
	{"cancel waiting", submitSetUp, func(op *spool.Operator) error { _, err := op.Cancel(ctx, jobA); return err },
		"failed/submit~" + jobA + ".json"},
	{"cancel held", aside(spool.Translate, held), func(op *spool.Operator) error { _, err := op.Cancel(ctx, jobA); return err },
		"failed/translate~" + jobA + ".xml"},
	{"retry", aside(spool.Submit, failed), func(op *spool.Operator) error { _, err := op.Retry(ctx, jobA); return err },
		"json/" + jobA + "+1.0.json"},
	{"unpark again", aside(spool.Submit, parked), func(op *spool.Operator) error { _, err := op.Again(ctx, jobA); return err },
		"json/" + jobA + "+1.0.json"},
	{"unpark submitted", aside(spool.Submit, parked), func(op *spool.Operator) error {
		_, err := op.Submitted(ctx, jobA, "77", "")
		return err
	}, "done/01890a5/submit~a~0.0~" + jobA + "=77.json"},
}

var ctx = context.Background()

// TestPersonsActsSwept: each operation of each act fails in each way, done and
// not done, or the command dies at it, and lands late; then the person tries
// again. The job is in one place all the time, and in the end where it was to
// be, once.
func TestPersonsActsSwept(t *testing.T) {
	for _, x := range personActs {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			memfs.Sweep(t, memfs.Plan{Views: []string{"op"}, Errnos: everyErrno, Stale: true, Pairs: faultPairs(150), Late: faultPairs(150),
				Options: memfs.Options{SyncExport: true}}, func(m *memfs.Mem) error { return personScenario(m, x) })
		})
	}
}

func personScenario(m *memfs.Mem, x personAct) error {
	w := newWorld(m)
	x.setUp(w, w.start("a"))
	var broken error
	m.After = func(op memfs.Op) {
		if changes[op.Kind] && broken == nil {
			broken = w.check()
		}
	}
	_ = x.do(w.operator("op", 1))
	m.Calm()
	var refusal *spool.Refusal
	if err := x.do(w.operator("op2", 2)); err != nil && !errors.As(err, &refusal) {
		return fmt.Errorf("again, without faults: %w", err)
	}
	f, err := w.one()
	if err == nil && f.path != x.want {
		err = fmt.Errorf("the job is %s, want %s", f.path, x.want)
	}
	return errors.Join(broken, err, w.recoverAll())
}

// TestHoldNeverTakesAClaim: a host claims the job between the look and the
// rename: the claim stays its own, and a request is left.
func TestHoldNeverTakesAClaim(t *testing.T) {
	w := memWorld(t)
	a := w.start("a")
	w.through(a, jobA, spool.Translate)
	var c *spool.Claim
	w.m.At(memfs.Point{View: "op", Kind: memfs.Rename, Name: "held/"}, func() { c = must(claimIn(a, spool.Translate, jobA)) })
	op := w.operator("op", 1)
	did, err := op.Hold(ctx, jobA)
	if err != nil || did.Did != "requested" || !strings.Contains(did.Detail, "claimed by a, epoch 1") {
		t.Fatalf("got %+v, %v, want a request and who has it", did, err)
	}
	if !w.has("requests/hold~" + jobA) {
		t.Error("no request was left")
	}
	if err := advance(c); err != nil {
		t.Errorf("the claim's owner: %v", err)
	}
	// The request stands until somebody honours it, or the person withdraws it.
	if did, err = w.operator("op", 2).Release(ctx, jobA); err != nil || did.Did != "nothing" || w.has("requests/hold~"+jobA) {
		t.Errorf("withdraw: got %+v, %v", did, err)
	}
}

// TestTwoPersons: one releases what the other is about to cancel: it is
// cancelled where it went, and is in one place.
func TestTwoPersons(t *testing.T) {
	w := memWorld(t)
	aside(spool.Submit, held)(w, w.start("a"))
	w.m.At(memfs.Point{View: "op", Kind: memfs.Rename, Name: "failed/submit"}, func() { must(w.operator("op2", 2).Release(ctx, jobA)) })
	if _, err := w.operator("op", 1).Cancel(ctx, jobA); err != nil {
		t.Fatal(err)
	}
	if f, err := w.one(); err != nil || f.path != "failed/submit~"+jobA+"+1.0.json" {
		t.Errorf("got %v, %v", f, err)
	}
}

// TestForceForAClusterID: a name that bears a cluster's id goes back only by
// force and for a reason.
func TestForceForAClusterID(t *testing.T) {
	for _, x := range []struct {
		name string
		end  func(*spool.Sealed) error
		act  func(op *spool.Operator) error
	}{
		{"release", func(s *spool.Sealed) error { return s.Hold("test") }, func(op *spool.Operator) error { _, err := op.Release(ctx, jobA); return err }},
		{"retry", func(s *spool.Sealed) error { return s.Fail(spool.EvCancelled, "test") }, func(op *spool.Operator) error { _, err := op.Retry(ctx, jobA); return err }},
		{"unpark", func(s *spool.Sealed) error { return s.Park("test") }, func(op *spool.Operator) error { _, err := op.Again(ctx, jobA); return err }},
	} {
		t.Run(x.name, func(t *testing.T) {
			w := memWorld(t)
			a := w.start("a")
			w.through(a, jobA, spool.Submit)
			mustDo(x.end(must(must(claimIn(a, spool.Submit, jobA)).Seal("77"))))
			before := w.m.Tree()
			op := w.operator("op", 1)
			var refusal *spool.Refusal
			if err := x.act(op); !errors.As(err, &refusal) || !strings.Contains(refusal.Why, "77") {
				t.Fatalf("without force: got %v, want a refusal that names the id", err)
			}
			op.DryRun, op.Force = true, true
			if err := x.act(op); err != nil || w.m.Tree() != before {
				t.Errorf("dry run: %v, or it changed something", err)
			}
			op.DryRun = false
			if err := x.act(op); err != nil {
				t.Fatal(err)
			}
			if f, err := w.one(); err != nil || f.path != "json/"+jobA+"+1.0.json" {
				t.Errorf("got %v, %v", f, err)
			}
		})
	}
}

// TestUnparkNeedsProof: HOLES 18. A plain submission is parked while its owner
// is stopped in the middle of it; it may go on at any time.
func TestUnparkNeedsProof(t *testing.T) {
	w := memWorld(t)
	a := w.start("a")
	w.through(a, jobA, spool.Submit)
	s := must(must(claimIn(a, spool.Submit, jobA)).Seal(""))
	b := w.start("b")
	over := spool.Over{Host: "a", Epoch: 1, Why: "stopped"}
	must(b.Reclaim(over, func(s *spool.Sealed) (bool, error) { return true, s.Park("it may have been submitted") }))
	mustDo(b.Journal.Flush())
	var asked []string
	gone := false
	op := w.operator("op", 1)
	op.Gone = func(host string, epoch uint64) (bool, string, error) {
		asked = append(asked, fmt.Sprintf("%s/%d", host, epoch))
		return gone, "it never said goodbye", nil
	}
	var refusal *spool.Refusal
	// Its directories are gone, which proves nothing.
	if _, err := op.Again(ctx, jobA); !errors.As(err, &refusal) || !strings.Contains(refusal.Why, "a/1 may still be there: it never said goodbye") {
		t.Errorf("got %v, want a refusal", err)
	}
	if len(asked) != 1 || asked[0] != "a/1" {
		t.Errorf("asked for %v, want a/1", asked)
	}
	gone = true
	for what, ask := range map[string]spool.AskCluster{
		"the cluster can't be asked": nil,
		"the cluster has it as 77: running": func(context.Context, string) (spool.Answer, error) {
			return spool.Answer{Known: true, Cluster: "77", Detail: "running"}, nil
		},
		"the cluster couldn't be asked: down!": func(context.Context, string) (spool.Answer, error) { return spool.Answer{}, errors.New("down!") },
	} {
		op.Ask = ask
		if _, err := op.Again(ctx, jobA); !errors.As(err, &refusal) || !strings.Contains(refusal.Why, what) {
			t.Errorf("got %v, want a refusal: %s", err, what)
		}
	}
	op.Ask = func(context.Context, string) (spool.Answer, error) { return spool.Answer{}, nil }
	if _, err := op.Again(ctx, jobA); err != nil {
		t.Error(err)
	}
	// The owner wakes: what it has is not there any more.
	if err := s.Done("78", ""); !errors.Is(err, spool.ErrLost) {
		t.Errorf("the woken owner: got %v, want ErrLost", err)
	}
}

// TestActsAreTold: who did what, in the job's trace, in order.
func TestActsAreTold(t *testing.T) {
	w := memWorld(t)
	a := w.start("a")
	w.through(a, jobA, spool.Submit)
	mustDo(a.Journal.Flush())
	for i, act := range []func(*spool.Operator) (spool.Acted, error){
		func(op *spool.Operator) (spool.Acted, error) { return op.Hold(ctx, jobA) },
		func(op *spool.Operator) (spool.Acted, error) { return op.Release(ctx, jobA) },
		func(op *spool.Operator) (spool.Acted, error) { return op.Cancel(ctx, jobA) },
		func(op *spool.Operator) (spool.Acted, error) { return op.Retry(ctx, jobA) },
	} {
		op := w.operator("op", byte(i+1))
		must(act(op))
		mustDo(op.Close())
	}
	var got []string
	for _, e := range must(a.Trace(jobA)) {
		got = append(got, fmt.Sprintf("%s/%s", e.Host, e.Event))
		if e.Host == "a~cmd" && (e.Result != "by p@a" || e.Detail != "because") {
			t.Errorf("event %+v doesn't say who and why", e)
		}
	}
	want := "a/accepted a/claimed a/sealed a/published a~cmd/held a~cmd/unheld a~cmd/cancelled a~cmd/retried"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
	why := must(a.Why(spool.DirFailed, jobA))
	if len(why.Why) != 1 || why.Why[0].Reason != "p@a: because" {
		t.Errorf("reasons: %+v", why)
	}
}

// faultPairs bounds the runs with two faults.
func faultPairs(n int) int {
	if testing.Short() {
		return n / 5
	}
	return n
}
