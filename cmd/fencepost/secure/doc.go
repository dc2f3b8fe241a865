// Package secure holds what identifies the two ends of a connection: TLS with
// certificates that are read again when their files change, and tokens, which
// sign single requests (docs/spec/wire.md, Tokens).
//
// # Guarantees
//
//   - TLS 1.3 or nothing. Sessions are not resumed, so that each connection is
//     checked against the files as they are now.
//   - Several CA files count together, so that an old and a new one can overlap.
//   - A file that can't be read, or holds nonsense, leaves what was read before
//     in force and is reported; at the start it is an error.
//   - A client's name is the common name of a certificate that was verified, or
//     the name beside the secret that signed a request; never an address, and
//     never anything that the client only says.
//   - A signed request is taken once by a host within its time, and never after.
//   - A file with a secret that its group or others may read is refused.
//
// # Assumes
//
//   - Clients' clocks and the host's differ by less than the allowed skew.
//
// # Does not
//
//   - Know what a client may do: that is package access.
//   - Look at revocation lists: a client is shut out by its rule, or by its CA.
package secure
