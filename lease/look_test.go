package lease_test

import (
	"strings"
	"testing"
	"time"

	"fencepost/lease"
	"fencepost/spool"
	"fencepost/spool/vfs/memfs"
)

func TestLook(t *testing.T) {
	x := newFixture(t, 0, "dead", "draining", "fenced", "live", "never", "stopped", "unfit", "zfenced")
	x.admin.Skew(3 * time.Hour)
	start := func(host string, fill func(*lease.Record)) (*proc, *lease.Lease) {
		p := x.proc(host)
		cfg := p.config()
		cfg.Fill = fill
		var l *lease.Lease
		var err error
		x.w.Do(p.Host, "acquire", func() { l, err = lease.Acquire(ctx, cfg) })
		if err != nil {
			t.Fatal(err)
		}
		return p, l
	}
	dead, _ := start("dead", nil)
	start("draining", nil)
	start("fenced", nil)
	start("live", nil)
	stopped, bye := start("stopped", nil)
	start("unfit", func(r *lease.Record) {
		r.Claims, r.Stages = 4, []lease.StageState{{Stage: spool.Translate, Fit: true}, {Stage: spool.Submit, Reason: "no munge"}}
	})
	zfenced, zl := start("zfenced", nil)
	if err := lease.Drain(ctx, x.admin, "draining", "pat", "x"); err != nil {
		t.Fatal(err)
	}
	if err := lease.Fence(ctx, x.admin, "fenced", "pat", "disk"); err != nil {
		t.Fatal(err)
	}
	x.goodbye(stopped, bye)
	zfenced.Stop()
	x.fence("zfenced", zl.Epoch(), "live/1", 1)
	dead.Kill()
	x.w.RunFor(30 * time.Second)

	before := x.w.Now()
	var got []lease.HostState
	x.w.Do(x.admin, "look", func() { got, _ = lease.Look(ctx, x.admin, 0) })
	if took := x.w.Now() - before; took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	want := map[string]struct {
		state  lease.State
		reason string
	}{
		"dead": {lease.Silent, "heartbeat"}, "draining": {lease.Live, "draining"}, "fenced": {lease.Fenced, "pat: disk"},
		"live": {lease.Live, ""}, "never": {lease.Stopped, "never"}, "stopped": {lease.Stopped, "goodbye"},
		"unfit": {lease.Unfit, "submit: no munge"}, "zfenced": {lease.Fenced, "live/1"},
	}
	if len(got) != len(want) {
		t.Errorf("got %d hosts, want %d", len(got), len(want))
	}
	for _, h := range got {
		w := want[h.Host]
		if h.State != w.state || !strings.Contains(h.Reason, w.reason) || !h.Enrolled {
			t.Errorf("%s: got %s %q, want %s %q", h.Host, h.State, h.Reason, w.state, w.reason)
		}
		switch h.Host {
		case "live", "unfit", "draining":
			if !h.Measured || h.Age > 2*time.Second {
				t.Errorf("%s: age %v, measured %v", h.Host, h.Age, h.Measured)
			}
		case "dead": // by two wall clocks, one of them three hours off
			if h.Measured || h.Age < 3*time.Hour {
				t.Errorf("%s: age %v, measured %v", h.Host, h.Age, h.Measured)
			}
		}
	}
}

// Nobody has to be waited for.
func TestLookAtOnce(t *testing.T) {
	x := newFixture(t, 0, "a", "b")
	p := x.proc("a")
	x.goodbye(p, x.mustAcquire(p))
	before := x.w.Now()
	var got []lease.HostState
	x.w.Do(x.admin, "look", func() { got, _ = lease.Look(ctx, x.admin, time.Minute) })
	if len(got) != 2 || x.w.Now() != before {
		t.Errorf("got %+v after %v", got, x.w.Now()-before)
	}
}

// A host that is not on the roster shows as long as it runs.
func TestLookAtARevokedHost(t *testing.T) {
	x := newFixture(t, 0, "a")
	x.mustAcquire(x.proc("a"))
	if _, err := lease.Revoke(ctx, x.admin, "a"); err != nil {
		t.Fatal(err)
	}
	var got []lease.HostState
	x.w.Do(x.admin, "look", func() { got, _ = lease.Look(ctx, x.admin, time.Second) })
	if len(got) != 1 || got[0].Enrolled {
		t.Errorf("got %+v", got)
	}
	x.w.RunFor(5 * time.Second)
	x.w.Do(x.admin, "look", func() { got, _ = lease.Look(ctx, x.admin, 0) })
	if len(got) != 0 {
		t.Errorf("after it stopped: got %+v", got)
	}
}

// A record caught in the middle of a write is whole in the next read.
func TestLookAtATornRecord(t *testing.T) {
	x := newFixture(t, 0, "a")
	x.mustAcquire(x.proc("a"))
	torn := true
	x.m.Inject = func(op memfs.Op) memfs.Verdict {
		v := memfs.Verdict{Torn: torn, Apply: torn}
		if op.Kind != memfs.RecordWrite {
			return memfs.Verdict{}
		}
		torn = false
		return v
	}
	x.w.RunUntil(5*time.Second, func() bool { return !torn })
	var got []lease.HostState
	x.w.Do(x.admin, "look", func() { got, _ = lease.Look(ctx, x.admin, 0) })
	if len(got) != 1 || got[0].State != lease.Live {
		t.Errorf("got %+v", got)
	}
}
