// Package mountstats reads how many remote procedure calls an NFS mount has
// made, operation by operation, from /proc/self/mountstats: a measure of cost
// that doesn't depend on how fast the machine or the network is.
//
// Guarantees: what is returned stands in the file. A line of operations that
// can't be understood is an error, never a count of zero; sections of other
// file systems are passed over.
//
// Assumes: Linux, statistics of version 1.0 or 1.1 (kernel 2.6.17 and later).
// The counts are the mount's: all processes that use it are in them, and a bind
// mount, or a second mount of the same export with the same options, has the
// same ones.
//
// Does not: open any file, or know what a count is good for.
package mountstats
