package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestProgress(t *testing.T) {
	dir := t.TempDir()
	lines, one := filepath.Join(dir, "l"), filepath.Join(dir, "o")
	for f, text := range map[string]string{lines: "{}\n\n{}\n{}", one: "{\n}\n"} {
		if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		files []string
		lines bool
		want  int
	}{{[]string{one, one}, false, 2}, {[]string{lines, lines}, true, 6}, {[]string{one, "-"}, false, 0}, {[]string{dir}, false, 0}, {[]string{one + "x"}, true, 0}} {
		if got := documents(c.files, c.lines); got != c.want {
			t.Errorf("%+v: got %d", c, got)
		}
	}
	var out bytes.Buffer
	p := &progress{w: &out, started: time.Now()}
	p.show(1, "too soon")
	if out.Len() > 0 {
		t.Errorf("got %q within a second", out.String())
	}
	p.started, p.total = p.started.Add(-90*time.Second), 8
	p.show(2, "2 accepted, 0 not")
	if want := "\r\033[K[######                  ]  25 % 2 accepted, 0 not, 1m30s"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	out.Reset()
	p.last, p.total = time.Time{}, 0
	p.show(2, "2 accepted, 0 not")
	if strings.Contains(out.String(), "[#") || !strings.Contains(out.String(), "2 accepted") {
		t.Errorf("without a total: got %q", out.String())
	}
}
