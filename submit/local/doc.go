// Package local is the embedded cluster: it runs jobs on this machine. All
// hosts of a spool together are one such cluster, with the job id as its
// idempotency key.
//
// Submit starts a wrapper: this binary again, in a session of its own, so that
// it outlives the daemon. The wrapper writes a file that says who it is and
// links it to started/BUCKET/ID. The link is the start: whoever has it runs the
// job, whoever finds another's answers with that one's cluster id. So a
// submission may be repeated by anyone, at any time. The wrapper keeps the
// job's stdout, stderr and status.json in local/ID/.
//
// Guarantees: a job starts at most once, on all hosts together, whatever is
// killed, restarted or repeated. At most Slots jobs of this host run at once,
// those that an earlier daemon started included: each wrapper holds a lock that
// the kernel frees with it. A job that started has a status once it ended; if
// its wrapper is provably gone without one, Recover says interrupted.
//
// Assumes: Config.RunDir is on a file system of this machine, not on a share. It
// is refused if another user of the machine could have put something there.
// The daemon's supervisor leaves the wrappers alone when it stops the daemon
// (systemd: KillMode=process).
//
// Does not: limit the processors or the memory that a job uses, nor its output.
// Processes that leave the job's process group are not killed with it. A job
// whose wrapper died is never run again, by nobody.
package local
