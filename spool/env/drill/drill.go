package drill

import "fencepost/spool/env"

// Drill is implemented by the simulator's Env, and by no other.
type Drill interface {
	Broken(Bug) bool
	Reached(Mark)
}

// Bug is a rule that can be broken.
type Bug string

// Mark is a branch that a thorough simulation must have come by.
type Mark string

// Broken says whether a rule is broken: never, on a real host.
func Broken(e env.Env, b Bug) bool {
	d, ok := e.(Drill)
	return ok && d.Broken(b)
}

// Reached tells the simulator that a rare branch was taken.
func Reached(e env.Env, m Mark) {
	if d, ok := e.(Drill); ok {
		d.Reached(m)
	}
}

// Known says whether there is such a bug.
func Known(b Bug) bool {
	for _, have := range Bugs() {
		if have.Bug == b {
			return true
		}
	}
	return false
}
