package history

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxLine bounds a line that is read, bytes.
const maxLine = 1 << 20

// Write writes one event a line.
func Write(w io.Writer, h []Event) error {
	b := bufio.NewWriter(w)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	for i, e := range h {
		if err := check(e); err != nil {
			return fmt.Errorf("write history: event %d: %w", i+1, err)
		}
		if err := enc.Encode(e); err != nil {
			return fmt.Errorf("write history: event %d: %w", i+1, err)
		}
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	return nil
}

// Read reads what Write wrote. Empty lines and fields that it doesn't know are
// skipped; a kind that it doesn't know is an error: a reader that left out what
// it can't draw would lie.
func Read(r io.Reader) ([]Event, error) {
	var h []Event
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	n := 0
	for lines.Scan() {
		n++
		if len(strings.TrimSpace(lines.Text())) == 0 {
			continue
		}
		var e Event
		err := json.Unmarshal(lines.Bytes(), &e)
		if err == nil {
			err = check(e)
		}
		if err != nil {
			return nil, fmt.Errorf("read history: line %d: %w", n, err)
		}
		h = append(h, e)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read history: line %d: %w", n+1, err)
	}
	return h, nil
}

// check finds what no writer of histories makes.
func check(e Event) error {
	switch {
	case !slices.Contains(Kinds(), e.Kind):
		return fmt.Errorf("kind %q: want one of %s", e.Kind, strings.Join(Kinds(), ", "))
	case e.T < 0:
		return fmt.Errorf("t %d: before the start", e.T)
	case e.Until != 0 && e.Until < e.T:
		return fmt.Errorf("until %d: before t %d", e.Until, e.T)
	case e.Until != 0 && e.Kind != Fault:
		return fmt.Errorf("until: only a fault has it, not a %s", e.Kind)
	case e.Call < 0:
		return fmt.Errorf("call %d: negative", e.Call)
	case e.Call == 0 && (e.Kind == Call || e.Kind == Effect || e.Kind == Answer):
		return fmt.Errorf("%s without a number of its call", e.Kind)
	}
	return nil
}
