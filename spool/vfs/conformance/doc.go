// Package vfstest holds one suite of tests for every vfs.FS: the operating
// system's on any mount that it is given, the in-memory one, and wrappers.
//
// Guarantees: each documented sentence of package vfs that can be observed
// from outside has a test here, with the errno that callers branch on.
//
// Assumes: the FS that it is given is empty and used by nobody else.
//
// Does not: pull the plug. What survives a crash is the business of memfs, and
// what two NFS clients see of each other that of a real mount with two hosts.
package vfstest
