package realrun_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"fencepost/cmd/fencepost/race"
	"fencepost/cmd/fencepost/race/realrun"
	"fencepost/codec"
	"fencepost/spool"
)

// cluster calls the cluster's programs.
type cluster struct {
	t   *testing.T
	dir string
	bug realrun.Bug
}

func newCluster(t *testing.T, bug realrun.Bug) cluster {
	t.Helper()
	c := cluster{t, t.TempDir(), bug}
	if err := realrun.NewBook(c.dir); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c cluster) call(want int, what, in string, env map[string]string) string {
	c.t.Helper()
	var out, errs bytes.Buffer
	got := realrun.ClusterMain([]string{c.dir, what, string(c.bug)}, func(k string) string { return env[k] }, strings.NewReader(in), &out, &errs)
	if got != want {
		c.t.Fatalf("%s: got exit %d, want %d: %s", what, got, want, &errs)
	}
	return strings.TrimSpace(out.String())
}

func (c cluster) submit(key string) string {
	c.t.Helper()
	j := codec.Job{Name: "n", Script: "#!/bin/sh\n"}
	doc, err := codec.EncodeJSON(codec.Record{ID: key, Job: j, Client: "c", ReceivedAt: time.Now().UTC().Truncate(time.Millisecond), ReceivedBy: "a", Digest: codec.Digest(j)})
	if err != nil {
		c.t.Fatal(err)
	}
	return c.call(0, "submit", string(doc), map[string]string{"FENCEPOST_JOB_ID": key, "FENCEPOST_TOKEN": "s/a/1/2/0"})
}

func (c cluster) act(what, id string) {
	c.t.Helper()
	c.call(0, what, "", map[string]string{"FENCEPOST_CLUSTER_ID": id})
}

// becomes waits until find says so.
func (c cluster) becomes(want string) {
	c.t.Helper()
	got := ""
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if got = c.call(0, "find", "", nil); got == want {
			return
		}
	}
	c.t.Fatalf("got the listing %q, want %q", got, want)
}

const (
	one = "01890a5d-ac96-774b-bcce-b302099a8057"
	two = "01890a5d-ac96-774b-bcce-b302099a8058"
)

// The cluster holds, releases once, cancels only what is held, and refuses all
// once the run is over.
func TestCluster(t *testing.T) {
	c := newCluster(t, realrun.NoBug)
	if a, b := c.submit(one), c.submit(two); a != "j1" || b != "j2" {
		t.Fatalf("got ids %s and %s", a, b)
	}
	c.becomes("j1 " + one + " s/a/1/2/0 held\nj2 " + two + " s/a/1/2/0 held")
	c.act("release", "j1")
	c.act("release", "j1")
	c.act("cancel", "j1")
	c.act("cancel", "j2")
	c.act("release", "j2")
	c.act("release", "j9")
	c.becomes("j1 " + one + " s/a/1/2/0 done\nj2 " + two + " s/a/1/2/0 cancelled")
	if data, err := os.ReadFile(filepath.Join(c.dir, "book.jsonl")); err != nil || strings.Count(string(data), `"release"`) != 1 {
		t.Errorf("want one release in the book, %v:\n%s", err, data)
	}
	c.call(70, "submit", "no document", nil)
	c.call(70, "dance", "", nil)
	over, err := realrun.EndCluster(c.dir, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	c.call(69, "find", "", nil)
	over()
	c.call(0, "find", "", nil)
}

func TestClusterLoses(t *testing.T) {
	c := newCluster(t, realrun.LoseJob)
	c.submit(one)
	c.submit(two)
	c.act("release", "j2")
	c.act("release", "j1")
	c.becomes("j1 " + one + " s/a/1/2/0 done")
}

// Decisions are the seed's; a host meets all kinds first; a stop outlasts the
// lease and its margin.
func TestPlan(t *testing.T) {
	o := realrun.Defaults()
	o.Seed = 7
	a, b := realrun.Strikes(o, 1, 50), realrun.Strikes(o, 1, 50)
	if !reflect.DeepEqual(a, b) {
		t.Error("one seed, two plans")
	}
	if other := realrun.Strikes(o, 2, 50); other[0].After == a[0].After && other[9].After == a[9].After {
		t.Error("two hosts, one plan")
	}
	kinds := map[race.Fault]bool{}
	for i, s := range a {
		if i < len(o.Faults) {
			kinds[s.Kind] = true
		}
		if s.Kind == race.Stop && s.Lasts <= o.Lease*3/2 {
			t.Errorf("a stop of %s, with a lease of %s", s.Lasts, o.Lease)
		}
	}
	if len(kinds) != len(o.Faults) {
		t.Errorf("the first strikes are %v", a[:len(o.Faults)])
	}
}

func TestParseFaults(t *testing.T) {
	for list, want := range map[string][]race.Fault{"all": realrun.Faults(), "none": nil, "stop,kill": {race.Stop, race.Kill}} {
		if got, err := realrun.ParseFaults(list); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, %v", list, got, err)
		}
	}
	if _, err := realrun.ParseFaults("kill,cut"); err == nil {
		t.Error("cut was taken")
	}
}

// A takeover is another host's, of the fault before it; a lease that ended with
// no fault near it is the machine's doing.
func TestTakeovers(t *testing.T) {
	at := func(s float64) time.Time {
		return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(s * float64(time.Second)))
	}
	reclaim := func(s float64, by, of string) spool.Event {
		return spool.Event{Time: at(s), Host: by, Event: "reclaim", Token: of}
	}
	faults := []realrun.Done{
		{"a", race.Kill, at(10), at(12)}, {"a", race.Stop, at(20), at(24)}, {"b", race.Kill, at(30), at(31)}, {"b", race.Restart, at(40), at(41)}, {"b", race.Kill, at(50), at(51)}}
	events := []spool.Event{reclaim(11.5, "b", "a/1"), reclaim(12, "c", "a/1"), reclaim(23, "c", "a/2"), reclaim(31, "b", "b/1"),
		reclaim(42, "a", "b/2"), reclaim(70, "c", "b/3"), {Time: at(24), Host: "a", Event: "stopped"}, {Time: at(60), Host: "c", Event: "stopped"}}
	takeovers, leases := realrun.Takeovers(faults, events)
	if want := []time.Duration{1500 * time.Millisecond, 3 * time.Second}; !reflect.DeepEqual(takeovers, want) {
		t.Errorf("takeovers: got %v, want %v", takeovers, want)
	}
	if leases != 1 {
		t.Errorf("leases lost without a fault: got %d, want 1", leases)
	}
}
