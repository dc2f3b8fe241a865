// Package fstest proves, or disproves, that two hosts can share a directory as
// fencepost needs it: both run the same phases on it at the same time, and
// compare what they saw. docs/ops/fstest.md says what each phase proves.
//
// # Guarantees
//
// Both sides come to the same verdict: each phase ends with an exchange of what
// both found. No clock of one host is compared with another's: delays are
// differences of times that the server gave to directories. Everything is done
// below one directory with a name that no part of fencepost takes for anything,
// and it is removed at the end; what a run that was killed left behind is
// removed by a later one. Every wait is bounded.
//
// # Assumes
//
// Linux. The caller watches for a share that doesn't answer: operations may
// hang. That files and listings pass between the hosts at all: messages go that
// way. Nothing else that is tested is relied on.
//
// # Does not
//
// Cut networks, restart servers or pull plugs: that a lock comes free when its
// host is cut off, or that a server keeps what it acknowledged, takes a person,
// or a laboratory.
package fstest
