// Package probe finds out whether this host can submit, with a canary job that
// never runs.
//
// Guarantees: at most one canary of an instance is outstanding; what an
// earlier probe of this host left behind, held, is cancelled first. Nothing is
// released.
//
// Assumes: the cluster lists a job soon after it accepted it.
//
// Does not: sweep the canaries of other hosts, nor touch any job that isn't
// held or whose token isn't a canary's.
package probe
