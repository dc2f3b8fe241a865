// Package batch makes the sh script that a scheduler gets in place of a job. On
// the compute node it passes the guard, if there is one, then becomes the job:
// the job's own script under its own interpreter, or its command, with the
// job's environment and arguments verbatim.
//
// Guarantees: nothing of a job is a word that sh, or a scheduler that looks for
// directives in the script, would interpret. No line of it ends in a carriage
// return. The script leaves no files behind.
//
// Assumes: sh, env, mktemp, rm and, for the guard, ln, ls, mkdir, cp, sed, sync,
// hostname and a test that knows -ef on the compute nodes, as on every GNU or
// busybox system.
//
// Does not: limit anything; schedulers do.
package batch
