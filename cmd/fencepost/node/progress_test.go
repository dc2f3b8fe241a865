package node_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"fencepost/cmd/fencepost/node"
	"fencepost/spool/vfs/memfs"
)

// TestStalled: idle and at work every loop comes round; one that hangs in the
// share is named, though all others go on.
func TestStalled(t *testing.T) {
	w := newWorld(t, "a")
	a := w.w.Host("a", w.m.View("a"))
	n := node.New(w.config(a, "a"))
	ready := false
	a.Go("node", func() { _ = n.Run(context.Background(), func(uint64) { ready = true }) })
	if !w.w.RunUntil(time.Minute, func() bool { return ready }) {
		t.Fatal("not ready")
	}
	for i := range 40 {
		if i == 20 {
			w.send(a, n, 10)
		}
		w.w.RunFor(3 * time.Second)
		if loop, since := n.Stalled(); since > 10*time.Second {
			t.Fatalf("%s hasn't come round for %s", loop, since)
		}
	}
	hangs := false
	w.m.Before = func(op memfs.Op) {
		if !hangs && op.View == "a" && op.Kind == memfs.List && strings.HasPrefix(op.From, "xml") {
			hangs = true
			_ = a.Sleep(context.Background(), time.Hour)
		}
	}
	w.w.RunFor(10 * time.Minute)
	loop, since := n.Stalled()
	if !hangs || since < 9*time.Minute {
		t.Errorf("hangs: %v; %s hasn't come round for %s", hangs, loop, since)
	}
	t.Logf("%s hasn't come round for %s", loop, since)
}
