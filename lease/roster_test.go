package lease_test

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"fencepost/lease"
	"fencepost/spool"
	"fencepost/spool/vfs/memfs"
)

func TestEnrollTwiceChangesNothing(t *testing.T) {
	x := newFixture(t, 0)
	m := lease.Member{Host: "a", MachineID: "m1", Stages: []spool.Stage{spool.Translate, spool.Submit}, By: "p"}
	if changed, err := lease.Enroll(ctx, x.admin, m); err != nil || !changed {
		t.Fatalf("got %v, %v", changed, err)
	}
	before := x.m.Tree()
	m.Stages = []spool.Stage{spool.Submit, spool.Translate}
	for _, again := range []lease.Member{m, {Host: "a", By: "somebody else"}} {
		if changed, err := lease.Enroll(ctx, x.admin, again); err != nil || changed {
			t.Errorf("got %v, %v, want no change", changed, err)
		}
	}
	if after := x.m.Tree(); after != before {
		t.Errorf("got %s\nwant %s", after, before)
	}
	for _, other := range []lease.Member{{Host: "a", MachineID: "m2"}, {Host: "a", Stages: []spool.Stage{spool.Submit}}} {
		if _, err := lease.Enroll(ctx, x.admin, other); !errors.Is(err, lease.ErrEnrolled) {
			t.Errorf("%+v: got %v, want %v", other, err, lease.ErrEnrolled)
		}
	}
}

func TestEnrollRefuses(t *testing.T) {
	x := newFixture(t, 0)
	for _, m := range []lease.Member{{Host: "A"}, {Host: "a~cmd"}, {Host: ""}, {Host: "a", MachineID: "../x"}, {Host: "a", Stages: []spool.Stage{"sumbit"}}} {
		if _, err := lease.Enroll(ctx, x.admin, m); err == nil {
			t.Errorf("%+v: enrolled", m)
		}
	}
}

