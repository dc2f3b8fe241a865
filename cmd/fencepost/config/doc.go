// Package config holds every setting of the command in one struct, and where
// each value came from: flag over environment over file over default.
//
// Guarantees: an unknown key or FENCEPOST_ variable is an error with its place
// and what was probably meant; a Config that Load returned has passed Validate;
// Digest is equal on two hosts if and only if they agree on what they must.
//
// Assumes: nothing about the machine: files and environment are given to it.
//
// Does not: check that directories, programs or addresses exist.
package config
