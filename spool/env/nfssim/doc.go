// Package nfssim is a model of an NFS server and of the clients that machines
// have of it, on the virtual clock of package simenv.
//
// Guarantees: what the server decides, it decides at one moment, for handles
// and names; what a client may answer from its caches, it may answer wrongly,
// as Linux does; calls that are under way land after their process's death; the
// same tape gives the same steps, listings included.
//
// Assumes: its calls are made by tasks of the world that it was made in, those
// of a Direct view, and what checks look at, excepted.
//
// Does not: model what the protocol doesn't lean on: delegations, permissions,
// symbolic links, write-back before a sync or a close; nor, unless a mount is
// Thorough, the CLOSE call (it takes effect at once), and how one client's calls
// wait for each other at a directory. docs/nfs.md has what was demonstrated on a real client and
// server; the experiments of package nfsfacts hold the model against them.
package nfssim
