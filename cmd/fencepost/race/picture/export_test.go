package picture

import (
	"io"

	"fencepost/cmd/fencepost/race/history"
)

// WriteWithin is Write with another bound for the events, bytes.
func WriteWithin(w io.Writer, h []history.Event, m Meta, limit int) error {
	return write(w, h, m, limit)
}

// Span is the time as the page writes it.
func Span(ns int64) string { return span(ns) }
