package codec

import (
	"bytes"
	"strconv"
	"strings"
	"sync"
)

// quickXML reads a document that is, to the byte, what EncodeXML wrote: nearly
// all are. Anything else, right or wrong, is left to the reader that can tell:
// ok is false. It needn't be careful: what it took the document for is written
// again, and only if that is the document was it right.
func quickXML(doc []byte) (Record, bool) {
	q := &quick{rest: string(doc), ok: true}
	rec := q.record()
	if !q.ok || q.rest != "" {
		return Record{}, false
	}
	if rec.Validate() != nil {
		return Record{}, false
	}
	w := writers.Get().(*xmlWriter)
	defer writers.Put(w)
	w.b.Reset()
	w.record(rec)
	return rec, bytes.Equal(w.b.Bytes(), doc)
}

var writers = sync.Pool{New: func() any { return &xmlWriter{} }}

// quick is a cursor. Once something isn't as expected, ok is false.
type quick struct {
	rest string
	ok   bool
}

func (q *quick) record() (r Record) {
	j := &r.Job
	q.must(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<job version="` + XMLVersion + "\">\n")
	r.ID, r.Client = q.element("  <id>", "</id>\n"), q.element("  <client>", "</client>\n")
	r.ReceivedAt, _ = parseTime(q.element("  <received_at>", "</received_at>\n"))
	r.ReceivedBy, r.Digest = q.element("  <received_by>", "</received_by>\n"), q.element("  <digest>", "</digest>\n")
	j.Name, j.Owner = q.element("  <name>", "</name>\n"), q.optional("  <owner>", "</owner>\n")
	j.Environment, j.Queue = q.optional("  <environment>", "</environment>\n"), q.optional("  <queue>", "</queue>\n")
	if q.skip("  <resources>\n") {
		j.Resources.CPUs = int(q.number("    <cpus>", "</cpus>\n"))
		j.Resources.MemoryMB = q.number("    <memory_mb>", "</memory_mb>\n")
		j.Resources.TimeLimitSeconds = q.number("    <time_limit_seconds>", "</time_limit_seconds>\n")
		q.must("  </resources>\n")
	}
	j.Workdir = q.optional("  <workdir>", "</workdir>\n")
	j.Labels, j.Env = q.pairs("labels", "label"), q.pairs("env", "var")
	j.Command, j.Args = q.list("command"), q.list("args")
	j.Script = q.optional("  <script>", "</script>\n")
	q.must("</job>\n")
	return r
}

func (q *quick) skip(what string) (there bool) {
	q.rest, there = strings.CutPrefix(q.rest, what)
	return there
}

func (q *quick) must(what string) { q.ok = q.skip(what) && q.ok }

func (q *quick) element(begin, end string) string {
	q.must(begin)
	return q.text(end)
}

func (q *quick) optional(begin, end string) string {
	if !q.skip(begin) {
		return ""
	}
	return q.text(end)
}

func (q *quick) number(begin, end string) int64 {
	text := q.optional(begin, end)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	q.ok = q.ok && err == nil
	return n
}

func (q *quick) list(name string) (list []string) {
	if q.skip("  <" + name + ">\n") {
		for q.ok && q.skip("    <arg>") {
			list = append(list, q.text("</arg>\n"))
		}
		q.must("  </" + name + ">\n")
	}
	return list
}

func (q *quick) pairs(name, each string) (m map[string]string) {
	if !q.skip("  <" + name + ">\n") {
		return nil
	}
	m = map[string]string{}
	for q.ok && q.skip("    <"+each+` name="`) {
		key, rest, found := strings.Cut(q.rest, `">`)
		q.rest, q.ok = rest, found
		m[key] = q.text("</" + each + ">\n")
	}
	q.must("  </" + name + ">\n")
	return m
}

// text reads up to the end tag. Of references it knows those that EncodeXML writes.
func (q *quick) text(end string) string {
	i := strings.IndexByte(q.rest, '<')
	if i < 0 {
		q.ok = false
		return ""
	}
	text := q.rest[:i]
	q.rest = q.rest[i:]
	q.must(end)
	if strings.IndexByte(text, '&') < 0 {
		return text
	}
	var b strings.Builder
	b.Grow(len(text))
	for {
		plain, rest, found := strings.Cut(text, "&")
		b.WriteString(plain)
		if !found {
			return b.String()
		}
		name, rest, found := strings.Cut(rest, ";")
		switch name {
		case "amp":
			b.WriteByte('&')
		case "lt":
			b.WriteByte('<')
		case "gt":
			b.WriteByte('>')
		default:
			n, err := strconv.Atoi(strings.TrimPrefix(name, "#"))
			if err != nil || !found {
				q.ok = false
				return ""
			}
			b.WriteRune(rune(n))
		}
		text = rest
	}
}
