// Package nfslab is a laboratory: real NFS clients and a real NFS server on one
// machine. A user-mode Linux boots on the machine's own root directory; the
// server runs in it, and hosts, which are namespaces with an NFS client each.
//
// Guarantees: hosts have caches, leases and locks of their own. Nothing of the
// machine's is changed, and nothing is left behind, processes and files, once
// Close has returned. No network of the machine's is used.
//
// Assumes: Debian's packages that Missing names, or their like; a Go toolchain
// and this module's source, to build the program that runs inside.
//
// Does not: stop a host's clock: all hosts share one kernel, and its time. Run
// on another kernel or server than the one that is installed.
package nfslab
