package show

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"unicode/utf8"
)

// JSON prints one document, with the key schema added and all keys sorted.
func JSON(w io.Writer, name string, doc any) error {
	return write(w, name, doc, true)
}

func write(w io.Writer, name string, doc any, indent bool) error {
	fields, err := tree(doc)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	fields["schema"] = "fencepost." + name + "/v1"
	var out []byte
	if indent {
		out, err = marshal(fields, "  ")
	} else {
		out, err = marshal(fields, "")
	}
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	_, err = w.Write(escape(out))
	return err
}

// tree turns structs into maps, whose keys are sorted when they are encoded.
func tree(doc any) (map[string]any, error) {
	text, err := marshal(doc, "")
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var fields map[string]any
	return fields, d.Decode(&fields)
}

func marshal(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	err := e.Encode(v)
	return b.Bytes(), err
}

// escape writes as \uXXXX what a terminal could act on and JSON lets through.
// Such runes stand only inside strings.
func escape(text []byte) []byte {
	var b []byte
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r == 0x7f || hidden(r) {
			b = fmt.Appendf(b, `\u%04x`, r)
		} else {
			b = append(b, text[i:i+n]...)
		}
		i += n
	}
	return b
}

// JSONLines prints one document a line.
func JSONLines[T any](w io.Writer, name string, docs iter.Seq[T]) error {
	b := bufio.NewWriterSize(w, 64<<10)
	for doc := range docs {
		if err := write(b, name, doc, false); err != nil {
			return err
		}
	}
	return b.Flush()
}
