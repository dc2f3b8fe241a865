// Package guest is what runs inside of the laboratory: the first process of
// the user-mode Linux, that of each host, the agents that make system calls,
// and the proxies.
//
// Guarantees: the machine's own files are mounted read-only, but for the
// directory that is shared on purpose. When the stream to the outside ends,
// the kernel is switched off.
//
// Assumes: process 1 of a user-mode Linux with an initial RAM disk, on a
// machine with Debian's layout of directories.
//
// Does not: know what is tested. It does what it is told from outside.
package guest
