// Package clustersim is a batch cluster in virtual time, for tests and for the
// simulator: several hosts' clients of one cluster whose calls fail, lie, hang
// and whose controller forgets.
//
// Guarantees: with the same calls at the same times it does the same; every
// call is a point at which other tasks may run, before and after its effect.
// It records what really took effect, so that a test can check the world
// instead of the log of the program.
//
// Assumes: one task runs at a time (see package envtest).
//
// Does not: run anything. A job is a name that starts and ends.
//
//	sim := clustersim.New(clustersim.Options{Caps: submit.Caps{Hold: true, List: true}, Now: w.Now})
//	a := sim.Client(hostA, clustersim.Site{Host: "a", Prefix: "fp-1-"})
//	sim.Inject = func(c clustersim.Call) clustersim.Verdict { ... }
//	... run ...
//	for _, p := range sim.Problems() { t.Error(p) }
package clustersim
