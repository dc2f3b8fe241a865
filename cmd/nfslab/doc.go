// Command nfslab boots the laboratory of package nfslab and does in it what it
// is asked for.
//
// Guarantees: exit status 0 only if everything that was asked for was observed
// as expected. It leaves nothing behind.
//
// Assumes: what package nfslab assumes.
//
// Does not: run as part of the tests; those have short forms of their own.
package main
