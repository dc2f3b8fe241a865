package codec_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"reflect"
	"slices"
	"testing"
	"time"

	"fencepost/codec"
)

// FuzzReadFrame: no panic, no more taken than the frame, the same result
// however the bytes are split, and what is accepted is what AppendFrame makes.
func FuzzReadFrame(f *testing.F) {
	for _, v := range vectors() {
		f.Add(v.payload, uint8(3))
	}
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		const maxBody = 1 << 16
		stream := bytes.NewReader(data)
		whole, err := codec.ReadFrame(stream, maxBody)
		split, splitErr := codec.ReadFrame(&chunked{bytes.NewReader(data), 1 + int(step)}, maxBody)
		if layerOf(err) != layerOf(splitErr) || !reflect.DeepEqual(whole, split) {
			t.Fatalf("whole: %v, split: %v", err, splitErr)
		}
		if err != nil {
			return
		}
		used := len(data) - stream.Len()
		if again := codec.AppendFrame(nil, whole.Type, whole.Body); !bytes.Equal(again, data[:used]) {
			t.Fatalf("got %x, want %x", again, data[:used])
		}
	})
}

// FuzzUnmarshal: no panic, and what is accepted marshals to a message that is
// read the same; to the same bytes unless keys were ignored.
func FuzzUnmarshal(f *testing.F) {
	for _, v := range vectors() {
		if fr, err := codec.ReadFrame(bytes.NewReader(v.payload), v.maxBody); err == nil {
			f.Add(uint8(fr.Type), fr.Body)
		}
	}
	f.Fuzz(func(t *testing.T, typ uint8, body []byte) {
		m, err := codec.Unmarshal(codec.Frame{Type: codec.FrameType(typ), Body: body})
		if err != nil {
			if got := layerOf(err); !slices.Contains([]string{"type", "cbor", "message", "job"}, got) {
				t.Fatalf("layer %s: %v", got, err)
			}
			return
		}
		kind, again, err := codec.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if len(again) > len(body) || len(again) == len(body) && !bytes.Equal(again, body) {
			t.Fatalf("got %x, want %x", again, body)
		}
		second, err := codec.Unmarshal(codec.Frame{Type: kind, Body: again})
		if err != nil || !reflect.DeepEqual(second, m) {
			t.Fatalf("got %+v, want %+v (%v)", second, m, err)
		}
	})
}

// plainRecord is a record as encoding/xml and encoding/json read it by
// themselves: the differential's other side.
type plainRecord struct {
	XMLName     xml.Name          `xml:"job" json:"-"`
	ID          string            `xml:"id" json:"id"`
	Client      string            `xml:"client" json:"client"`
	ReceivedAt  string            `xml:"received_at" json:"received_at"`
	ReceivedBy  string            `xml:"received_by" json:"received_by"`
	Digest      string            `xml:"digest" json:"digest"`
	Name        string            `xml:"name" json:"name"`
	Owner       string            `xml:"owner" json:"owner"`
	Environment string            `xml:"environment" json:"environment"`
	Queue       string            `xml:"queue" json:"queue"`
	CPUs        int               `xml:"resources>cpus" json:"-"`
	MemoryMB    int64             `xml:"resources>memory_mb" json:"-"`
	TimeLimit   int64             `xml:"resources>time_limit_seconds" json:"-"`
	Resources   codec.Resources   `xml:"-" json:"resources"`
	Workdir     string            `xml:"workdir" json:"workdir"`
	LabelList   []plainPair       `xml:"labels>label" json:"-"`
	EnvList     []plainPair       `xml:"env>var" json:"-"`
	Labels      map[string]string `xml:"-" json:"labels"`
	Env         map[string]string `xml:"-" json:"env"`
	Command     []string          `xml:"command>arg" json:"command"`
	Args        []string          `xml:"args>arg" json:"args"`
	Script      string            `xml:"script" json:"script"`
}

type plainPair struct {
	Name  string `xml:"name,attr"`
	Value string `xml:",chardata"`
}

func (p plainRecord) record(t *testing.T) codec.Record {
	at, err := time.Parse(time.RFC3339Nano, p.ReceivedAt)
	if err != nil {
		t.Fatal(err)
	}
	return codec.Record{
		ID: p.ID, Client: p.Client, ReceivedAt: at, ReceivedBy: p.ReceivedBy, Digest: p.Digest,
		Job: codec.Job{
			Name: p.Name, Script: p.Script, Command: p.Command, Args: p.Args, Owner: p.Owner,
			Environment: p.Environment, Queue: p.Queue, Resources: p.Resources, Env: p.Env,
			Labels: p.Labels, Workdir: p.Workdir,
		},
	}
}

