// Package submit hands jobs to a batch cluster exactly once. It has the
// protocol (section 8 of docs/architecture.md) and the Cluster interface; each
// backend is in a folder of its own.
//
// Guarantees: never two cluster ids of one job both run, whatever host is
// paused, killed or restarted between any two steps; what is unclear is parked
// with its evidence or left to a later look, never guessed.
//
// Assumes: a cluster with a hold keeps a held job held until somebody releases
// it by its id; one with a key treats a second submission of a key as the
// first; of any other, nothing.
//
// Does not: start jobs, watch them run, or bring back their output.
package submit
