package codec

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// XMLVersion is the value of the root element's attribute "version".
const XMLVersion = "1"

// EncodeXML returns the record as an XML document (docs/spec/job-xml.md): one
// element a line, text as it is but for what XML would change, a line break at
// the end. A record that breaks a rule is refused with a *[FieldError].
func EncodeXML(r Record) ([]byte, error) {
	if err := r.Validate(); err != nil {
		return nil, fmt.Errorf("encode xml: %w", err)
	}
	w := &xmlWriter{}
	w.b.Grow(r.Job.Size()*9/8 + 1024)
	w.record(r)
	return w.b.Bytes(), nil
}

type xmlWriter struct {
	b     bytes.Buffer
	depth int // inside the root
}

// record writes a record that breaks no rule.
func (w *xmlWriter) record(r Record) {
	j := r.Job
	w.b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	w.b.WriteString(`<job version="` + XMLVersion + "\">\n")
	w.element("id", r.ID)
	w.element("client", r.Client)
	w.element("received_at", formatTime(r.ReceivedAt))
	w.element("received_by", r.ReceivedBy)
	w.element("digest", r.Digest)
	w.element("name", j.Name)
	w.optional("owner", j.Owner)
	w.optional("environment", j.Environment)
	w.optional("queue", j.Queue)
	w.resources(j.Resources)
	w.optional("workdir", j.Workdir)
	w.pairs("labels", "label", j.Labels)
	w.pairs("env", "var", j.Env)
	w.list("command", j.Command)
	w.list("args", j.Args)
	w.optional("script", j.Script)
	w.b.WriteString("</job>\n")
}

func (w *xmlWriter) indent() {
	for range w.depth + 1 {
		w.b.WriteString("  ")
	}
}

func (w *xmlWriter) element(name, text string) { w.named(name, "", text) }

func (w *xmlWriter) optional(name, text string) {
	if text != "" {
		w.element(name, text)
	}
}

// named writes an element with text; key, unless empty, is its attribute
// "name", which no character needs to be escaped in (see envChars).
func (w *xmlWriter) named(name, key, text string) {
	w.indent()
	w.b.WriteString("<" + name)
	if key != "" {
		w.b.WriteString(` name="` + key + `"`)
	}
	w.b.WriteByte('>')
	w.text(text)
	w.b.WriteString("</" + name + ">\n")
}

// group writes an element around what inside writes.
func (w *xmlWriter) group(name string, inside func()) {
	w.indent()
	w.b.WriteString("<" + name + ">\n")
	w.depth++
	inside()
	w.depth--
	w.indent()
	w.b.WriteString("</" + name + ">\n")
}

func (w *xmlWriter) list(name string, list []string) {
	if len(list) == 0 {
		return
	}
	w.group(name, func() {
		for _, s := range list {
			w.element("arg", s)
		}
	})
}

func (w *xmlWriter) pairs(name, each string, m map[string]string) {
	if len(m) == 0 {
		return
	}
	w.group(name, func() {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			w.named(each, k, m[k])
		}
	})
}

func (w *xmlWriter) resources(r Resources) {
	if r == (Resources{}) {
		return
	}
	w.group("resources", func() {
		number := func(name string, n int64) {
			if n != 0 {
				w.element(name, strconv.FormatInt(n, 10))
			}
		}
		number("cpus", int64(r.CPUs))
		number("memory_mb", r.MemoryMB)
		number("time_limit_seconds", r.TimeLimitSeconds)
	})
}

// text writes s so that every XML reader gives s back. A carriage return
// would be read as a line break (XML 1.0, 2.11); '>' could end "]]>"; DEL, C1
// and U+2028 are legal as they are, but XML 1.1 readers and editors change
// them. Tabs and line breaks stay: scripts have to be readable.
func (w *xmlWriter) text(s string) {
	done := 0
	if plainText(s) {
		for i := range len(s) {
			if !markup[s[i]] {
				continue
			}
			w.b.WriteString(s[done:i])
			w.b.WriteString(escapedASCII(s[i]))
			done = i + 1
		}
		w.b.WriteString(s[done:])
		return
	}
	for i, r := range s {
		var escaped string
		if r < 0x7F {
			escaped = escapedASCII(byte(r))
		} else if r < 0xA0 || r == 0x2028 {
			escaped = "&#" + strconv.Itoa(int(r)) + ";"
		}
		if escaped == "" {
			continue
		}
		w.b.WriteString(s[done:i])
		w.b.WriteString(escaped)
		done = i + len(string(r))
	}
	w.b.WriteString(s[done:])
}

// markup are the bytes that escapedASCII has something for.
var markup = func() (is [256]bool) {
	for c := range is {
		is[c] = escapedASCII(byte(c)) != ""
	}
	return is
}()

func escapedASCII(c byte) string {
	switch c {
	case '&':
		return "&amp;"
	case '<':
		return "&lt;"
	case '>':
		return "&gt;"
	case '\r':
		return "&#13;"
	}
	return ""
}
