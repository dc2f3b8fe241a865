// Package picture draws a history of a race as one HTML file: a lane a host,
// operations as bars from call to answer with the moment of effect in them, jobs
// as threads from lane to lane, faults as flags, a broken promise as a line.
//
// Guarantees: the file is whole. It needs no network and no other file, and its
// own policy forbids browsers to ask for any, or to run any script but its own;
// no text of a history can become markup. The same history gives the same bytes.
// It is bounded: what doesn't fit is left out whole, job by job, and the page
// says what. Each moment has a link. Without JavaScript the words and the first
// rows of the table are there.
//
// Assumes: a history as package history makes it.
//
// Does not: judge, or say that all is well: it draws what it was given.
package picture
