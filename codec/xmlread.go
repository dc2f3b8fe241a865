package codec

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// DecodeXML reads a document of the XML stage. What is refused is a
// *[DocumentError].
func DecodeXML(doc []byte) (Record, error) {
	d, err := newDocument(formatXML, doc)
	if err != nil {
		return Record{}, err
	}
	if rec, ok := quickXML(doc); ok {
		return rec, nil
	}
	return decodeXML(d, doc)
}

// decodeXML reads any document of the form, or says what is wrong with it.
func decodeXML(d *document, doc []byte) (Record, error) {
	r := &xmlReader{document: d, dec: xml.NewDecoder(bytes.NewReader(doc))}
	rec, err := r.whole()
	if err == nil {
		err = d.ruleErr(rec.Validate())
	}
	if err != nil {
		return Record{}, err
	}
	return rec, nil
}

// xmlReader reads with encoding/xml's tokens and refuses what that lets pass:
// DOCTYPE, a second root, trailing bytes, duplicate attributes, what is
// unknown or out of order, references to half a surrogate pair.
type xmlReader struct {
	*document
	dec *xml.Decoder
	at  int // where the last token began
}

// next returns the next token. CharData comes as it is; what a job document
// never has is refused here.
func (r *xmlReader) next() (xml.Token, error) {
	r.at = int(r.dec.InputOffset())
	t, err := r.dec.Token()
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	if err != nil {
		reason := err.Error()
		var se *xml.SyntaxError
		if errors.As(err, &se) {
			reason = se.Msg
		}
		return nil, r.failAt(int(r.dec.InputOffset()), "%s", strings.TrimPrefix(reason, "xml: "))
	}
	switch t := t.(type) {
	case xml.Comment:
		return nil, r.failAt(r.at, "comment")
	case xml.Directive:
		return nil, r.failAt(r.at, "DOCTYPE or other directive")
	case xml.ProcInst:
		return nil, r.checkProcInst(t)
	case xml.CharData:
		return t, r.checkReferences()
	}
	return t, nil
}

// token is next, past the XML declaration.
func (r *xmlReader) token() (xml.Token, error) {
	t, err := r.next()
	if t == nil && err == nil {
		t, err = r.next()
	}
	return t, err
}

var xmlDeclaration = regexp.MustCompile(
	`^version=("1\.0"|'1\.0')(\s+encoding=("(?i:utf-8)"|'(?i:utf-8)'))?(\s+standalone=("(yes|no)"|'(yes|no)'))?\s*$`)

func (r *xmlReader) checkProcInst(p xml.ProcInst) error {
	if p.Target != "xml" || r.at != 0 {
		return r.failAt(r.at, "processing instruction")
	}
	if !xmlDeclaration.Match(p.Inst) {
		return r.failAt(r.at, "XML declaration isn't that of XML 1.0 in UTF-8")
	}
	return nil
}

var xmlReference = regexp.MustCompile(`&#(x[0-9a-fA-F]+|[0-9]+);`)

// checkReferences refuses &#xD800; and the like in the text token just read:
// encoding/xml makes them U+FFFD.
func (r *xmlReader) checkReferences() error {
	raw := r.src[r.at:r.dec.InputOffset()]
	if bytes.HasPrefix(raw, []byte("<![CDATA[")) || !bytes.Contains(raw, []byte("&#")) {
		return nil
	}
	for _, m := range xmlReference.FindAllSubmatchIndex(raw, -1) {
		digits, base := string(raw[m[2]:m[3]]), 10
		if digits[0] == 'x' {
			digits, base = digits[1:], 16
		}
		n, err := strconv.ParseInt(digits, base, 32)
		if err != nil || !legalRune(rune(n)) {
			return r.failAt(r.at+m[0], "%s is no character", raw[m[0]:m[1]])
		}
	}
	return nil
}

// inside returns the next start or end of an element, past white space.
func (r *xmlReader) inside() (xml.Token, error) {
	for {
		t, err := r.token()
		if err != nil {
			return nil, err
		}
		if _, ok := t.(xml.CharData); !ok {
			return t, nil
		}
		// The raw bytes, since &#32; and CDATA aren't white space between elements.
		raw := r.src[r.at:r.dec.InputOffset()]
		if rest := bytes.TrimLeft(raw, " \t\r\n"); len(rest) > 0 {
			return nil, r.failAt(r.at+len(raw)-len(rest), "text %s between elements", show(strings.TrimSpace(string(rest))))
		}
	}
}

// attribute returns the value of the one attribute that the element has to
// have, or checks that it has none if name is empty.
func (r *xmlReader) attribute(e xml.StartElement, name string) (value string, err error) {
	found := false
	for _, a := range e.Attr {
		if a.Name.Space != "" || a.Name.Local != name {
			return "", r.failAt(r.at, "unknown attribute %s of <%s>", show(a.Name.Local), e.Name.Local)
		}
		if found {
			return "", r.failAt(r.at, "duplicate attribute %s of <%s>", show(name), e.Name.Local)
		}
		value, found = a.Value, true
	}
	if name != "" && !found {
		return "", r.failAt(r.at, "<%s> lacks the attribute %q", e.Name.Local, name)
	}
	return value, nil
}

// text reads the text of the element that has just begun, to its end. field
// is where errors about the value will point.
func (r *xmlReader) text(e xml.StartElement, field string) (string, error) {
	r.starts[field] = int(r.dec.InputOffset())
	var parts []string
	for {
		t, err := r.token()
		if err != nil {
			return "", err
		}
		switch t := t.(type) {
		case xml.CharData:
			parts = append(parts, string(t))
		case xml.EndElement:
			return strings.Join(parts, ""), nil
		case xml.StartElement:
			return "", r.failAt(r.at, "element <%s> in the text of <%s>", t.Name.Local, e.Name.Local)
		}
	}
}

// An xmlField is an element that stands at most once, in its place in a list.
type xmlField struct {
	name     string
	required bool
	read     func(e xml.StartElement) error
}

// sequence reads the elements inside parent, which has just begun, to its end.
func (r *xmlReader) sequence(parent string, fields []xmlField) error {
	next := 0
	for {
		t, err := r.inside()
		if err != nil {
			return err
		}
		e, more := t.(xml.StartElement)
		at := len(fields)
		if more {
			if at, err = r.find(e, parent, fields, next); err != nil {
				return err
			}
		}
		for _, f := range fields[next:at] {
			if f.required {
				return r.failAt(r.at, "<%s> lacks <%s> here", parent, f.name)
			}
		}
		if !more {
			return nil
		}
		if err := fields[at].read(e); err != nil {
			return err
		}
		next = at + 1
	}
}

func (r *xmlReader) find(e xml.StartElement, parent string, fields []xmlField, next int) (int, error) {
	for i, f := range fields {
		if e.Name.Space != "" || f.name != e.Name.Local {
			continue
		}
		switch {
		case i == next-1:
			return 0, r.failAt(r.at, "second <%s>", f.name)
		case i < next:
			return 0, r.failAt(r.at, "<%s> after <%s>: second, or out of order", f.name, fields[next-1].name)
		}
		return i, nil
	}
	return 0, r.failAt(r.at, "unknown element <%s> in <%s>", e.Name.Local, parent)
}
