package codec

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// jsonWriter writes what encoding/json would, indented by two blanks, with keys
// sorted and what is empty left out. encoding/json writes compact first, reads
// that again and indents it: it cost as much as all else of a translation
// (BenchmarkForms).
type jsonWriter struct {
	b     []byte
	depth int
	first bool // nothing was written in the innermost object or array
}

func (w *jsonWriter) item() {
	if !w.first {
		w.b = append(w.b, ',')
	}
	w.first = false
	w.line()
}

func (w *jsonWriter) line() {
	w.b = append(w.b, '\n')
	for range w.depth {
		w.b = append(w.b, "  "...)
	}
}

func (w *jsonWriter) key(name string) {
	w.item()
	w.text(name)
	w.b = append(w.b, ": "...)
}

// group writes an object or array around what inside writes.
func (w *jsonWriter) group(open, end byte, inside func()) {
	w.b = append(w.b, open)
	w.depth, w.first = w.depth+1, true
	inside()
	w.depth, w.first = w.depth-1, false
	w.line()
	w.b = append(w.b, end)
}

func (w *jsonWriter) field(name, s string) {
	w.key(name)
	w.text(s)
}

func (w *jsonWriter) optional(name, s string) {
	if s != "" {
		w.field(name, s)
	}
}

func (w *jsonWriter) list(name string, list []string) {
	if len(list) == 0 {
		return
	}
	w.key(name)
	w.group('[', ']', func() {
		for _, s := range list {
			w.item()
			w.text(s)
		}
	})
}

func (w *jsonWriter) pairs(name string, m map[string]string) {
	if len(m) == 0 {
		return
	}
	w.key(name)
	w.group('{', '}', func() {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			w.field(k, m[k])
		}
	})
}

func (w *jsonWriter) resources(r Resources) {
	if r == (Resources{}) {
		return
	}
	w.key("resources")
	w.group('{', '}', func() {
		number := func(name string, n int64) {
			if n != 0 {
				w.key(name)
				w.b = strconv.AppendInt(w.b, n, 10)
			}
		}
		number("cpus", int64(r.CPUs))
		number("memory_mb", r.MemoryMB)
		number("time_limit_seconds", r.TimeLimitSeconds)
	})
}

// text writes a string, as encoding/json does without SetEscapeHTML: runs of
// plain ASCII as they are; one with anything else but a line break, a tab or a
// quote is left to it.
func (w *jsonWriter) text(s string) {
	begin, done := len(w.b), 0
	w.b = append(w.b, '"')
	for i := range len(s) {
		c := s[i]
		if plainASCII[c] {
			continue
		}
		w.b = append(w.b, s[done:i]...)
		done = i + 1
		switch c {
		case '"', '\\':
			w.b = append(w.b, '\\', c)
		case '\n':
			w.b = append(w.b, '\\', 'n')
		case '\t':
			w.b = append(w.b, '\\', 't')
		default:
			w.b = appendStrange(w.b[:begin], s)
			return
		}
	}
	w.b = append(append(w.b, s[done:]...), '"')
}

// plainASCII are the bytes that JSON and XML text both carry as they are, but for
// XML's markup.
var plainASCII = func() (is [256]bool) {
	for c := ' '; c <= '~'; c++ {
		is[c] = c != '"' && c != '\\'
	}
	return is
}()

func appendStrange(b []byte, s string) []byte {
	w := appender{b}
	e := json.NewEncoder(&w)
	e.SetEscapeHTML(false) // people read it
	_ = e.Encode(s)        // of a string, into memory: it can't fail
	return w.b[:len(w.b)-1]
}

type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}
