package codec_test

import (
	"bytes"
	"testing"

	"fencepost/codec"
)

// TestQuickXML: the quick way takes what we write, and says what the slow one
// says; of any other spelling it keeps its hands off.
func TestQuickXML(t *testing.T) {
	r := benchRecord(1000)
	r.Job.Labels = map[string]string{"a": "1", "b": "<&>"}
	r.Job.Owner, r.Job.Environment, r.Job.Queue, r.Job.Workdir = "p", "dev", "main", "/tmp"
	r.Job.Resources = codec.Resources{CPUs: 2, MemoryMB: 64, TimeLimitSeconds: 60}
	r.Job.Script += "a\r\nb &amp; <c> \u0085\u2028 \u00e4"
	doc, err := codec.EncodeXML(r)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := codec.QuickXML(doc); !ok || !got.Equal(r) {
		t.Fatalf("got %+v, %v, want %+v", got, ok, r)
	}
	for _, change := range [][2]string{{"<name>", "<name >"}, {"&lt;", "&#60;"}, {"&lt;", "&#x3C;"}, {"  <id>", "<id>"}, {"</job>\n", "</job>"},
		{"</job>\n", "</job>\n\n"}, {`version="1"`, `version="2"`}, {"<cpus>2", "<cpus>02"}, {"<cpus>2", "<cpus>0"}, {`name="b"`, `name="a"`},
		{"  <owner>p</owner>\n", "  <owner></owner>\n"}, {"  <queue>main</queue>\n  <resources>", "  <resources>"},
		{"<environment>dev</environment>\n", "<x/>\n"}, {"&#13;", "\r"}, {"<client>c", "<client>"}} {
		other := bytes.Replace(doc, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(other, doc) {
			t.Fatalf("%q isn't in the document", change[0])
		}
		checkQuick(t, other)
	}
	for i := range doc {
		checkQuick(t, doc[:i])
	}
}

// checkQuick: what the quick way takes, the slow one takes for the same.
func checkQuick(t *testing.T, doc []byte) {
	t.Helper()
	quick, ok := codec.QuickXML(doc)
	if !ok {
		return
	}
	if slow, err := codec.SlowXML(doc); err != nil || !quick.Equal(slow) {
		t.Fatalf("%q\nquick: %+v\nslow: %+v, %v", doc, quick, slow, err)
	}
}

func FuzzQuickXML(f *testing.F) {
	for _, d := range documents() {
		if d.format() == "xml" {
			f.Add([]byte(d.text))
		}
	}
	f.Fuzz(func(t *testing.T, doc []byte) { checkQuick(t, doc) })
}
