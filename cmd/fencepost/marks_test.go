package main

import (
	"errors"
	"testing"
	"time"

	"fencepost/cmd/fencepost/config"
	"fencepost/cmd/fencepost/ingest"
	"fencepost/codec"
)

func TestMarks(t *testing.T) {
	const gib = 1 << 30
	plenty := room{bytes: 100 * gib, freeBytes: 50 * gib, files: 1e6, freeFiles: 1e5}
	now := time.Unix(0, 0)
	depth, left, looks := 0, plenty, 0
	var lookErr error
	m := &marks{limits: config.Limits{Depth: 100, FreeSpace: gib, FreeFiles: 1000}, now: func() time.Time { return now },
		depth: func() (int, error) { return depth, lookErr }, room: func() (room, error) { looks++; return left, lookErr }}
	with := func(change func(*room)) room { r := plenty; change(&r); return r }
	for _, c := range []struct {
		what  string
		depth int
		left  room
		code  codec.Code
	}{
		{"plenty", 0, plenty, ""},
		{"99 wait", 99, plenty, ""},
		{"100 wait", 100, plenty, codec.CodeBusy},
		{"a few less", 91, plenty, codec.CodeBusy},
		{"enough less", 89, plenty, ""},
		{"no room", 0, with(func(r *room) { r.freeBytes = gib - 1 }), codec.CodeNoSpace},
		{"a little more", 0, with(func(r *room) { r.freeBytes = gib + 1 }), codec.CodeNoSpace},
		{"enough", 0, with(func(r *room) { r.freeBytes = 2 * gib }), ""},
		{"no files", 0, with(func(r *room) { r.freeFiles = 999 }), codec.CodeNoSpace},
		{"a file system that doesn't count files", 0, with(func(r *room) { r.files, r.freeFiles = 0, 0 }), ""},
		// The mark is at most a twentieth of a small share.
		{"a small share", 0, room{bytes: 1000, freeBytes: 51}, ""},
		{"a small share, full", 0, room{bytes: 1000, freeBytes: 49}, codec.CodeNoSpace},
		{"again plenty", 0, plenty, ""},
	} {
		now = now.Add(time.Minute)
		depth, left = c.depth, c.left
		var r *ingest.Refusal
		err := m.check()
		if errors.As(err, &r); (err == nil) != (c.code == "") || err != nil && (r.Code != c.code || r.RetryAfter != fullRetry) {
			t.Errorf("%s: got %v, want %q", c.what, err, c.code)
		}
	}
	// Between two looks nothing is asked of the share.
	before := looks
	left.freeBytes = 0
	for range 100 {
		if err := m.check(); err != nil {
			t.Fatal(err)
		}
	}
	if looks != before {
		t.Errorf("looked %d times", looks-before)
	}
	// A share that can't be asked is no reason: the write will say.
	now, lookErr, depth = now.Add(time.Minute), errors.New("no"), 1000
	if err := m.check(); err != nil {
		t.Error(err)
	}
}
