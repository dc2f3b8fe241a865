package submit_test

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"fencepost/spool/vfs/memfs"
	"fencepost/submit"
)

// thorough runs every plan of a sweep instead of a sample.
var thorough = os.Getenv("FENCEPOST_SWEEP") == "all"

// fileFaults runs one job through host a on a server whose every operation goes
// wrong in turn; then it heals and checks.
func fileFaults(t *testing.T, caps submit.Caps, guard bool, pairs, late int, errnos ...syscall.Errno) {
	t.Helper()
	t.Parallel()
	if thorough {
		pairs, late = 5000, 1<<30
	}
	if thorough {
		errnos = nil // all that are plausible
	}
	kinds := []string{memfs.Create, memfs.Read, memfs.Identify, memfs.List, memfs.Rename, memfs.Link, memfs.Mkdir, memfs.Sync, memfs.Append, memfs.LogSync}
	if raced {
		pairs, late = 0, 0
	}
	if (guard || raced) && !thorough {
		kinds = []string{memfs.Rename, memfs.Link, memfs.Sync} // the rest is as without
	}
	plan := memfs.Plan{Errnos: errnos, Options: memfs.Options{SyncExport: true}, Views: []string{"a"}, Pairs: pairs, Late: late, Kinds: kinds}
	memfs.Sweep(t, plan, func(m *memfs.Mem) error {
		so := simOptions(caps)
		so.Guard = guard
		w := newWorld(t, m, 0, so)
		defer w.scope.close()
		w.opt.MaxPoll = 10 * time.Second // fewer operations of an idle host
		w.mayPark = func(_, why string) bool {
			return !caps.Hold && !caps.Key && strings.Contains(why, "may have been submitted")
		}
		m.After = func(op memfs.Op) {
			for _, p := range w.procs {
				if p.host.Name() == op.View && p.view.Dead() {
					p.host.Kill()
				}
			}
		}
		w.feed(1)
		a := w.start("a")
		w.env.RunUntil(12*time.Second, func() bool { return a.view.Dead() || w.final() })
		if !a.view.Dead() {
			w.env.RunFor(2 * time.Second)
		}
		return w.heal()
	})
}

func TestFaultsHeld(t *testing.T) {
	fileFaults(t, heldCaps, false, 40, 20, syscall.EIO, syscall.ENOENT)
}
func TestFaultsGuard(t *testing.T) { fileFaults(t, pastCaps, true, 20, 20, syscall.EIO) }
func TestFaultsBlind(t *testing.T) { fileFaults(t, blindCaps, false, 20, 20, syscall.EIO) }
func TestFaultsPlain(t *testing.T) {
	fileFaults(t, plainCaps, false, 30, 20, syscall.EIO, syscall.ENOENT)
}
func TestFaultsKey(t *testing.T) { fileFaults(t, keyCaps, false, 30, 20, syscall.EIO, syscall.ENOENT) }
