package spool_test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"fencepost/spool"
	"fencepost/spool/vfs/memfs"
)

// TestNotAccepted: after ErrNotAccepted the job never comes in, whatever recovery
// finds; after other errors it may. What a client is told rests on it: one that
// hears "not accepted" may send the job again under another id.
func TestNotAccepted(t *testing.T) {
	sure, late := 0, 0
	scenario := func(lives bool) func(m *memfs.Mem) error {
		return func(m *memfs.Mem) error {
			w := newWorld(m)
			a := w.start("a")
			_, err := w.accept(a, jobA)
			if err == nil {
				return nil
			}
			m.Calm()
			if lives && !errors.Is(dead(a), memfs.ErrDead) {
				if serr := w.sweepTwice(a); serr != nil {
					return serr
				}
			}
			if rerr := w.recoverAll(); rerr != nil {
				return rerr
			}
			in := w.has(spool.GatePath(jobA))
			switch {
			case errors.Is(err, spool.ErrNotAccepted) && in:
				return fmt.Errorf("it was accepted after %w", err)
			case errors.Is(err, spool.ErrNotAccepted):
				sure++
			case in:
				late++
			}
			return nil
		}
	}
	for _, lives := range []bool{true, false} {
		memfs.Sweep(t, memfs.Plan{Views: []string{"a"}, Errnos: []syscall.Errno{syscall.ENOSPC, syscall.EIO},
			Options: memfs.Options{SyncExport: true}}, scenario(lives))
	}
	if sure == 0 || late == 0 {
		t.Errorf("%d refusals were sure, and %d jobs came in after an error: this shows nothing", sure, late)
	}
}
