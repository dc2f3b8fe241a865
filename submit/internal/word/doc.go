// Package word checks and cleans the few words that pass between fencepost and
// a cluster's programs: ids, names, messages.
//
// Guarantees: an id that passes ID fits into a file name once percent-encoded,
// and is one line. A message has no control characters and a bounded length.
//
// Assumes: nothing.
//
// Does not: build file names; package spool does.
package word
