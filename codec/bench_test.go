package codec_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"fencepost/codec"
)

func benchRecord(script int) codec.Record {
	j := codec.Job{
		Name: "nightly-7", Script: "#!/bin/sh\n" + strings.Repeat("echo \"$1\" > out && date\n", script/24),
		Args: []string{"a", "b"}, Env: map[string]string{"K": "V"}, Resources: codec.Resources{CPUs: 1},
	}
	return codec.Record{ID: vectorID, Job: j, Client: "c", ReceivedAt: time.UnixMilli(1), ReceivedBy: "a", Digest: codec.Digest(j)}
}

// BenchmarkForms is each form's writer and reader beside a floor measured in
// the same run: one SHA-256 of the script.
func BenchmarkForms(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
		r := benchRecord(size)
		x, err := codec.EncodeXML(r)
		if err != nil {
			b.Fatal(err)
		}
		d, err := codec.EncodeJSON(r)
		if err != nil {
			b.Fatal(err)
		}
		frame, err := codec.AppendMessage(nil, codec.Submit{Seq: 1, ID: vectorID, Job: r.Job})
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range []struct {
			name string
			run  func() error
		}{
			{"floor-sha256", func() error { sha256.Sum256([]byte(r.Job.Script)); return nil }},
			{"digest", func() error { codec.Digest(r.Job); return nil }},
			{"xml-encode", func() error { _, err := codec.EncodeXML(r); return err }},
			{"xml-decode", func() error { _, err := codec.DecodeXML(x); return err }},
			{"json-encode", func() error { _, err := codec.EncodeJSON(r); return err }},
			{"json-decode", func() error { _, err := codec.DecodeJSON(d); return err }},
			{"submit-write", func() error {
				_, err := codec.AppendMessage(nil, codec.Submit{Seq: 1, ID: vectorID, Job: r.Job})
				return err
			}},
			{"submit-read", func() error {
				f, err := codec.ReadFrame(bytes.NewReader(frame), codec.MaxBody)
				if err != nil {
					return err
				}
				_, err = codec.Unmarshal(f)
				return err
			}},
		} {
			b.Run(fmt.Sprintf("%s/%dKiB", c.name, size>>10), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if err := c.run(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
