package codec_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"fencepost/codec"
)

func TestRoundTripXML(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkDocument(t, codec.EncodeXML, codec.DecodeXML) })
}

func TestRoundTripJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkDocument(t, codec.EncodeJSON, codec.DecodeJSON) })
}

func checkDocument(t *rapid.T, encode func(codec.Record) ([]byte, error), decode func([]byte) (codec.Record, error)) {
	want := records().Draw(t, "record")
	doc, err := encode(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode(doc)
	if err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	if !reflect.DeepEqual(got, normal(want)) {
		t.Fatalf("got %+v\nwant %+v\n%s", got, normal(want), doc)
	}
	again, err := encode(got)
	if err != nil || !bytes.Equal(again, doc) {
		t.Fatalf("second encoding differs (%v):\n%s\n%s", err, again, doc)
	}
}

// The stages change the form, never the job: XML to JSON and back.
func TestRoundTripThroughStages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := records().Draw(t, "record")
		x, err := codec.EncodeXML(want)
		if err != nil {
			t.Fatal(err)
		}
		r, err := codec.DecodeXML(x)
		if err != nil {
			t.Fatal(err)
		}
		j, err := codec.EncodeJSON(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := codec.DecodeJSON(j)
		if err != nil {
			t.Fatal(err)
		}
		if !got.Equal(want) || codec.Digest(got.Job) != want.Digest {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	})
}

func TestRoundTripSubmit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := codec.Submit{
			Seq: rapid.Uint64Min(1).Draw(t, "seq"), ID: ids().Draw(t, "id"), Job: jobs().Draw(t, "job"),
		}
		if rapid.Bool().Draw(t, "digest?") {
			want.Digest = codec.Digest(want.Job)
		}
		frame, err := codec.AppendMessage(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		f, err := codec.ReadFrame(bytes.NewReader(frame), codec.MaxBody)
		if err != nil {
			t.Fatal(err)
		}
		got, err := codec.Unmarshal(f)
		if err != nil {
			t.Fatal(err)
		}
		want.Job = normalJob(want.Job)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
	})
}

// A client's document is the job's JSON, so encoding/json's own encoder is a
// second writer to read from.
func TestRoundTripJobDocument(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := jobs().Draw(t, "job")
		doc, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, id, err := codec.ParseJob(doc)
		if err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		if !reflect.DeepEqual(got, normalJob(want)) || id != "" {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
	})
}

func TestSizeAndDigest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := jobs().Draw(t, "job")
		b := codec.EncodeCBOR(j)
		if got, want := j.Size(), len(b); got != want {
			t.Fatalf("size: got %d, want %d", got, want)
		}
		sum := sha256.Sum256(b)
		if got, want := codec.Digest(j), hex.EncodeToString(sum[:]); got != want {
			t.Fatalf("digest: got %s, want %s", got, want)
		}
		if codec.Digest(normalJob(j)) != codec.Digest(j) {
			t.Fatal("digest depends on empty or nil")
		}
	})
}
