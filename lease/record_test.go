package lease_test

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"reflect"
	"strings"
	"testing"
	"time"

	"fencepost/lease"
	"fencepost/spool"
)

func sample() lease.Record {
	return lease.Record{Host: "a.b-1", Epoch: 7, Counter: 99, Nonce: "n", MachineID: "m", BootID: "b", PID: 5,
		Since: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), At: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC),
		Goodbye: true, Draining: true, Unfit: "why <&> \"so\"", Died: 6, Version: "v", ConfigDigest: "c", Listen: "l:1", HTTP: "h:2",
		Stages: []lease.StageState{{Stage: spool.Translate, Fit: true}, {Stage: spool.Submit, Reason: "munge"}},
		Claims: 3, Interval: time.Second, TTL: 10 * time.Second}
}

func mustEncode(t testing.TB, r lease.Record) []byte {
	t.Helper()
	data, err := lease.EncodeRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) != lease.RecordSize {
		t.Fatalf("got %d bytes, want %d", len(data), lease.RecordSize)
	}
	return data
}

func TestRecordRoundTrip(t *testing.T) {
	got, err := lease.DecodeRecord(mustEncode(t, sample()))
	if err != nil {
		t.Fatal(err)
	}
	if want := sample(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestRecordCutsTexts(t *testing.T) {
	r := sample()
	long := strings.Repeat("ü\"\x00\\", 4000)
	r.Unfit, r.Version, r.Listen, r.Stages = long, long, long, nil
	for range 20 {
		r.Stages = append(r.Stages, lease.StageState{Stage: spool.Submit, Reason: long})
	}
	got, err := lease.DecodeRecord(mustEncode(t, r))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(got.Unfit, "ü\" \\ü") || len(got.Stages) != 8 || got.Epoch != 7 {
		t.Errorf("got %+v", got)
	}
}

func TestRecordTorn(t *testing.T) {
	whole := mustEncode(t, sample())
	next := sample()
	next.Counter, next.Unfit = 100, "something longer than before"
	other := mustEncode(t, next)
	torn := map[string][]byte{
		"empty": nil, "short": whole[:100], "zeros": make([]byte, lease.RecordSize),
		"long": append(bytes.Clone(whole), ' '), "garbage": bytes.Repeat([]byte("x"), lease.RecordSize),
		"padding": append(bytes.Clone(whole[:lease.RecordSize-2]), "x\n"...),
	}
	for _, at := range []int{10, 30, 40, 200, 400} {
		torn["mixed at "+string(rune('0'+at/100))+"xx"] = append(bytes.Clone(other[:at]), whole[at:]...)
	}
	for name, data := range torn {
		if _, err := lease.DecodeRecord(data); !errors.Is(err, lease.ErrTorn) {
			t.Errorf("%s: got %v, want %v", name, err, lease.ErrTorn)
		}
	}
}

func TestRecordNotUnderstood(t *testing.T) {
	version2 := bytes.Replace(mustEncode(t, sample()), []byte("heartbeat 1 "), []byte("heartbeat 2 "), 1)
	if _, err := lease.DecodeRecord(version2); err == nil || errors.Is(err, lease.ErrTorn) || !strings.Contains(err.Error(), "version") {
		t.Errorf("version 2: got %v, want one about the version", err)
	}
	for name, change := range map[string]func(*lease.Record){
		"host":     func(r *lease.Record) { r.Host = "A" },
		"epoch":    func(r *lease.Record) { r.Epoch = 0 },
		"claims":   func(r *lease.Record) { r.Claims = -1 },
		"interval": func(r *lease.Record) { r.Interval = 0 },
		"ttl":      func(r *lease.Record) { r.TTL = 1000 * time.Hour },
	} {
		r := sample()
		change(&r)
		if _, err := lease.EncodeRecord(r); err == nil {
			t.Errorf("%s: encoded", name)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(mustEncode(f, sample()))
	f.Add([]byte("fencepost-heartbeat 1 0002 00000000\n{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := lease.DecodeRecord(data)
		if err != nil {
			return
		}
		again, err := lease.EncodeRecord(r)
		if err != nil {
			t.Fatalf("decoded %+v, can't be encoded: %v", r, err)
		}
		if r2, err := lease.DecodeRecord(again); err != nil || r2.Epoch != r.Epoch || r2.Counter != r.Counter || r2.TTL != r.TTL {
			t.Fatalf("got %+v, %v, want %+v", r2, err, r)
		}
	})
}

// FuzzRecordBody gets past the checksum, which bytes at random never do: whatever
// somebody writes under a right one, a record that is taken is one that could be
// written.
func FuzzRecordBody(f *testing.F) {
	const headerSize = len("fencepost-heartbeat 1 0000 00000000\n")
	whole := mustEncode(f, sample())
	f.Add(bytes.TrimRight(whole[headerSize:], " \n"))
	for _, s := range []string{"", "{}", "null", "[]", `{"host":"a"}`, `{"host":"a","epoch":1,"interval":"1s","ttl":"10s"}`,
		`{"host":"a","epoch":1,"interval":"1s","ttl":"10s","unfit":"\u001b[31m\n","stages":[{"stage":"x","reason":"\u202e"}]}`,
		`{"host":"a","epoch":18446744073709551615,"counter":1e3,"interval":"-1s","ttl":"10s"}`, `{"host":"a","host":"b"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > lease.RecordSize-headerSize-1 {
			return
		}
		data := fmt.Appendf(nil, "fencepost-heartbeat 1 %04d %08x\n", len(body), crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
		data = append(append(data, body...), bytes.Repeat([]byte{' '}, lease.RecordSize-headerSize-1-len(body))...)
		r, err := lease.DecodeRecord(append(data, '\n'))
		if errors.Is(err, lease.ErrTorn) {
			t.Fatalf("%q: %v", body, err)
		}
		if err != nil {
			return
		}
		again, err := lease.EncodeRecord(r)
		if err != nil {
			t.Fatalf("decoded %+v, can't be encoded: %v", r, err)
		}
		if r2, err := lease.DecodeRecord(again); err != nil || r2.Epoch != r.Epoch || r2.Counter != r.Counter || r2.TTL != r.TTL || r2.Host != r.Host {
			t.Fatalf("got %+v, %v, want %+v", r2, err, r)
		}
	})
}

func FuzzEncodeRecord(f *testing.F) {
	f.Add("v", "reason", uint64(1), int64(time.Second))
	f.Fuzz(func(t *testing.T, text, reason string, n uint64, d int64) {
		r := sample()
		r.Version, r.Unfit, r.Stages[1].Reason, r.Counter, r.Interval = text, reason, reason, n, time.Duration(d)
		data, err := lease.EncodeRecord(r)
		if err != nil {
			return
		}
		got, err := lease.DecodeRecord(data)
		if err != nil {
			t.Fatalf("encoded %+v, can't be decoded: %v", r, err)
		}
		if again := mustEncode(t, got); !bytes.Equal(again, data) {
			t.Fatalf("encoded again: got %q, want %q", again, data)
		}
	})
}
