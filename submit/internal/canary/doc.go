// Package canary fixes the names of the jobs that a probe submits to see
// whether this host can: held, found in a listing, cancelled again.
//
// Guarantees: Parse(prefix, prefix+Key(h, e)) is h, e; no job id parses as a
// canary. Key is made of A-Z a-z 0-9 . _ - if the host's name is.
//
// Assumes: real claims have sequence numbers from 1 on.
//
// Does not: submit; package probe does.
package canary
