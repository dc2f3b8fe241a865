// Package gridengine is the backend for Grid Engine (Son of Grid Engine and its
// relatives), by its own programs: qsub, qrls, qdel, qstat, qconf and, for the
// record of ended jobs, qacct, from PATH.
//
// A job is submitted with a user hold, under its name, with the token in its
// context (-ac), and is released by id. What qsub gets on its standard input is
// a small sh script (package batch).
//
// Guarantees: no shell on this side, and nothing of a job is ever a word that a
// shell on the other side would interpret; directives in a job's script are not
// read (-C ""). Grid Engine's programs get PATH HOME USER LOGNAME TZ SGE_ROOT
// SGE_CELL SGE_CLUSTER_NAME SGE_QMASTER_PORT SGE_EXECD_PORT SGE_ARCH of the
// daemon's environment, and LC_ALL=C. A listing is complete or an error.
//
// Assumes: what qsub has acknowledged, the qmaster doesn't forget (5 of 5 jobs
// were there after an immediate kill -9). The site's sge_request adds nothing
// that contradicts a hold.
//
// Does not: spare a job that is released and starts between Cancel's look and
// its qdel: Grid Engine has no cancel for held jobs only. Does not list ended
// jobs: they vanish at once, and qacct has those that ran. Does not change what
// a job's exit status means to Grid Engine: with 99 it is started again, which
// only the guard refuses; with 100 it is put into an error state.
package gridengine
