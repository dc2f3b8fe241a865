// Package clustertest has what the backends' tests share: a suite that every
// backend must pass, a small cluster behind five programs (the test binary
// itself, run again) and a real one-node Slurm on loopback.
//
// Guarantees: everything started is stopped, by its recorded process id only,
// when the test ends; all files are below the test's own directory.
//
// Assumes: TMPDIR is short enough for the paths of Unix sockets.
//
// Does not: appear in the shipped program.
package clustertest
