package codec_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/fxamacker/cbor/v2"

	"fencepost/codec"
)

var update = flag.Bool("update", false, "write the vectors anew from vectorlist_test.go")

const vectorDir = "testdata/vectors"

// A vector is one frame and what has to become of it: testdata/vectors/README.md.
type vector struct {
	name    string // the file's
	comment string
	maxBody int
	expect  string // ok, or the layer that refuses
	typ     string // the frame's type, where ok
	message string // JSON of the message, where ok
	same    bool   // marshalling the message again gives the frame again
	answer  string // where a request is refused: JSON of what an answer needs
	payload []byte
}

func (v vector) String() string {
	var b strings.Builder
	line := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\n", key, value)
		}
	}
	line("comment", v.comment)
	line("max-body", strconv.Itoa(v.maxBody))
	line("expect", v.expect)
	line("type", v.typ)
	line("message", v.message)
	if v.expect == "ok" {
		line("encodes-again", map[bool]string{true: "same", false: "differs"}[v.same])
	}
	line("answer", v.answer)
	b.WriteString("\n")
	for row := range slices.Chunk(v.payload, 32) {
		b.WriteString(hex.EncodeToString(row) + "\n")
	}
	return b.String()
}

func readVector(t *testing.T, path string) vector {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	v := vector{name: filepath.Base(path)}
	s := bufio.NewScanner(bytes.NewReader(data))
	s.Buffer(nil, 1<<20)
	seen := map[string]bool{}
	for s.Scan() && s.Text() != "" {
		key, value, ok := strings.Cut(s.Text(), ": ")
		if !ok || seen[key] {
			t.Fatalf("%s: bad or second line %q", path, s.Text())
		}
		seen[key] = true
		switch key {
		case "comment":
			v.comment = value
		case "max-body":
			if v.maxBody, err = strconv.Atoi(value); err != nil {
				t.Fatal(err)
			}
		case "expect":
			v.expect = value
		case "type":
			v.typ = value
		case "message":
			v.message = value
		case "encodes-again":
			v.same = value == "same"
		case "answer":
			v.answer = value
		default:
			t.Fatalf("%s: unknown key %q", path, key)
		}
	}
	var hexText strings.Builder
	for s.Scan() {
		hexText.WriteString(s.Text())
	}
	if v.payload, err = hex.DecodeString(hexText.String()); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return v
}

func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	paths, err := filepath.Glob(vectorDir + "/*.txt")
	if err != nil || len(paths) != len(vectors()) {
		t.Fatalf("%d files, %d vectors in the list (%v): run go test ./codec -run TestVectors -update", len(paths), len(vectors()), err)
	}
	layers := map[string]int{}
	for _, path := range paths {
		v := readVector(t, path)
		layers[v.expect]++
		t.Run(v.name, func(t *testing.T) { v.run(t) })
	}
	for _, l := range []codec.Layer{
		codec.LayerTruncated, codec.LayerMagic, codec.LayerVersion, codec.LayerHeaderCRC, codec.LayerReserved,
		codec.LayerType, codec.LayerLength, codec.LayerBodyCRC, codec.LayerCBOR, codec.LayerMessage, codec.LayerJob,
	} {
		if layers[string(l)] == 0 {
			t.Errorf("no vector expects layer %s", l)
		}
	}
}

// The files are what the list makes: a vector edited by hand, or a list that
// moved on, shows.
func TestVectorFilesAreCurrent(t *testing.T) {
	for _, v := range vectors() {
		got, err := os.ReadFile(filepath.Join(vectorDir, v.name))
		if err != nil || string(got) != v.String() {
			t.Errorf("%s is not current (%v): run go test ./codec -run TestVectors -update", v.name, err)
		}
	}
}

func writeVectors(t *testing.T) {
	t.Helper()
	old, err := filepath.Glob(vectorDir + "/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range vectors() {
		if err := os.WriteFile(filepath.Join(vectorDir, v.name), []byte(v.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// run reads the vector in several ways, which have to agree.
func (v vector) run(t *testing.T) {
	const after = "the next frame"
	for name, reader := range map[string]func(io.Reader) io.Reader{
		"whole":     func(r io.Reader) io.Reader { return r },
		"bytewise":  iotest.OneByteReader,
		"halves":    iotest.HalfReader,
		"data+EOF":  iotest.DataErrReader,
		"in sevens": func(r io.Reader) io.Reader { return &chunked{r, 7} },
	} {
		stream := bytes.NewReader(v.payload)
		f, err := codec.ReadFrame(reader(stream), v.maxBody)
		m, err := v.unmarshal(f, err)
		if got := layerOf(err); got != v.expect {
			t.Fatalf("%s: got %s (%v), want %s", name, got, err, v.expect)
		}
		v.checkMessage(t, f, m)
	}
	if v.expect != "ok" {
		return
	}
	stream := bytes.NewReader(append(slices.Clone(v.payload), after...))
	if _, err := codec.ReadFrame(stream, v.maxBody); err != nil || stream.Len() != len(after) {
		t.Errorf("%d bytes left after the frame, want %d (%v)", stream.Len(), len(after), err)
	}
	for n := range v.payload {
		_, err := codec.ReadFrame(bytes.NewReader(v.payload[:n]), v.maxBody)
		if n == 0 && err != io.EOF || n > 0 && layerOf(err) != string(codec.LayerTruncated) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

func (v vector) unmarshal(f codec.Frame, err error) (codec.Message, error) {
	if err != nil {
		return nil, err
	}
	return codec.Unmarshal(f)
}

func (v vector) checkMessage(t *testing.T, f codec.Frame, m codec.Message) {
	t.Helper()
	if v.expect != "ok" {
		if got := answerOf(m); got != v.answer {
			t.Errorf("answer: got %q, want %q", got, v.answer)
		}
		return
	}
	if got := f.Type.String(); got != v.typ {
		t.Errorf("type: got %s, want %s", got, v.typ)
	}
	frame, err := codec.AppendMessage(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	if got := bytes.Equal(frame, v.payload); got != v.same {
		t.Errorf("encodes again the same: got %v, want %v\n%x", got, v.same, frame)
	}
	var got, want any
	if err := json.Unmarshal([]byte(messageJSON(frame[codec.HeaderSize:])), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(v.message), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("message: got %v\nwant %v", got, want)
	}
}

func layerOf(err error) string {
	var fe *codec.FrameError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &fe):
		return string(fe.Layer)
	}
	return "another error"
}

func answerOf(m codec.Message) string {
	var seq uint64
	var id string
	switch m := m.(type) {
	case nil:
		return ""
	case codec.Submit:
		seq, id = m.Seq, m.ID
	case codec.Query:
		seq, id = m.Seq, m.ID
	default:
		return fmt.Sprintf("%T", m)
	}
	return fmt.Sprintf(`{"seq":%d,"id":%q}`, seq, id)
}

// messageJSON is a body as JSON, by way of neither the codec's structs nor its
// reader.
func messageJSON(body []byte) string {
	mode, err := cbor.DecOptions{DefaultMapType: reflect.TypeFor[map[string]any]()}.DecMode()
	if err != nil {
		panic(err)
	}
	var v any
	if err := mode.Unmarshal(body, &v); err != nil {
		panic(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// chunked reads at most n bytes at once.
type chunked struct {
	io.Reader
	n int
}

func (c *chunked) Read(p []byte) (int, error) { return c.Reader.Read(p[:min(len(p), c.n)]) }
