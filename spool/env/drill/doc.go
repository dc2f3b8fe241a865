// Package drill is the door by which the simulator looks into the protocol's
// code, and breaks it: seeded bugs, to prove that the simulator finds bugs, and
// marks, to prove that a run came by the rare branches.
//
// Guarantees: on a real host every seeded bug is off, and a mark does nothing.
// Only an Env that is a Drill has them, and env.Real is none.
//
// Assumes: a bug is asked for in the one place where the rule that it breaks
// is kept.
//
// Does not: decide which bug is on, or count: the simulator's Env does.
package drill
