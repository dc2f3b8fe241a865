package main

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"fencepost/lease"
	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/vfs"
)

// A live host, one that turns unfit, and one that says goodbye, as status and
// hosts show them; the exit code of status goes with it.
func TestLiveHost(t *testing.T) {
	dir := t.TempDir()
	if code, _, stderr := inProcess(t, newGlobals(), "init", "--host", "a", "--machine-id", "m-a", "--spool", dir); code != exitOK {
		t.Fatal(stderr)
	}
	fs, err := vfs.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	id, err := lease.Local("a", "m-a")
	if err != nil {
		t.Fatal(err)
	}
	id.Version, id.ConfigDigest = "1.2", "d1"
	var unfit atomic.Bool
	l, err := lease.Acquire(context.Background(), lease.Config{Env: env.NewReal(fs), Identity: id, Heartbeat: 50 * time.Millisecond,
		TTL: 5 * time.Second, Fill: func(r *lease.Record) {
			r.Stages = []lease.StageState{{Stage: spool.Submit, Fit: !unfit.Load(), Reason: "no sbatch"}}
			r.Claims = 3
		}})
	if err != nil {
		t.Fatal(err)
	}
	wantHost(t, dir, "status", exitOK, "live", "")
	wantHost(t, dir, "hosts", exitOK, "live", "")
	unfit.Store(true)
	l.Beat()
	time.Sleep(150 * time.Millisecond)
	wantHost(t, dir, "status", exitDegraded, "unfit", "submit: no sbatch")
	wantHost(t, dir, "hosts", exitOK, "unfit", "submit: no sbatch")
	if err := l.Goodbye(context.Background()); err != nil {
		t.Fatal(err)
	}
	wantHost(t, dir, "status", exitOK, "stopped", "said goodbye")
}

func wantHost(t *testing.T, dir, command string, wantCode int, state, reason string) {
	t.Helper()
	code, stdout, stderr := inProcess(t, newGlobals(), command, "--json", "--spool", dir)
	var doc struct{ Hosts []hostDoc }
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil || len(doc.Hosts) != 1 {
		t.Fatalf("%s: %v in %q, %s", command, err, stdout, stderr)
	}
	h := doc.Hosts[0]
	if code != wantCode || h.State != state || h.Reason != reason {
		t.Errorf("%s: exit %d, %s (%s), want exit %d, %s (%s)", command, code, h.State, h.Reason, wantCode, state, reason)
	}
	if state != "stopped" && (h.Age == nil || *h.Age > 2 || h.Epoch != 1 || h.Version != "1.2" || h.Config != "d1" || h.Machine != "m-a") {
		t.Errorf("%s: %+v", command, h)
	}
}
