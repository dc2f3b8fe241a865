// Package race is a deterministic simulator: many instances of the production
// protocol on a model of NFS and of a batch cluster, in virtual time, with all
// decisions on one tape. docs/race.md describes it.
//
// Guarantees: the code under test is the code that ships; the same tape gives
// the same run; what is promised is checked at the moment of each effect,
// against the simulated world and never against the program's own log.
//
// Assumes: the model of NFS (package nfssim) answers as real ones do; the
// experiments of package nfsfacts hold it against them.
//
// Does not: simulate the TCP server: clients call what stands behind it.
package race
