// Package lease says who may take part, which number an instance of a host
// bears, whether it is alive, and which instances are over.
//
// A host is enrolled on the roster. An instance of it takes the host's flock,
// makes an epoch (a number that nobody else ever gets) with its directories,
// and rewrites a heartbeat record. Others watch that record, each on its own
// clock. docs/spec/lease.md describes the files.
//
// Guarantees: no two instances ever get the same epoch, whatever locks, caches
// and clocks do; an instance whose renewal can't be proven within its TTL has
// its context cancelled, with the cause; a host whose record changes in the
// eyes of an observer is not declared gone by it; no two hosts' clocks are
// ever compared.
//
// Assumes: exclusive mkdir and link are decided by one server; callers hand
// every epoch that is over to reclaim, whose rmdir is the fence.
//
// Does not: prove exclusion. A lease is a hint of life: a paused machine can't
// notice its pause, a lock service may give one lock to two. What keeps a job
// from being taken twice is in package spool.
package lease
