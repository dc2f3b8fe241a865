// Command fencepost runs one spool on several hosts, and shows what they do.
//
// Each command is in a file of its own, made by a constructor that rootCommands
// lists; fencepost man prints what they do. exit.go holds the exit codes.
//
// Guarantees: data goes to standard output and talk to standard error; the exit
// codes of exit.go; no command hangs on a share that doesn't answer; serve
// prints ready only when it is.
//
// Assumes: what packages spool, lease and submit do.
//
// Does not: decide anything about jobs: it wires, parses and prints.
package main
