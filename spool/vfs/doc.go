// Package vfs has the few file operations that the protocol needs, behind an
// interface, and the operating system's version of them.
//
// Guarantees: names stay below the spool's root and pass through no symbolic
// link; a listing is read afresh; what Create returned without an error is on
// stable storage once Sync of its directory succeeded.
//
// Assumes: one server behind the mount, exported with sync; a hard mount.
//
// Modes, before the umask takes away: files 0440 from the beginning, records and logs 0640, locks 0660, directories 0770.
//
// Does not: run on anything but Linux, follow a symbolic link, resolve lost
// replies, try again (but for signals and listings), or promise that an error
// means "not done": package spool does the looking.
package vfs
