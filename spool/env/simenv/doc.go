// Package simenv is an Env for simulation: many machines and processes on one
// virtual clock, one task running at a time, all in one goroutine's turn.
//
// Guarantees: the same code with the same Tape takes the same steps, on any
// machine, whatever the number of processors; a Sleep takes no real time; a
// killed process's tasks take no further step that anybody can see.
//
// Assumes: tasks wait by means of Env, or of Task.Park, alone; they hold no
// mutex meanwhile, and don't range over a map with effects. Contexts are
// cancelled by tasks of the process that waits for them, or with Proc.Poll.
//
// Does not: run anything in parallel; have files: those are nfssim's. Tasks are
// coroutines (package iter), which is several times quicker than goroutines
// that hand on a turn by channels.
package simenv
