package lease_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"fencepost/lease"
	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/vfs"
)

func TestLocal(t *testing.T) {
	id, err := lease.Local("Node-7.Example.ORG", "ABC-1")
	if err != nil {
		t.Fatal(err)
	}
	if id.Host != "node-7.example.org" || id.MachineID != "abc-1" || id.BootID == "" || id.Nonce == "" || id.PID == 0 {
		t.Errorf("got %+v", id)
	}
	again, err := lease.Local("x", "abc-1")
	if err != nil || again.Nonce == id.Nonce {
		t.Errorf("got nonce %q twice, %v", id.Nonce, err)
	}
	for _, host := range []string{"a_b", "a~b", "-a", "a/b", strings.Repeat("a", 64)} {
		if _, err := lease.Local(host, "m"); err == nil || !strings.Contains(err.Error(), "host name") {
			t.Errorf("%q: got %v", host, err)
		}
	}
	if _, err := lease.Local("a", "with blank"); err == nil {
		t.Error("a machine id with a blank was accepted")
	}
}

// The same on the real clock, real files and real goroutines, for the race
// detector; slow machines make it slow, not wrong.
func TestRealEnvironment(t *testing.T) {
	fs, err := vfs.OpenOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	e := env.NewReal(fs)
	for _, dir := range []string{spool.DirRoster, spool.DirHosts, spool.DirClaims, spool.DirSealed, spool.DirDrafts} {
		if err := fs.Mkdir(dir); err != nil {
			t.Fatal(err)
		}
	}
	acquire := func(host string) (*lease.Lease, error) {
		id, err := lease.Local(host, "machine-"+host)
		if err != nil {
			t.Fatal(err)
		}
		return lease.Acquire(ctx, lease.Config{Env: e, Identity: id, Heartbeat: 25 * time.Millisecond, TTL: 2 * time.Second})
	}
	var leases []*lease.Lease
	for _, host := range []string{"a", "b"} {
		if _, err := lease.Enroll(ctx, e, lease.Member{Host: host, By: "test"}); err != nil {
			t.Fatal(err)
		}
		l, err := acquire(host)
		if err != nil {
			t.Fatal(err)
		}
		leases = append(leases, l)
	}
	if _, err := acquire("a"); !errors.Is(err, lease.ErrHeld) {
		t.Fatalf("got %v, want %v", err, lease.ErrHeld)
	}
	w := lease.NewWatcher(lease.WatchConfig{Env: e, Self: "b", Epoch: leases[1].Epoch(), Heartbeat: 25 * time.Millisecond, TTL: 2 * time.Second})
	look := func(rounds int) (over []lease.Over) {
		for range rounds {
			over = w.Round(ctx, leases[1].Renewed())
			_ = w.Hosts()
			_ = e.Sleep(ctx, 25*time.Millisecond)
		}
		return over
	}
	if over := look(10); len(over) > 0 {
		t.Errorf("got %v", over)
	}
	states, err := lease.Look(ctx, e, time.Second)
	if err != nil || len(states) != 2 || states[0].State != lease.Live || states[1].State != lease.Live {
		t.Errorf("got %+v, %v", states, err)
	}
	for _, l := range leases[:1] {
		l.Beat()
		if err := l.Goodbye(ctx); err != nil {
			t.Error(err)
		}
	}
	if over := look(2); len(over) != 1 || over[0].Host != "a" || over[0].Death {
		t.Errorf("got %v, want a's goodbye", over)
	}
	if l, err := acquire("a"); err != nil || l.Epoch() != 2 {
		t.Errorf("got %v", err)
	} else if err := errors.Join(l.Goodbye(ctx), leases[1].Goodbye(ctx)); err != nil {
		t.Error(err)
	}
}
