// Package modellab is the model of NFS as a laboratory for the experiments of
// package nfsfacts.
//
// Guarantees: the experiments see the model and nothing else; time is virtual.
//
// Assumes: the experiment is the only user, and calls from one goroutine.
//
// Does not: decide whether the model is right: the table does, and the real
// laboratory.
package modellab