func TestRoster(t *testing.T) {
	x := newFixture(t, 0, "b", "a", "x.json")
	fs := x.admin.FS()
	for _, litter := range []string{"new~1~c.json", "README", ".nfs01"} {
		if _, err := fs.Create(path.Join(spool.DirRoster, litter), []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	members, err := lease.Roster(fs)
	var hosts []string
	for _, m := range members {
		hosts = append(hosts, m.Host)
	}
	if want := []string{"a", "b", "x.json"}; err != nil || !slices.Equal(hosts, want) {
		t.Errorf("got %v, %v, want %v", hosts, err, want)
	}
	// A broken one is named, the others are listed.
	if _, err := fs.Create(spool.RosterPath("broken"), []byte(`{"host":"broken","extra":1}`)); err != nil {
		t.Fatal(err)
	}
	members, err = lease.Roster(fs)
	if len(members) != 3 || err == nil || !strings.Contains(err.Error(), "broken.json") {
		t.Errorf("got %d members, %v", len(members), err)
	}
}

// Two machines start as the same new host: one is pinned, whoever asks.
func TestPinRace(t *testing.T) {
	for seed := range uint64(50) {
		x := newFixture(t, seed+1, "a")
		x.w.Interleave(x.m)
		members, _ := lease.Roster(x.admin.FS())
		var got [2]string
		for i := range got {
			p := x.proc("a")
			p.Go("pin", func() {
				var err error
				if got[i], err = lease.Pin(ctx, p, members[0], fmt.Sprint("machine-", i)); err != nil {
					t.Error(err)
				}
			})
		}
		if err := x.w.Run(); err != nil {
			t.Fatal(err)
		}
		members, _ = lease.Roster(x.admin.FS())
		if got[0] == "" || got[0] != got[1] || members[0].Pinned != got[0] {
			t.Fatalf("seed %d: got %q, on the roster %q", seed+1, got, members[0].Pinned)
		}
	}
}

func TestRevokeForgetsThePin(t *testing.T) {
	x := newFixture(t, 0, "a")
	p := x.proc("a")
	x.goodbye(p, x.mustAcquire(p))
	// Whatever becomes of the old pin's file.
	x.m.Inject = func(op memfs.Op) memfs.Verdict {
		if op.Kind == memfs.Remove && strings.HasSuffix(op.From, ".pin") && !strings.Contains(op.From, "new~") {
			return memfs.Verdict{Err: errEIO}
		}
		return memfs.Verdict{}
	}
	for i, want := range []bool{true, false} {
		if changed, err := lease.Revoke(ctx, x.admin, "a"); err != nil || changed != want {
			t.Fatalf("%d: got %v, %v, want %v", i, changed, err, want)
		}
	}
	if _, err := x.acquire(x.proc("a")); !errors.Is(err, lease.ErrRefused) {
		t.Fatalf("got %v, want %v", err, lease.ErrRefused)
	}
	x.enroll("a")
	p = x.proc("a")
	p.id.MachineID = "the-replacement"
	if l := x.mustAcquire(p); l.Epoch() != 2 || l.Member().Pinned != "the-replacement" {
		t.Errorf("got epoch %d, member %+v", l.Epoch(), l.Member())
	}
}

func TestRosterSweep(t *testing.T) {
	memfs.Sweep(t, memfs.Plan{Views: []string{"x"}, NoDie: true, Pairs: pairs(800)}, func(m *memfs.Mem) error {
		f := onMem(quiet{t}, m, 0)
		defer f.w.Close()
		p := f.proc("x")
		var errs [4]error
		var first, again bool
		var pinned string
		f.w.Do(p.Host, "roster", func() {
			first, errs[0] = lease.Enroll(ctx, p, lease.Member{Host: "a", ID: "e1", By: "t"})
			again, errs[1] = lease.Enroll(ctx, p, lease.Member{Host: "a", ID: "e2", By: "t"})
			pinned, errs[2] = lease.Pin(ctx, p, lease.Member{Host: "a", ID: "e1"}, "m")
		})
		m.Calm()
		if err := errors.Join(errs[:]...); err != nil {
			return nil // said so; nothing is promised but that
		}
		members, err := lease.Roster(f.admin.FS())
		if err != nil || len(members) != 1 || !first || again || pinned != "m" || members[0].Pinned != "m" || members[0].ID != "e1" {
			return fmt.Errorf("first %v, again %v, pinned %q, members %+v, %v", first, again, pinned, members, err)
		}
		return nil
	})
}

// An open that says "no such file" from a cache doesn't refuse a host that has
// just been enrolled.
func TestStaleRoster(t *testing.T) {
	x := newFixture(t, 0)
	p := x.proc("a")
	p.view.Freeze(spool.RosterPath("a"))
	x.enroll("a")
	x.mustAcquire(p)
}

func TestHole_27_IntrudersCounted(t *testing.T) {
	x := newFixture(t, 0, "a")
	p := x.proc("zombie")
	p.id.From = lease.Whereabouts{Hostname: "node3", Addresses: "192.0.2.3", User: "ops", Program: "/opt/old"}
	for range 3 {
		_, err := x.acquire(p)
		var refused *lease.RefusedError
		if !errors.As(err, &refused) {
			t.Fatalf("got %v, want a RefusedError", err)
		}
		if err := lease.RecordIntruder(ctx, p, p.id, refused.Reason); err != nil {
			t.Fatal(err)
		}
	}
	got, err := lease.Intruders(x.admin.FS())
	if err != nil || len(got) != 1 || got[0].Count != 3 || got[0].Host != "zombie" || got[0].MachineID != "machine-zombie" ||
		got[0].Reason != "the host is not on the roster" || got[0].Hostname != "node3" || got[0].Addresses != "192.0.2.3" ||
		got[0].User != "ops" || got[0].Program != "/opt/old" {
		t.Errorf("got %+v, %v", got, err)
	}
	files, _ := x.admin.FS().List(spool.DirIntruders)
	if len(files) != 1 {
		t.Errorf("got %v, want one file", files)
	}
	p.id.MachineID = "../../x"
	if err := lease.RecordIntruder(ctx, p, p.id, "x"); err == nil {
		t.Error("a machine id with a slash was used in a file name")
	}
}

// What a refused process says of where it is can be used to find it.
func TestHere(t *testing.T) {
	here := lease.Here()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if here.Program != self || here.Hostname != name || here.User == "" || os.Geteuid() == 0 && here.User != "root" {
		t.Errorf("got %+v, want program %s on %s", here, self, name)
	}
}
