package submit_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"fencepost/spool/vfs/memfs"
	"fencepost/submit"
	"fencepost/submit/clustersim"
)

// trouble is one thing that goes wrong with a call to the cluster.
type trouble struct {
	name    string
	verdict clustersim.Verdict
	crash   bool   // the controller dies after the call, and forgets five seconds
	op      string // only for these calls
}

func outcome(o submit.Outcome) error { return &submit.Error{Outcome: o, Op: "injected"} }

var troubles = []trouble{
	{name: "dies before", verdict: clustersim.Verdict{Die: true}},
	{name: "dies after", verdict: clustersim.Verdict{Apply: true, Die: true}},
	{name: "unknown, not done", verdict: clustersim.Verdict{Err: outcome(submit.Unknown)}},
	{name: "unknown, done", verdict: clustersim.Verdict{Apply: true, Err: outcome(submit.Unknown)}},
	{name: "unknown, done late", verdict: clustersim.Verdict{Late: 20 * time.Second, Err: outcome(submit.Unknown)}},
	{name: "dies, done late", verdict: clustersim.Verdict{Late: 20 * time.Second, Die: true}},
	{name: "no error of ours, done", verdict: clustersim.Verdict{Apply: true, Err: errors.New("broken pipe")}},
	{name: "hangs", verdict: clustersim.Verdict{Apply: true, Hang: 40 * time.Second}},
	{name: "unavailable", verdict: clustersim.Verdict{Err: outcome(submit.Unavailable)}},
	{name: "unfit", verdict: clustersim.Verdict{Err: outcome(submit.Unfit)}},
	{name: "rejected", verdict: clustersim.Verdict{Err: outcome(submit.Rejected)}, op: clustersim.OpSubmit},
	{name: "crash after", verdict: clustersim.Verdict{Apply: true}, crash: true},
}

// mayPark says what may end in parked/ after one trouble.
func (tr trouble) mayPark(c submit.Caps, why string) bool {
	switch {
	case !c.Hold && !c.Key:
		return strings.Contains(why, "unclear") || strings.Contains(why, "may have been submitted")
	case tr.crash:
		return strings.Contains(why, "nothing proves that it never ran")
	}
	return false
}

// oneTrouble runs two jobs through host a while the nth call of a goes wrong,
// and lets it end: by a restart of a, or by b. It returns the number of calls.
func oneTrouble(t testing.TB, caps submit.Caps, guard bool, tr trouble, nth int, peer bool) (calls int, err error) {
	so := simOptions(caps)
	so.Guard = guard
	m := memfs.New(memfs.Options{SyncExport: true, NoTrace: true})
	w := newWorld(t, m, 0, so)
	defer w.scope.close()
	w.mayPark = func(_, why string) bool { return nth >= 0 && tr.mayPark(caps, why) }
	w.sim.Inject = func(c clustersim.Call) clustersim.Verdict {
		if c.Host != "a" || tr.op != "" && c.Op != tr.op {
			return clustersim.Verdict{}
		}
		calls++
		if calls-1 != nth {
			return clustersim.Verdict{}
		}
		if tr.crash {
			w.sim.At(clustersim.Point{After: true}, func() { w.sim.Crash(5 * time.Second) })
		}
		return tr.verdict
	}
	w.feed(2)
	w.start("a")
	if peer {
		w.env.RunFor(time.Second)
		w.start("b")
	}
	w.env.RunFor(15 * time.Second)
	if !peer && w.procs[0].view.Dead() {
		w.start("a")
	}
	if err = w.heal(); err != nil {
		err = fmt.Errorf("%s at call %d, peer %v: %w\n%s", tr.name, nth, peer, err, w.describe())
	}
	return calls, err
}

func TestEveryCallGoesWrong(t *testing.T) {
	t.Parallel()
	runs := 0
	for _, k := range kinds {
		for _, guard := range []bool{false, true} {
			for _, tr := range troubles {
				if !k.caps.List && (guard || tr.crash) {
					continue // what acknowledges without a way to ask is taken to remember
				}
				for _, peer := range []bool{false, true} {
					if guard && peer && !tr.verdict.Die && !thorough {
						continue
					}
					n, err := oneTrouble(t, k.caps, guard, tr, -1, peer)
					step := 1
					if raced {
						step = 20
					}
					for nth := 0; nth < n && err == nil; nth += step {
						_, err = oneTrouble(t, k.caps, guard, tr, nth, peer)
						runs++
					}
					if err != nil {
						t.Errorf("%s, guard %v: %v", k.name, guard, err)
					}
				}
			}
		}
	}
	t.Logf("%d runs", runs)
}
