// Package virtual tells what many hosts on one file server reach, in the
// simulator's time: the code that ships, on a model of NFS clients and of a
// server that takes its time. docs/bench.md describes the model.
//
// Guarantees: the same Config gives the same Report, on any machine.
//
// Assumes: calls to the server and waiting for it are what a job costs; the
// model's few numbers are the server's.
//
// Does not: model processors, disks, the network between client and host, or a
// cluster that takes its time; know of faults: those are package race's.
package virtual
