// Package access decides what a client may send: queues, owners, sizes, rates,
// job types. It makes what runs of a job that names a type.
//
// # Guarantees
//
//   - With rules, what no rule allows is refused. Without any, all is allowed.
//   - A parameter of a type becomes an argument or a variable's value, whole or
//     beside fixed text. It never becomes part of a script, and nothing splits it.
//   - A refusal for want of rate says when to come back.
//
// # Assumes
//
//   - The client's name was established by somebody else: package secure, or the
//     peer's address.
//
// # Does not
//
//   - Know the network, or the spool.
package access
