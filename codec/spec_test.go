package codec_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"fencepost/codec"
)

func spec(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(specDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// blocks returns the fenced blocks of one language.
func blocks(page, language string) []string {
	var out []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(page, -1) {
		out = append(out, m[1])
	}
	return out
}

// The example conversation of wire.md is read as it stands, and is exactly
// what the codec writes.
func TestWireExample(t *testing.T) {
	var types []string
	for _, block := range blocks(spec(t, "wire.md"), "hex") {
		var digits strings.Builder
		for _, row := range strings.Split(block, "\n") {
			row, _, _ = strings.Cut(row, "#")
			digits.WriteString(row)
		}
		want := unhex(digits.String())
		stream := bytes.NewReader(want)
		f, err := codec.ReadFrame(stream, codec.MaxBody)
		if err != nil || stream.Len() > 0 {
			t.Fatalf("%d bytes left (%v) of\n%s", stream.Len(), err, block)
		}
		m, err := codec.Unmarshal(f)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := codec.AppendMessage(nil, m); err != nil || !bytes.Equal(got, want) {
			t.Errorf("got %x (%v), want %x", got, err, want)
		}
		types = append(types, f.Type.String())
	}
	if got, want := strings.Join(types, " "), "HELLO WELCOME SUBMIT ACCEPTED"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// The documents in the pages are what the writers write.
func TestDocumentExamples(t *testing.T) {
	x := blocks(spec(t, "job-xml.md"), "xml")[0]
	r, err := codec.DecodeXML([]byte(x))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := codec.EncodeXML(r); err != nil || string(got) != x {
		t.Errorf("got %s (%v), want %s", got, err, x)
	}
	if got, want := r.Digest, codec.Digest(r.Job); got != want {
		t.Errorf("digest in job-xml.md: got %s, want %s", got, want)
	}
	j := blocks(spec(t, "job-json.md"), "json")
	job, _, err := codec.ParseJob([]byte(j[0]))
	if err != nil {
		t.Fatal(err)
	}
	if r, err = codec.DecodeJSON([]byte(j[1])); err != nil {
		t.Fatal(err)
	}
	if !r.Job.Equal(job) {
		t.Errorf("got %+v, want %+v", r.Job, job)
	}
	if got, err := codec.EncodeJSON(r); err != nil || string(got) != j[1] {
		t.Errorf("got %s (%v), want %s", got, err, j[1])
	}
	if got, want := r.Digest, codec.Digest(r.Job); got != want {
		t.Errorf("digest in job-json.md: got %s, want %s", got, want)
	}
}

// The table of codes says of each code what Final says.
func TestCodesAreDocumented(t *testing.T) {
	page := spec(t, "wire.md")
	rows := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| [A-Z, ]+ \\| (yes|no) \\|").FindAllStringSubmatch(page, -1)
	final := map[codec.Code]bool{}
	for _, r := range rows {
		final[codec.Code(r[1])] = r[2] == "yes"
	}
	source, err := os.ReadFile("code.go")
	if err != nil {
		t.Fatal(err)
	}
	consts := regexp.MustCompile(`Code\w+ +Code = "(\w+)"`).FindAllSubmatch(source, -1)
	if len(consts) != len(final) || len(consts) == 0 {
		t.Errorf("%d codes in code.go, %d in wire.md", len(consts), len(final))
	}
	for _, c := range consts {
		code := codec.Code(c[1])
		if said, ok := final[code]; !ok || said != code.Final() {
			t.Errorf("%s: in wire.md %v, final there %v, here %v", code, ok, said, code.Final())
		}
	}
	for _, state := range []string{
		codec.StateUnknown, codec.StateAccepting, codec.StateWaiting, codec.StateClaimed, codec.StateSealed,
		codec.StateHeld, codec.StateParked, codec.StateFailed, codec.StateDone, codec.StateHandedOver,
	} {
		if !strings.Contains(page, "`"+state+"`") {
			t.Errorf("state %s is not in wire.md", state)
		}
	}
}
