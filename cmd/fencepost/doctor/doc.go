// Package doctor checks whether a share, a host and a spool are fit for use:
// named checks, each with what was seen, what it means and what to do about it.
// docs/ops/doctor.md has a heading for each check; docs/nfs.md says why.
//
// # Guarantees
//
// Nothing of the spool is changed: probe files have names of their own that no
// part of fencepost takes for an entry, and they are removed, also after an
// error. What reads and judges (mount table, options, crontabs) are functions of
// the bytes alone. A check that can't be made says so; it never counts as good.
//
// # Assumes
//
// Linux, with /proc mounted. The caller watches for a share that doesn't answer:
// each call that may hang is announced by Config.Begin.
//
// # Does not
//
// Prove anything about another host: what one client sees, it sees through its
// own cache. Whether the server exports with sync can't be seen from a client.
package doctor
