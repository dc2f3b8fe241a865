package codec

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// DocumentError is an XML or JSON document that was refused. Line and Column
// count from 1; a column is a character, not a byte. Where a value breaks a
// rule, Unwrap gives the *[FieldError] and the position is the value's.
type DocumentError struct {
	Format       string // "xml", "json" or "job document"
	Line, Column int
	Reason       string
	Err          error
}

func (e *DocumentError) Error() string {
	return fmt.Sprintf("read %s: %d:%d: %s", e.Format, e.Line, e.Column, e.Reason)
}

// Unwrap returns what was beneath, if anything.
func (e *DocumentError) Unwrap() error { return e.Err }

// The formats, as errors name them.
const (
	formatXML  = "xml"
	formatJSON = "json"
	formatJob  = "job document"
)

// document is one document under a reader: its bytes, and where its fields
// began, so that a rule broken by a value is reported at the value.
type document struct {
	format string
	src    []byte
	starts map[string]int // offset by FieldError.Field
}

func newDocument(format string, src []byte) (*document, error) {
	d := &document{format: format, src: src, starts: map[string]int{}}
	if len(src) > MaxDocument {
		return nil, d.failAt(0, "has %d bytes, more than %d", len(src), MaxDocument)
	}
	if bytes.HasPrefix(src, []byte("\xEF\xBB\xBF")) {
		return nil, d.failAt(0, "begins with a byte order mark")
	}
	if plainText(src) {
		return d, nil
	}
	for i := 0; i < len(src); {
		r, n := utf8.DecodeRune(src[i:])
		if r == utf8.RuneError && n == 1 {
			return nil, d.failAt(i, "byte %#02x is not UTF-8", src[i])
		}
		if format == formatXML && !legalRune(r) {
			return nil, d.failAt(i, "character U+%04X can't be carried by XML", r)
		}
		i += n
	}
	return d, nil
}

func (d *document) failAt(offset int, format string, args ...any) error {
	line, column := d.position(offset)
	return &DocumentError{Format: d.format, Line: line, Column: column, Reason: fmt.Sprintf(format, args...)}
}

func (d *document) position(offset int) (line, column int) {
	before := d.src[:min(offset, len(d.src))]
	line = 1 + bytes.Count(before, []byte("\n"))
	return line, 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
}

// ruleErr gives a *FieldError the position of its field, or of the nearest
// thing around it that has one.
func (d *document) ruleErr(err error) error {
	if err == nil {
		return nil
	}
	at, reason := 0, err.Error()
	var fe *FieldError
	if errors.As(err, &fe) {
		reason = fe.Field + " " + fe.Reason
		for field := fe.Field; ; {
			start, ok := d.starts[field]
			if ok {
				at = start
				break
			}
			cut := strings.LastIndexAny(field, ".[")
			if cut < 0 {
				break
			}
			field = field[:cut]
		}
	}
	line, column := d.position(at)
	return &DocumentError{Format: d.format, Line: line, Column: column, Reason: reason, Err: err}
}
