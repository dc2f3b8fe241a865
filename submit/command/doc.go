// Package command is the backend for any cluster that somebody can write five
// small programs for: submit and, as far as it can, release, cancel, find and
// probe.
//
// The contract: each program is an argv, run without a shell, in the daemon's
// working directory, with the daemon's environment and
//
//	FENCEPOST_JOB_ID      the job id                    submit
//	FENCEPOST_TOKEN       SPOOL/HOST/EPOCH/SEQ/G        submit
//	FENCEPOST_HOST        this host                     all
//	FENCEPOST_SPOOL_ID    the spool                     all
//	FENCEPOST_CLUSTER_ID  the cluster's id of a job     release, cancel
//
// The job as JSON is submit's standard input; submit prints the cluster's id of
// it, one line. find prints a line "CLUSTER_ID KEY TOKEN STATE" for each job
// (held, pending, running, done, failed, cancelled; KEY and TOKEN as submit got
// them). Exit status 0 is done, 65 rejected, 69 or 75 unavailable, 77 or 78
// unfit; anything else, a signal and a time-out are unknown.
//
// Guarantees: no shell; a program that is missing or can't be run is unfit,
// surely not accepted; a listing with a line that isn't understood is no
// listing; nothing of a program's words reaches a log with control characters
// in it.
//
// Assumes: cancel spares a job that is no longer held; release and cancel of
// an unknown or ended id succeed; find that exits 0 is complete. "cancelled"
// is the state of a job that never ran: one that was killed while it ran is
// "failed".
//
// Does not: retry, or look behind an exit status.
package command
