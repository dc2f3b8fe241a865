// Package show prints: tables for people and for programs, and JSON documents.
//
// Guarantees: nothing that comes from a file name, a job or a host reaches the
// terminal with control characters in it; JSON documents have sorted keys and a
// schema; without a terminal a table is one line a row, tabs between the cells.
//
// Assumes: the writer is the command's standard output.
//
// Does not: decide what is shown.
package show
