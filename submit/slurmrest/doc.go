// Package slurmrest is the backend for Slurm by its REST daemon, slurmrestd,
// over a Unix socket or TCP: no process a job, and connections that are kept.
//
// A job is what it is with package slurm: submitted held, under the name and
// with the token as comment that section 8 of the design checks before every
// act, and released by id. What runs on the compute node is the same small sh
// script (package batch). The version of the API is the newest one that the
// daemon offers and this package was tested with, or else the newest one of all.
//
// Guarantees: a request that may have been sent and has no clear answer is
// unknown; that it is surely not accepted takes a connection that was never
// made, or an answer that is known to mean that. A submission succeeded if the
// answer has an id, whatever errors stand beside it (slurmrestd reports the hold
// that was asked for as one). Nothing but a request of which no byte was
// written is ever repeated. Answers are bounded; a listing is complete or an error.
// The token is a header of requests, and in no error, log or argument list.
// #SBATCH lines in a job's script are not read: slurmrestd has no eyes for them.
//
// Assumes: names of jobs and comments come back verbatim, held ones as held
// (the probe checks it). Whoever answers at the address is slurmrestd.
//
// Does not: make sure of anything at the scheduler; package slurm says what
// that means. Cancel looks, then cancels, as scancel does: a job that somebody
// releases by hand in between is cancelled, too.
package slurmrest
