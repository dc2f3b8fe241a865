// Package realrun races real processes of this program on a real directory:
// hosts are killed, stopped for longer than their lease, and restarted, while
// clients send jobs over TCP, and a cluster that is no part of the program keeps
// the book by which all is judged.
//
// Guarantees: what is done to whom, and for how long, is the seed's; a verdict
// rests on the cluster's book, the clients' answers and the audit, never on the
// program's own log; every process that was started has ended when Run returns,
// whatever happened, and only loopback addresses are used.
//
// Assumes: a directory that serve accepts, on one machine, whose clock all that
// takes part reads. The cluster's book is on a local file system.
//
// Does not: repeat a run. Time is real: the same seed makes the same decisions,
// and the machine does with them what it likes.
package realrun
