// Package batch reads job documents from files and sends them: what the command
// send does, without its flags.
//
// # Guarantees
//
//   - Outcomes come in the order of the documents, each as soon as it and all
//     before it are known. One bad document doesn't stop the others.
//   - Every outcome says file and line, and the id that the job was, or may have
//     been, accepted under.
//   - Memory is bounded by the number of jobs sent at once, not by the input.
//
// # Assumes
//
//   - The sender keeps the promises of package client.
//
// # Does not
//
//   - Remember across runs: a document without an id gets a new one each time.
package batch
