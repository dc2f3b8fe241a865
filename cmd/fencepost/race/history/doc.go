// Package history is what happened in a race: one row of events, of a simulated
// run or of a real spool's journals, for the picture and for other readers.
//
// Guarantees: what Write wrote, Read returns. An error of Read names the line.
// FromJournals invents nothing: each event of the journals is in its result, and
// what it adds joins two of them.
//
// Assumes: events that join (call, effect, answer) bear the same number, and no
// other operation of the history has it. Times count from the start of the run.
//
// Does not: judge. A violation is in a history because somebody else found it.
package history
