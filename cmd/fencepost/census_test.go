package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/vfs"
	"fencepost/spool/vfs/memfs"
)

// idOf is a UUIDv7 of a moment.
func idOf(t time.Time, n int) string {
	h := fmt.Sprintf("%012x", t.UnixMilli())
	return fmt.Sprintf("%s-%s-7000-8000-%012x", h[:8], h[8:], n)
}

func TestAgeClasses(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for age, want := range map[time.Duration]string{-time.Hour: "1m", 0: "1m", time.Minute: "1m", 61 * time.Second: "10m", 10 * time.Minute: "10m",
		time.Hour: "1h", 24 * time.Hour: "1d", 25 * time.Hour: "older"} {
		if got := ageClasses[ageClass(idOf(now.Add(-age), 1), now)].name; got != want {
			t.Errorf("%s: got %s, want %s", age, got, want)
		}
	}
	if got := ageClass("01900000-0000-4000-8000-00000000000a", now); got != ageCount-1 {
		t.Errorf("an id without a time: got class %d, want the last", got)
	}
}

// The last day is told by the times in the ids; who seems to be nowhere counts as
// on the way unless an audit says that it vanished.
func TestLastDay(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	places := map[spool.Place]uint8{}
	for i, p := range spool.Places() {
		places[p] = uint8(i + 1) //nolint:gosec // a few places
	}
	jobs := map[string]spot{
		idOf(now.Add(-25*time.Hour), 1):        {place: places[spool.PlaceDone], stage: 2},
		idOf(now.Add(-23*time.Hour), 2):        {place: places[spool.PlaceDone], stage: 2},
		idOf(now.Add(-time.Hour), 3):           {place: places[spool.PlaceParked], stage: 2},
		idOf(now.Add(-time.Minute), 4):         {place: places[spool.PlaceWaiting], stage: 1},
		idOf(now.Add(-time.Minute), 5):         {},
		idOf(now.Add(-time.Minute), 6):         {},
		"01900000-0000-4000-8000-00000000000a": {place: places[spool.PlaceFailed], stage: 1},
	}
	c := &census{waiting: map[spool.Stage]int{}, places: map[spool.Place]int{}}
	suspects := c.sum(jobs, now)
	if len(suspects) != 2 || c.day != (dayDoc{Accepted: 5, Done: 1, Parked: 1, OnTheWay: 1, Vanished: 2}) {
		t.Fatalf("got %v, %+v", suspects, c.day)
	}
	c.day.settle(suspects[1:], now)
	if c.day != (dayDoc{Accepted: 5, Done: 1, Parked: 1, OnTheWay: 2, Vanished: 1}) {
		t.Errorf("settled: got %+v", c.day)
	}
	c.day.settle(nil, now)
	if c.day.Vanished != 0 || c.day.OnTheWay != 3 {
		t.Errorf("settled again: got %+v", c.day)
	}
}

// How long a job is in hand is counted from when top first saw it there: in
// another hand it begins anew.
func TestTopCountsFromFirstSight(t *testing.T) {
	found := func(n int, host string) spool.Found {
		id := idOf(time.UnixMilli(0), n)
		return spool.Found{Name: spool.Name{ID: id, Stage: spool.Submit, Host: host, Epoch: 1}, Place: spool.PlaceClaimed, Path: host + "/" + id}
	}
	var tp top
	tp.hand([]spool.Found{found(1, "a"), found(2, "a")}, 10*time.Second)
	jobs := tp.hand([]spool.Found{found(1, "b"), found(2, "a"), found(3, "a")}, 25*time.Second)
	got := ""
	for _, j := range jobs {
		got += fmt.Sprintf("%s %s %.0f; ", j.Job[35:], j.Host, j.Seconds)
	}
	if want := "2 a 15; 1 b 0; 3 a 0; "; got != want {
		t.Errorf("got %s want %s", got, want)
	}
}

// A job that vanished is settled by an audit once; who looks again counts only,
// until there is another one, or it is back.
func TestVanishedIsSettledOnce(t *testing.T) {
	dir, ids := crowd(t, 160)
	fs, err := vfs.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	counting := &countingFS{FS: fs, ops: map[string]int{}}
	sp, err := spool.Open(env.NewReal(counting))
	if err != nil {
		t.Fatal(err)
	}
	s, known := &share{Spool: sp, Dir: dir}, &settled{}
	file := func(i int) string { return filepath.Join(dir, "json", ids[i]+".json") }
	look := func(what string, wantVanished int, wantAudit bool) {
		t.Helper()
		before := counting.ops["list xml"]
		c, err := takeCensus(context.Background(), s, time.Millisecond, known)
		if err != nil || len(c.vanished) != wantVanished {
			t.Fatalf("%s: got %v vanished, %v, want %d", what, c.vanished, err, wantVanished)
		}
		// Each count lists a stage once; a census with suspects counts twice.
		if lists := counting.ops["list xml"] - before; (lists > 2) != wantAudit {
			t.Errorf("%s: a stage is listed %d times, audit wanted: %t", what, lists, wantAudit)
		}
	}
	look("all is well", 0, false)
	if err := os.Remove(file(0)); err != nil {
		t.Fatal(err)
	}
	look("one vanished", 1, true)
	look("it is known", 1, false)
	if err := os.Remove(file(10)); err != nil {
		t.Fatal(err)
	}
	look("another one", 2, true)
	look("both are known", 2, false)
	if err := os.WriteFile(file(0), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	look("one is back", 1, false)
	if err := os.Remove(file(0)); err != nil {
		t.Fatal(err)
	}
	look("and gone again", 2, true)
}

// What a foreign translator has is handed over; what it gave back, and is nowhere
// since, vanished.
func TestCensusOfHandedOver(t *testing.T) {
	m := memfs.New(memfs.Options{})
	fs := m.View("a")
	f := spool.Format{Version: spool.FormatVersion, SpoolID: "11111111-2222-4333-8444-555555555555"}
	l := spool.DefaultLayout()
	f.Stages.Translate.Dir, f.Stages.Submit.Dir = l.Translate, l.Submit
	if _, _, err := spool.Init(fs, f); err != nil {
		t.Fatal(err)
	}
	put := func(name string) {
		if err := fs.Mkdir(path.Dir(name)); err != nil && !errors.Is(err, syscall.EEXIST) {
			t.Fatal(err)
		}
		if _, err := fs.Create(name, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	there, back := idOf(time.Now(), 1), idOf(time.Now(), 2)
	for _, id := range []string{there, back} {
		put(spool.GatePath(id))
		put(spool.DonePath(spool.Name{Stage: spool.Translate, Host: "a", Epoch: 1, Seq: 1, ID: id, Cluster: "foreign:old/*.xml", Ext: "xml"}))
	}
	put(spool.StageGatePath(spool.Submit, back))
	s := &share{Spool: spool.New(env.NewReal(fs), f)}
	c, suspects, err := countOnce(s)
	if err != nil || c.places[spool.PlaceHandedOver] != 1 || !slices.Equal(suspects, []string{back}) {
		t.Errorf("got %v handed over, suspects %v, %v", c.places, suspects, err)
	}
}
