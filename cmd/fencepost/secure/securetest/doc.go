// Package securetest makes certificates for tests, so that none has to be kept.
//
// # Guarantees
//
//   - What it makes is real: keys of its own, signed, valid for a month.
//
// # Assumes
//
//   - Nothing.
//
// # Does not
//
//   - Ship: it imports testing.
package securetest
