// Package web is the status page of one host: pages for people, the same data
// as JSON under /api/v1/, metrics for Prometheus, and whether this host lives
// and takes work.
//
// # Guarantees
//
//   - Nothing can be changed through it: it answers GET and HEAD only, and its
//     [Source] has no method that acts.
//   - All viewers and scrapers share one look at the spool, at most one a
//     second, and none while nobody asks. A look that took long is followed by
//     a pause ten times as long. Who asks for the same list, or the same job,
//     shares the answer, too.
//   - A share that doesn't answer costs a bounded number of goroutines, and no
//     page hangs on it: pages say since when, and show what was seen last.
//   - Memory and connections are bounded whatever the viewers do.
//   - Every text of a job, a host or an intruder is escaped, and shown with its
//     control characters visible.
//   - Without JavaScript everything is there; with it pages refresh themselves.
//
// # Assumes
//
//   - Who can reach the address may read everything, unless viewers need a token
//     or a certificate. Without TLS the token travels in the clear: elsewhere
//     than on loopback it wants [Config].TLS, or a proxy that speaks TLS.
//   - The documents of [Source] are those that the commands print with --json.
//     Pages and metrics are made from them, so that they can't disagree.
//
// # Does not
//
//   - Know one viewer from another: who is let in may see everything.
//   - Keep anything: rates and live events begin with the process.
package web
