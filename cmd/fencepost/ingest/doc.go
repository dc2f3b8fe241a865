// Package ingest is the TCP server that takes jobs in: frames of
// docs/spec/wire.md on one side, a [Backend] that makes jobs durable on the
// other.
//
// # Guarantees
//
//   - ACCEPTED is sent only after Backend.Accept has returned nil. Every request
//     that was read is answered once, unless the connection breaks, and GOAWAY
//     names the last one that was.
//   - Memory is bounded whatever the peers do: connections, requests per
//     connection and over all, bytes of bodies that are read or wait, answers
//     that wait to be written. An announced length costs nothing.
//   - Time is bounded: the handshake, a frame (by a least rate), an idle
//     connection, an answer that the peer doesn't read, a backend that hangs.
//     None of them holds up another connection.
//   - A peer that is refused is told why: REFUSED where the request could be
//     read, else GOAWAY, and the connection is closed so that the peer can
//     still read it.
//   - A panic, here or in the backend, ends a connection or a request, not the
//     daemon.
//   - Who sent a job, when, and through whom is the server's knowledge; nothing
//     in the payload can set it.
//
// # Assumes
//
//   - The network is trusted, or [Config].TLS, Identify, Authenticate and Admit
//     are set: without them a client is known by its address and may do all.
//   - Backend methods return at some time after their context has ended. While
//     one doesn't, it costs one of MaxAccepts.
//
// # Does not
//
//   - Know names, tokens, rates and types of jobs: it asks its configuration.
//   - Know the spool: what becomes of a job, and how its document looks, is the
//     backend's.
package ingest
