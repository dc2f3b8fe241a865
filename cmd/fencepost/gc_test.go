package main

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// TestTuneGC: what is in force follows what is live, collection after collection.
func TestTuneGC(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	tuneGC()
	inForce := func() int {
		runtime.GC()
		time.Sleep(10 * time.Millisecond) // finalizers run beside
		now := debug.SetGCPercent(-1)
		debug.SetGCPercent(now)
		return now
	}
	reaches := func(what string, ok func(percent int) bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !ok(inForce()); {
			if time.Now().After(end) {
				t.Fatalf("%s: still %d%%", what, inForce())
			}
		}
	}
	for range 3 {
		much := make([]byte, 3*heapFloor)
		reaches("with much that is live", func(p int) bool { return p == 100 })
		runtime.KeepAlive(much)
		much = nil
		reaches("with little", func(p int) bool { return p > 100 })
	}
}

// TestGCPercent: a small heap may grow to the floor and not far beyond, a large one
// to twice what is live, as ever.
func TestGCPercent(t *testing.T) {
	for live := uint64(1); live < 1<<32; live = live*5/4 + 1 {
		percent := gcPercent(live)
		if percent < 100 || percent > 400 {
			t.Errorf("%d bytes: %d%%", live, percent)
		}
		if grown := live * uint64(100+percent) / 100; percent > 100 && grown > 2*heapFloor {
			t.Errorf("%d bytes may grow to %d", live, grown)
		}
		if live >= heapFloor/2 && percent != 100 {
			t.Errorf("%d bytes: %d%%", live, percent)
		}
	}
}
