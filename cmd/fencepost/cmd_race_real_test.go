package main

import (
	"syscall"
	"testing"

	"fencepost/cmd/fencepost/race"
	"fencepost/spool/vfs"
)

// A liveness verdict has the number that is a usage error elsewhere, and keeps it.
func TestRaceExitCodes(t *testing.T) {
	for _, c := range []struct{ err, want int }{{race.ExitSafety, race.ExitSafety}, {race.ExitLiveness, race.ExitLiveness}, {race.ExitUnknown, race.ExitUnknown}} {
		if got := exitCode(raceUsage(&exitError{code: c.err})); got != c.want {
			t.Errorf("verdict %d: got exit %d, want %d", c.err, got, c.want)
		}
	}
	if got := exitCode(raceUsage(usagef(nil, "mistake"))); got != race.ExitUsage {
		t.Errorf("usage: got exit %d, want %d", got, race.ExitUsage)
	}
}

// A share that doesn't answer can't be drawn: exit 8, and no file is made.
func TestDrawDeadShare(t *testing.T) {
	g, stop := newGlobals(), make(chan struct{})
	defer close(stop)
	g.openFS = func(string) (vfs.FS, error) { <-stop; return nil, syscall.EIO }
	wantTimeout(t, g, "open ", []string{"race", "--draw", t.TempDir(), "--html", t.TempDir() + "/x.html", "--timeout", "30ms"})
}
