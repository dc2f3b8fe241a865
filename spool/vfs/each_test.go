package vfs_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"fencepost/spool/vfs"
)

// TestEachIsList: a listing of more than one buffer has each name once, as List has
// it, whole, also the longest.
func TestEachIsList(t *testing.T) {
	root := t.TempDir()
	fs, err := vfs.OpenOS(root)
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	for i := range 3000 {
		name := fmt.Sprintf("%s/%04d%s", root, i, strings.Repeat("n", i%252))
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := fs.List(".")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := fs.Each(".", func(name string) { got = append(got, strings.Clone(name)) }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	slices.Sort(got)
	if len(want) != 3000 || !slices.Equal(got, want) {
		t.Errorf("%d names, List has %d", len(got), len(want))
	}
	if err := fs.Each("missing", func(string) {}); !os.IsNotExist(err) {
		t.Errorf("a directory that isn't there: %v", err)
	}
}
