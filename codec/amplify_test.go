package codec_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"fencepost/codec"
)

// worst are bodies of SUBMIT, within the limit of a frame, that cost the most to read.
func worst(t *testing.T) map[string][]byte {
	t.Helper()
	enc, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	pairs := func(n int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprintf("%X", i)] = ""
		}
		return m
	}
	submit := func(more map[string]any) []byte {
		job := map[string]any{"name": "x", "script": "#!/bin/sh\n"}
		for k, v := range more {
			job[k] = v
		}
		body, err := enc.Marshal(map[string]any{"seq": 1, "id": vectorID, "job": job})
		if err != nil {
			t.Fatal(err)
		}
		if len(body) > codec.MaxBody {
			t.Fatalf("%d bytes", len(body))
		}
		return body
	}
	many := make([]string, 2_000_000)
	long := strings.Repeat("x", 1000)
	wide := map[string]string{}
	for i := range 512 {
		wide[fmt.Sprintf("K%d", i)] = long
	}
	unknown := map[string]any{"seq": 1, "id": vectorID, "job": map[string]any{}}
	for i := range 60_000 {
		unknown[fmt.Sprintf("%X", i)] = 0
	}
	top, err := enc.Marshal(unknown)
	if err != nil {
		t.Fatal(err)
	}
	nested := strings.Repeat("x", 2_000_000)
	return map[string][]byte{
		"args":          submit(map[string]any{"args": many}),
		"args 131072":   submit(map[string]any{"args": many[:131072], "command": many[:131072]}),
		"maps":          submit(map[string]any{"env": pairs(131072), "labels": pairs(131072)}),
		"map too large": submit(map[string]any{"env": pairs(60_000)}),
		"unknown keys":  top,
		"job's keys": submit(func() map[string]any {
			m := map[string]any{}
			for k := range pairs(60_000) {
				m[k] = 0
			}
			return m
		}()),
		"legal": submit(map[string]any{"args": slices.Repeat([]string{long}, 1024), "env": wide}),
		"small": submit(map[string]any{"args": many[:1024], "command": many[:1024], "env": pairs(2000), "labels": pairs(800)}),
		"text":  submit(map[string]any{"workdir": nested}),
	}
}

// TestAmplification: a body that is refused costs little more than its bytes,
// whatever it holds, and none costs more than a legal job: the server's memory
// rests on that.
func TestAmplification(t *testing.T) {
	for what, body := range worst(t) {
		took, err := allocates(body)
		t.Logf("%-14s %8d bytes: %8d; %.90v", what, len(body), took, err)
		most := 4*int64(len(body)) + 1<<20
		if err == nil {
			most = 15 * int64(len(body)) // most of it garbage at once: a legal job is decoded, and encoded for its checks
		}
		if took > most {
			t.Errorf("%s: reading %d bytes allocates %d, more than %d", what, len(body), took, most)
		}
	}
}

// allocates is what reading a body takes, the least of several times: the race
// detector has pools of buffers forget some at random, and then they are made anew.
func allocates(body []byte) (least int64, err error) {
	for i := range 10 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		_, err = codec.Unmarshal(codec.Frame{Type: codec.TypeSubmit, Body: body})
		runtime.ReadMemStats(&after)
		if took := int64(after.TotalAlloc - before.TotalAlloc); i == 0 || took < least {
			least = took
		}
	}
	return least, err
}
