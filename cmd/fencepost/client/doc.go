// Package client sends jobs to the hosts of a spool.
//
// # Guarantees
//
//   - [Client.Send] returns nil only after a host said that the job is durable.
//   - A job keeps its id in every try, at whichever host: it is accepted once,
//     however often its answer is lost.
//   - A refusal that would be repeated is a *[RefusedError], at once: the job was
//     not accepted. Whatever else goes wrong is tried again, at the next address,
//     until the deadline; then the error is a *[GaveUpError], which says whether
//     the job may have been accepted. So is a refusal after a try whose outcome
//     isn't known.
//   - All methods may be called by many goroutines; their requests share a few
//     connections and are under way at once, as many as the host allows.
//   - Memory is bounded by the jobs that are being sent.
//   - With [Config].TLS nothing is sent to a host whose certificate isn't right.
//
// # Assumes
//
//   - All addresses lead to hosts of one spool: they share their memory of ids.
//     A host of another one is refused, once the first has said its name.
//
// # Does not
//
//   - Remember anything: a program that dies has to know its ids itself.
package client
