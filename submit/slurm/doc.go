// Package slurm is the backend for Slurm, by its own programs: sbatch,
// scontrol, squeue and scancel, from PATH.
//
// A job is submitted held, under the name and with the token as comment that
// section 8 of the design checks before every act, and is released by id. What
// sbatch gets on its standard input is a small sh script (package batch) that
// becomes the job on the compute node.
//
// Guarantees: no shell on this side, and nothing of a job is ever a word that a
// shell on the other side would interpret. No SBATCH_*, SLURM_*, SQUEUE_*,
// SCANCEL_* or SLURM_JWT setting of the daemon reaches Slurm's programs: they
// get PATH HOME USER LOGNAME TZ SLURM_CONF, and LC_ALL=C. #SBATCH lines in a
// job's script are not read: the job document says what a job asks for. A
// listing is complete or an error. Cancel spares what isn't held.
//
// Assumes: names of jobs and comments come back verbatim (the probe checks it).
//
// Does not: make sure of anything at the scheduler. Slurm saves its state every
// 5 s: after a crash a job is forgotten, its id given to another, a released
// job held again, a running one started again. Section 8 and the guard are for
// that.
package slurm
