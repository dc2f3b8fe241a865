// Package script knows how a kernel starts a script: by its first line.
//
// Guarantees: Interpreter gives the words that Linux would start the script
// with, so that a job needs no file that may be executed: many sites mount
// /tmp, /run and shares with noexec.
//
// Assumes: the first line begins with "#!", as package codec demands.
//
// Does not: look for the interpreter.
package script
