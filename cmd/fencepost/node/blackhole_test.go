package node_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"fencepost/cmd/fencepost/node"
	"fencepost/spool"
	"fencepost/spool/env/envtest"
	"fencepost/submit"
)

// rejecting is a host's broken way to a good cluster: its probe passes, and
// each real job is refused as if it were bad.
type rejecting struct {
	*plain
	broken *bool
}

func (r rejecting) Submit(ctx context.Context, q submit.Request) (string, error) {
	if *r.broken {
		return "", &submit.Error{Outcome: submit.Rejected, Op: "submit", Detail: "no such account"}
	}
	return r.plain.Submit(ctx, q)
}

// A black hole stops itself: it fails what its peers don't. A few jobs end in
// failed/ before that shows; after it none does. Broken once by leaving Peers
// unset: half of all jobs failed.
func TestBlackHoleStopsItself(t *testing.T) {
	w := newWorld(t, "a", "b")
	a, b := w.w.Host("a", w.m.View("a")), w.w.Host("b", w.m.View("b"))
	broken := true
	ca, cb := w.config(a, "a"), w.config(b, "b")
	cb.Cluster = rejecting{w.c, &broken}
	na, nb := node.New(ca), node.New(cb)
	ready := 0
	for _, h := range []struct {
		env *envtest.Host
		n   *node.Node
	}{{a, na}, {b, nb}} {
		h.env.Go("node", func() {
			if err := h.n.Run(context.Background(), func(uint64) { ready++ }); err != nil {
				t.Error(err)
			}
		})
	}
	w.w.RunUntil(time.Minute, func() bool { return ready == 2 })
	for range 20 {
		w.send(a, na, 5)
		w.send(b, nb, 5)
		w.w.RunFor(5 * time.Second)
	}
	fit, why := nb.Engine().Fitness()
	if fit || !strings.Contains(why, "peers") {
		t.Errorf("host b: got fit %v, %q, want it unfit for standing out from its peers", fit, why)
	}
	w.w.RunFor(3 * time.Minute)
	var bal spool.Balance
	w.w.Do(a, "audit", func() { bal, _ = spool.New(a, w.sp).Audit(context.Background(), time.Second) })
	if bal.Failed == 0 || bal.Failed > 12 || bal.Done+bal.Failed != 200 || !bal.OK() {
		t.Errorf("got %+v, want a few failed and the rest done", bal)
	}
	t.Logf("%d failed before host b stopped", bal.Failed)

	broken = false
	for range 5 {
		w.send(b, nb, 10)
		w.w.RunFor(2 * time.Minute)
	}
	if fit, why := nb.Engine().Fitness(); !fit {
		t.Errorf("host b after its repair: got unfit, %q", why)
	}
}
