// Package nfsfacts has what the protocol rests on as experiments: what an NFS
// server and its clients answer when hosts race, are cut off, stop, die, or
// when a reply is lost. Each runs against a Lab: the simulator's model of NFS,
// or real clients of a real server. The two must agree.
//
// Guarantees: an experiment reports what was observed, in the words of its
// table entry; it decides nothing by the time that a call took.
//
// Assumes: a Lab whose hosts have an NFS client each.
//
// Does not: build a laboratory, or say what a fact is good for: docs/nfs.md does.
package nfsfacts
