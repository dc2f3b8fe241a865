// Package spool is the shared directory: its names, and the steps by which a
// job moves through it. docs/spec/spool-layout.md has the names,
// docs/crash-safety.md what a crash after each step leaves, and who repairs it.
//
// Guarantees: a job that Accept let in is in exactly one place until it has a
// final record, and each step of it (claim, seal, publish, release, done) is
// taken once, whatever instances are paused, killed, cut off or restarted, and
// whatever the server answers to operations that it did. Each operation that
// changes something is done, not done, or unknown; what is unknown is looked at
// again by the own sweep or a reclaim, never guessed.
//
// Assumes: one NFS server behind the share, exported with sync, or a local file
// system that keeps the order of operations on names; epochs that package lease
// hands out once. No clock, lock or cache.
//
// Does not: look into jobs, know hosts to be alive or dead, or speak to a
// cluster: packages codec, lease and submit do.
package spool
