// Package trial puts the real program on trial: the binary as it is shipped, on
// the laboratory's real NFS, with faults that really happen, and a judge that
// doesn't ask fencepost.
//
// Guarantees: every fault that is named in the report took place; it counts as
// an error if it didn't. The judge is the cluster's own log: a line is appended
// for each submission, release and cancel, and the first release of a job's id
// starts it. A violation is never tried again: it ends the trial, and what is
// needed to understand it is kept.
//
// Assumes: what package nfslab assumes; git, to apply the patches of the
// deliberately broken builds.
//
// Does not: look at the program's insides. Prove that there is no bad schedule;
// the simulator looks for those.
package trial
