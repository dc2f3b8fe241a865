package main

import "testing"

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
