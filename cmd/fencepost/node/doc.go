// Package node runs one host's part in a spool: its lease, its stages, its
// janitor. It is the wiring between packages lease, spool and submit.
//
// Guarantees: it says ready only after what earlier instances of its host left
// behind was moved on; a lease that ends stops all claiming; a graceful stop
// finishes or returns what was claimed before it says goodbye.
//
// Assumes: what package env says; everything here goes through an env.Env.
//
// Does not: listen on the network or write logs; cmd/fencepost does.
package node