func collect(list []plainPair) map[string]string {
	m := map[string]string{}
	for _, p := range list {
		m[p.Name] = p.Value
	}
	return m
}

// FuzzXML: what our reader accepts, encoding/xml reads the same, and to its
// end; and it is the same job after another round, and as JSON.
func FuzzXML(f *testing.F) {
	for _, d := range documents() {
		if d.format() == "xml" {
			f.Add([]byte(d.text))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := codec.DecodeXML(data)
		if err != nil {
			return
		}
		var p plainRecord
		dec := xml.NewDecoder(bytes.NewReader(data))
		if err := dec.Decode(&p); err != nil {
			t.Fatalf("encoding/xml: %v", err)
		}
		if tok, err := dec.Token(); err != io.EOF {
			if _, ok := tok.(xml.CharData); !ok {
				t.Fatalf("after the end: %v, %v", tok, err)
			}
		}
		p.Resources = codec.Resources{CPUs: p.CPUs, MemoryMB: p.MemoryMB, TimeLimitSeconds: p.TimeLimit}
		p.Labels, p.Env = collect(p.LabelList), collect(p.EnvList)
		if want := p.record(t); !got.Equal(want) {
			t.Fatalf("got %+v\nencoding/xml %+v", got, want)
		}
		doc, err := codec.EncodeXML(got)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := codec.DecodeXML(doc); err != nil || !again.Equal(got) {
			t.Fatalf("again: %+v (%v), want %+v", again, err, got)
		}
		// What the translate stage makes of it is the same job.
		j, err := codec.EncodeJSON(got)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := codec.DecodeJSON(j); err != nil || !again.Equal(got) {
			t.Fatalf("as JSON: %+v (%v), want %+v", again, err, got)
		}
	})
}

// FuzzJSON: the same, of the JSON stage and of job documents.
func FuzzJSON(f *testing.F) {
	for _, d := range documents() {
		if d.format() != "xml" {
			f.Add([]byte(d.text))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := codec.DecodeJSON(data); err == nil {
			var p plainRecord
			if err := json.Unmarshal(data, &p); err != nil {
				t.Fatalf("encoding/json: %v", err)
			}
			if want := p.record(t); !got.Equal(want) {
				t.Fatalf("got %+v\nencoding/json %+v", got, want)
			}
			doc, err := codec.EncodeJSON(got)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := codec.DecodeJSON(doc); err != nil || !again.Equal(got) {
				t.Fatalf("again: %+v (%v), want %+v", again, err, got)
			}
		}
		if got, _, err := codec.ParseJob(data); err == nil {
			var want codec.Job
			if err := json.Unmarshal(data, &want); err != nil {
				t.Fatalf("encoding/json: %v", err)
			}
			if !got.Equal(want) {
				t.Fatalf("got %+v\nencoding/json %+v", got, want)
			}
		}
	})
}

// FuzzRoundTrip: text that Validate lets pass comes back from every form as it
// was, in every place that takes text.
func FuzzRoundTrip(f *testing.F) {
	for _, s := range nasty {
		f.Add(s, s, s)
	}
	f.Fuzz(func(t *testing.T, script, arg, label string) {
		j := codec.Job{
			Name: "a", Script: "#!/bin/sh\n" + script, Args: []string{arg, "", arg + "x"},
			Env: map[string]string{"A": arg}, Labels: map[string]string{"a": label}, Workdir: "/" + label,
		}
		r := codec.Record{ID: vectorID, Job: j, Client: "c", ReceivedAt: time.UnixMilli(1), ReceivedBy: "a", Digest: codec.Digest(j)}
		if j.Validate() != nil {
			return
		}
		x, err := codec.EncodeXML(r)
		if err != nil {
			t.Fatal(err)
		}
		fromX, err := codec.DecodeXML(x)
		if err != nil || !fromX.Equal(r) {
			t.Fatalf("xml: %+v (%v)\n%s", fromX, err, x)
		}
		d, err := codec.EncodeJSON(r)
		if err != nil {
			t.Fatal(err)
		}
		fromD, err := codec.DecodeJSON(d)
		if err != nil || !fromD.Equal(r) {
			t.Fatalf("json: %+v (%v)\n%s", fromD, err, d)
		}
		kind, body, err := codec.Marshal(codec.Submit{Seq: 1, ID: vectorID, Job: j})
		if err != nil {
			t.Fatal(err)
		}
		m, err := codec.Unmarshal(codec.Frame{Type: kind, Body: body})
		if err != nil || !m.(codec.Submit).Job.Equal(j) {
			t.Fatalf("cbor: %+v (%v)", m, err)
		}
	})
}
