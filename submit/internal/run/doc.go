// Package run runs one program to its end: the backends' only way to do so.
//
// Guarantees: argv only, never a shell. What comes back tells apart a program
// that never started, one that exited, one that a signal ended and one that
// took too long or wrote too much (its whole process group is killed). Output
// is bounded. A program that has exited is not waited for because a child of
// it still holds its output.
//
// Assumes: the program does not leave its process group before a time-out, or
// it outlives the kill.
//
// Does not: retry, log, or judge what an exit status means.
package run
