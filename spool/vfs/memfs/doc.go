// Package memfs is a file server in memory, for tests: many views of it, one a
// simulated process, with every operation a point where a test may step in.
//
// Guarantees: it passes the same suite as the operating system's FS; used by
// one goroutine at a time it is deterministic; no inode number is used twice
// unless Options.ReuseInodes asks for it. Fails before or after taking effect,
// dies, lands late, loses what wasn't synced, answers from an old state: see
// Verdict, View.Freeze, Mem.Land, Mem.Crash, Mem.DropLocks.
//
// Assumes: hooks and injectors are set before the views are used.
//
// Does not: have symbolic links or modes; cache directory handles, as an NFS
// client does with a directory that was moved; keep time.
//
// # A schedule
//
// What happens between two operations of one host is a function that runs at
// a Point:
//
//	m := memfs.New(memfs.Options{})
//	a, b := m.View("a"), m.View("b")
//	m.At(memfs.Point{View: "a", Kind: memfs.Rename, Name: "sealed/"}, func() {
//		err = reclaim(b, "a", 1) // just before a's seal
//	})
//	... run a ...
//	if left := m.Unfired(); len(left) > 0 { t.Error(left) }
//
// # A sweep
//
//	memfs.Sweep(t, memfs.Plan{Views: []string{"a"}, Pairs: 20000, Late: 5000}, func(m *memfs.Mem) error {
//		m.Quiet(func() { ... set up, with no faults ... })
//		err := act(m.View("a")) // each operation fails, lies or dies in turn
//		m.Calm()                // no more faults; what was under way lands
//		return errors.Join(recover(m.View("b")), check(m))
//	})
//
// A run that fails prints its operations and a string for Plan.Replay.
package memfs
