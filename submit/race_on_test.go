//go:build race

package submit_test

// raced: the simulated worlds run one task at a time, and the race detector
// makes them ten times slower for nothing; so it sees a few of each.
const raced = true
