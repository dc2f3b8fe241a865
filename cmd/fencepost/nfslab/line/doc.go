// Package line is how the laboratory's outside talks to its inside: frames on
// a byte stream, which start commands, feed them, signal them, and bring back
// what they write and how they end.
//
// Guarantees: a command's output arrives in order and before its end. One
// stream carries any number of commands; a command may itself serve a stream
// on its standard input and output, without a price in size.
//
// Assumes: a stream that loses nothing and is clean in all 8 bits. Writers that
// are given for a command's output don't block.
//
// Does not: check who is at the other end; hold back a command that writes
// faster than the other side reads, but by the stream itself.
package line
