// Package env is the one door through which the protocol's code reaches the
// outside world: files, clocks, sleep, tasks and randomness.
//
// Guarantees: a task that uses only Env is deterministic given Env's answers.
//
// Assumes: callers hold no lock across a call.
//
// Does not: hide errors, retry, or decide anything.
package env
