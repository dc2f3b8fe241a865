package codec_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fencepost/codec"
)

const documentDir = "testdata/documents"

func (d document) String() string {
	var b strings.Builder
	for _, line := range [][2]string{
		{"comment", d.comment}, {"expect", d.expect}, {"position", d.position}, {"reason", d.reason}, {"schema", d.schema},
	} {
		if line[1] != "" {
			fmt.Fprintf(&b, "%s: %s\n", line[0], line[1])
		}
	}
	return b.String() + "\n" + d.text
}

func readDocument(t *testing.T, path string) document {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, body, found := bytes.Cut(data, []byte("\n\n"))
	if !found {
		t.Fatalf("%s: no empty line", path)
	}
	d := document{name: strings.TrimSuffix(filepath.Base(path), ".txt"), text: string(body)}
	for _, row := range strings.Split(string(head), "\n") {
		key, value, _ := strings.Cut(row, ": ")
		switch key {
		case "comment":
			d.comment = value
		case "expect":
			d.expect = value
		case "position":
			d.position = value
		case "reason":
			d.reason = value
		case "schema":
			d.schema = value
		default:
			t.Fatalf("%s: unknown key %q", path, key)
		}
	}
	return d
}

// allDocuments are the samples as files, once they agree with the list.
func allDocuments(t *testing.T) []document {
	t.Helper()
	list := documents()
	if *update {
		for _, d := range list {
			if err := os.WriteFile(filepath.Join(documentDir, d.name+".txt"), []byte(d.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	paths, err := filepath.Glob(documentDir + "/*.txt")
	if err != nil || len(paths) != len(list) {
		t.Fatalf("%d files, %d documents in the list (%v): run go test ./codec -run TestDocuments -update", len(paths), len(list), err)
	}
	for i, d := range list {
		list[i] = readDocument(t, filepath.Join(documentDir, d.name+".txt"))
		if list[i] != d {
			t.Errorf("%s is not current: run go test ./codec -run TestDocuments -update", d.name)
		}
	}
	return list
}

func (d document) format() string {
	format, _, _ := strings.Cut(d.name, "-")
	return format
}

func (d document) read() error {
	var err error
	switch d.format() {
	case "job":
		_, _, err = codec.ParseJob([]byte(d.text))
	case "json":
		_, err = codec.DecodeJSON([]byte(d.text))
	default:
		_, err = codec.DecodeXML([]byte(d.text))
	}
	return err
}

func TestDocuments(t *testing.T) {
	for _, d := range allDocuments(t) {
		t.Run(d.name, func(t *testing.T) {
			err := d.read()
			if d.expect == "ok" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var de *codec.DocumentError
			if !errors.As(err, &de) {
				t.Fatalf("got %v, want a DocumentError", err)
			}
			if got := fmt.Sprintf("%d:%d", de.Line, de.Column); got != d.position || !strings.Contains(de.Reason, d.reason) {
				t.Errorf("got %s %q\nwant %s %q", got, de.Reason, d.position, d.reason)
			}
		})
	}
}

// No prefix of a legal document is legal, and none panics: what a full disk
// leaves behind is never taken for a job.
func TestTruncatedDocuments(t *testing.T) {
	for _, d := range documents() {
		if d.expect != "ok" {
			continue
		}
		text := strings.TrimRight(d.text, "\n")
		for n := range len(text) {
			d.text = text[:n]
			if d.read() == nil {
				t.Errorf("%s cut to %d bytes is accepted", d.name, n)
			}
		}
	}
}
