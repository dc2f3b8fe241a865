// Package slurmjob says what Slurm's words about a job mean: its states, its
// lists of nodes, its ids, and the lines of its job completion log. Both of its
// backends need them, whatever the door is that they ask at.
//
// Guarantees: a state that isn't known is held-other, so that a person looks.
//
// Assumes: the words of Slurm's English, which it has in no other language.
//
// Does not: run, ask or open anything.
package slurmjob
