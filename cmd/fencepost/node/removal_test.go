package node_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"fencepost/cmd/fencepost/node"
	"fencepost/spool"
	"fencepost/spool/env/envtest"
)

// TestNodesRemoveOldRecords: two hosts, the clock of one days behind, end old jobs; when
// its clock is right their records go, as a whole. The host that joins later lets none
// of them in again.
func TestNodesRemoveOldRecords(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	nodes := map[string]*node.Node{}
	start := func(name string, skew time.Duration) *envtest.Host {
		h := w.w.Host(name, w.m.View(name))
		h.Skew(skew)
		cfg := w.config(h, name)
		cfg.Retention, cfg.Settle = 48*time.Hour, time.Minute
		n := node.New(cfg)
		ready := false
		h.Go("node", func() {
			if err := n.Run(context.Background(), func(uint64) { ready = true }); err != nil {
				t.Error(err)
			}
		})
		w.w.RunUntil(time.Minute, func() bool { return ready })
		nodes[name] = n
		return h
	}
	a, b := start("a", 0), start("b", -30*24*time.Hour)
	var ids []string
	made := a.Wall().Add(-72 * time.Hour)
	for i := range 6 {
		ids = append(ids, fmt.Sprintf("%012x", made.Add(time.Duration(i)*20*time.Minute).UnixMilli()))
		ids[i] = fmt.Sprintf("%s-%s-7000-8000-%012d", ids[i][:8], ids[i][8:12], i)
		w.w.Do(a, "send", func() {
			if _, err := nodes["a"].Accept(ids[i], jobData(t, ids[i]), nil); err != nil {
				t.Error(err)
			}
		})
	}
	names := func() (n int) {
		w.w.Do(a, "look", func() {
			for _, base := range []string{spool.DirGate, spool.DirOnce, spool.DirDone} {
				buckets, err := a.FS().List(base)
				if err != nil {
					t.Error(err)
				}
				n += len(buckets)
			}
		})
		return n
	}
	w.w.RunFor(10 * time.Minute)
	if got := names(); got != 18 {
		t.Errorf("%d buckets while host b's clock is behind, want 18", got)
	}
	b.Skew(0)
	w.w.RunFor(10 * time.Minute)
	if got := names(); got != 0 {
		t.Errorf("%d buckets are left", got)
	}
	removed := nodes["a"].Alarms().Removed.Names + nodes["b"].Alarms().Removed.Names
	if removed != 18 {
		t.Errorf("%d names removed, want 18", removed)
	}
	c := start("c", -30*24*time.Hour)
	for name, h := range map[string]*envtest.Host{"a": a, "b": b, "c": c} {
		w.w.Do(h, "send again", func() {
			if _, err := nodes[name].Accept(ids[0], jobData(t, ids[0]), nil); !errors.Is(err, spool.ErrTooOld) {
				t.Errorf("host %s: %v", name, err)
			}
		})
	}
	for _, id := range ids {
		if got := w.c.runs[id]; got != 1 {
			t.Errorf("job %s ran %d times", id, got)
		}
	}
}
