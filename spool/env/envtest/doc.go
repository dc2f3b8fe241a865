// Package envtest is an Env for tests: several hosts, one virtual clock, one
// task running at a time.
//
// Guarantees: with the same seed, the same code takes the same steps; a Sleep
// takes no real time; a killed host's tasks take no further step that anybody
// can see; code that breaks the rules of Env (waits on a channel of its own)
// stops the test instead of passing by luck.
//
// Assumes: tasks wait by means of Env alone, and contexts are cancelled by
// tasks or by the test, not by timers of package context.
//
// Does not: run anything in parallel; for the race detector use the real Env.
//
// testing/synctest has a virtual clock, too, but not the rest: the order in
// which goroutines of a bubble run is not fixed by a seed, a file operation is
// no point at which another host may run, and there is no way to stop, freeze
// or kill one host while the others go on.
//
//	w := envtest.New(t, 1)
//	m := memfs.New(memfs.Options{})
//	a, b := w.Host("a", m.View("a")), w.Host("b", m.View("b"))
//	a.Go("heartbeat", func() { ... uses a as its Env ... })
//	w.RunFor(10 * time.Second)
//	a.Kill()
//	w.RunUntil(time.Minute, func() bool { return tookOver(b) })
package envtest
