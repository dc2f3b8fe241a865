package spool_test

import (
	"slices"
	"testing"

	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/vfs"
)

// countingFS counts listings.
type countingFS struct {
	vfs.FS
	lists []string
}

func (f *countingFS) List(dir string) ([]string, error) {
	f.lists = append(f.lists, dir)
	return f.FS.List(dir)
}

// A prefix costs the listings of the buckets that can hold it, and finds what a
// listing of all of them finds.
func TestAcceptedLike(t *testing.T) {
	dir := t.TempDir()
	osfs, err := vfs.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer osfs.Close()
	fs := &countingFS{FS: osfs}
	f, err := spool.NewFormat()
	if err != nil {
		t.Fatal(err)
	}
	s := spool.New(env.NewReal(fs), f)
	ids := []string{"01900000-0000-7000-8000-00000000000a", "01900000-1000-7000-8000-00000000000b", "01900010-0000-7000-8000-00000000000c",
		"0190aaaa-0000-4000-8000-00000000000a", "f1900000-0000-4000-8000-0000000000ff"}
	made := map[string]bool{}
	for _, d := range []string{spool.DirGate} {
		if err := fs.Mkdir(d); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range ids {
		if b := spool.DirGate + "/" + spool.Bucket(id); !made[b] {
			made[b] = true
			if err := fs.Mkdir(b); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := fs.Create(spool.GatePath(id), nil); err != nil {
			t.Fatal(err)
		}
	}
	for prefix, want := range map[string]struct{ found, lists int }{"": {5, 5}, "0": {4, 5}, "0190": {4, 5}, "01900000": {2, 4}, "01900000-0000-7": {1, 2},
		"01900000-0": {1, 4}, "f": {1, 3}, "f1900000-0000-4": {1, 3}, "0190aaaa-0000-4000-8000-00000000000a": {1, 3}, "8": {0, 3}} {
		fs.lists = nil
		var got []string
		if err := s.AcceptedLike(prefix, func(id string) { got = append(got, id) }); err != nil {
			t.Fatal(err)
		}
		if len(got) != want.found || len(fs.lists) != want.lists {
			t.Errorf("%q: found %v with %d listings (%v), want %d with %d", prefix, got, len(fs.lists), fs.lists, want.found, want.lists)
		}
		for _, id := range got {
			if !slices.Contains(ids, id) {
				t.Errorf("%q: found %s", prefix, id)
			}
		}
	}
}
