// Package bench measures what the pipeline costs on a directory, beside the
// floor: the same minimal system calls without any logic, in the same run.
// docs/bench.md says what is measured and how, and lists the floor's calls.
//
// # Guarantees
//
//   - The code that is measured is the code that ships: nodes with leases,
//     janitors and journals, on a spool of their own.
//   - Everything is made below one new directory, and removed at the end.
//   - Floor and pipeline take turns, with the same files, sizes and numbers at a
//     time: what else happens on the machine strikes both.
//   - Waits end: when no job goes on for a while, [Run] gives up.
//
// # Assumes
//
// Linux. The caller watches for a share that doesn't answer.
//
// # Does not
//
// Touch a spool that is in use: the directory that is given may be one, its
// files are left alone. Measure the network between client and daemon: jobs are
// handed to the code behind the ingest server.
package bench
