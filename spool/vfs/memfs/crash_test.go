package memfs_test

import (
	"slices"
	"testing"

	"fencepost/spool/vfs"
	"fencepost/spool/vfs/memfs"
)

// after runs steps, crashes, and returns a new process's view.
func after(t *testing.T, opts memfs.Options, seed uint64, steps func(v *memfs.View)) *memfs.View {
	t.Helper()
	m := memfs.New(opts)
	v := m.View("a")
	steps(v)
	m.Crash(seed)
	if _, err := v.List("."); err != memfs.ErrDead {
		t.Errorf("a process outlived the crash: %v", err)
	}
	return m.View("a")
}

func names(t *testing.T, v vfs.FS, dir string) []string {
	t.Helper()
	names, err := v.List(dir)
	must(t, err)
	return names
}

func TestCrashSynced(t *testing.T) {
	for seed := range uint64(50) {
		v := after(t, memfs.Options{}, seed, func(v *memfs.View) {
			must(t, v.Mkdir("d"))
			must(t, v.Mkdir("e"))
			create(t, v, "d/x", "one")
			must(t, v.Rename("d/x", "d/y"))
			must(t, v.Rename("d/y", "e/z"))
			must(t, v.Sync(".", "e"))
		})
		if got := names(t, v, "d"); len(got) != 0 {
			t.Errorf("seed %d: d has %q", seed, got)
		}
		if data, _, err := v.Read("e/z", limit); err != nil || string(data) != "one" {
			t.Errorf("seed %d: got %q, %v", seed, data, err)
		}
	}
}

// TestCrashUnsynced: every state between is possible, a job in two places or
// in none isn't.
func TestCrashUnsynced(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(200) {
		v := after(t, memfs.Options{}, seed, func(v *memfs.View) {
			must(t, v.Mkdir("d"))
			must(t, v.Mkdir("e"))
			create(t, v, "d/x", "one")
			must(t, v.Sync(".", "d"))
			must(t, v.Rename("d/x", "e/x"))
			must(t, v.Link("e/x", "gate"))
			must(t, v.Mkdir("f"))
			must(t, v.Rename("e/x", "f/x"))
		})
		places := 0
		for _, dir := range []string{"d", "e", "f"} {
			list, err := v.List(dir)
			if err == nil && slices.Contains(list, "x") {
				seen[dir]++
				places++
			}
		}
		if places != 1 {
			// f/x may be durable while f isn't: the way to lose a job that
			// Sync of f's parent is for.
			if slices.Contains(names(t, v, "."), "f") {
				t.Errorf("seed %d: %d places\n%s", seed, places, v.Mem().Tree())
			}
			seen["lost"]++
		}
		if seed == 0 && seen["d"] != 1 {
			t.Errorf("seed 0 kept something:\n%s", v.Mem().Tree())
		}
	}
	for _, want := range []string{"d", "e", "f", "lost"} {
		if seen[want] == 0 {
			t.Errorf("never seen: %s (%v)", want, seen)
		}
	}
}

func TestCrashRemoved(t *testing.T) {
	v := after(t, memfs.Options{ReuseInodes: true}, 0, func(v *memfs.View) {
		must(t, v.Mkdir("d"))
		create(t, v, "d/x", "one")
		must(t, v.Sync(".", "d"))
		must(t, v.Remove("d/x"))
		must(t, v.Rmdir("d"))
		create(t, v, "y", "two") // may have x's number
		must(t, v.Sync("."))
		must(t, v.Mkdir("d"))
	})
	// The rmdir was synced with y, in the root; it builds on nothing in d.
	if got := names(t, v, "."); !slices.Equal(got, []string{"y"}) {
		t.Errorf("got %q", got)
	}
	id, err := v.Identify("y")
	must(t, err)
	if fresh, err := v.Create("z", nil); err != nil || fresh == id {
		t.Errorf("z has y's number: %+v, %v", fresh, err)
	}
}

func TestCrashResurrects(t *testing.T) {
	v := after(t, memfs.Options{ReuseInodes: true}, 0, func(v *memfs.View) {
		create(t, v, "x", "one")
		must(t, v.Mkdir("d"))
		must(t, v.Sync("."))
		must(t, v.Remove("x"))
		create(t, v, "d/y", "two") // has x's number
		must(t, v.Sync("d"))
	})
	x, err := v.Identify("x")
	must(t, err)
	y, err := v.Identify("d/y")
	must(t, err)
	if x == y {
		t.Error("two files have one number")
	}
}

func TestCrashData(t *testing.T) {
	lengths := map[int]bool{}
	for seed := range uint64(60) {
		v := after(t, memfs.Options{SyncExport: true}, seed, func(v *memfs.View) {
			log, err := v.OpenLog("log")
			must(t, err)
			must(t, log.Append([]byte("safe")))
			must(t, log.Sync())
			must(t, log.Append([]byte("lost")))
		})
		data, _, err := v.Read("log", limit)
		must(t, err)
		if want := "safelost"[:max(4, len(data))]; string(data) != want {
			t.Errorf("seed %d: got %q", seed, data)
		}
		lengths[len(data)] = true
	}
	if len(lengths) != 5 {
		t.Errorf("lengths: %v", lengths)
	}
}

func TestCrashLocks(t *testing.T) {
	v := after(t, memfs.Options{SyncExport: true}, 1, func(v *memfs.View) {
		_, err := v.TryLock("lock")
		must(t, err)
	})
	_, err := v.TryLock("lock")
	must(t, err)
}
