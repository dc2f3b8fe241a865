package show_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode"

	"fencepost/cmd/fencepost/show"
)

func TestClean(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain text", "plain text"},
		{"Grüße, 世界", "Grüße, 世界"},
		{"a\tb\nc\rd", `a\tb\nc\rd`},
		{"\x1b[31m", `\x1b[31m`},
		{"\x00\x7f", `\x00\x7f`},
		{"\u009b31m", `\u009b31m`},
		{"\u202eevil", `\u202eevil`},
		{"bad \xff\xc3", `bad \xff\xc3`},
	} {
		if got := show.Clean(c.in); got != c.want {
			t.Errorf("%q: got %s, want %s", c.in, got, c.want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x1b\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := show.Clean(s)
		if strings.ContainsFunc(got, unicode.IsControl) {
			t.Errorf("%q: %q", s, got)
		}
		if show.Clean(got) != got {
			t.Errorf("%q: cleaned twice differs", s)
		}
		var b bytes.Buffer
		if err := show.JSON(&b, "x", map[string]string{"s": s}); err != nil {
			t.Fatal(err)
		}
		var back map[string]string
		if err := json.Unmarshal(b.Bytes(), &back); err != nil || back["s"] != strings.ToValidUTF8(s, "\ufffd") && !strings.Contains(back["s"], "\ufffd") {
			t.Errorf("%q: came back as %q, %v", s, back["s"], err)
		}
		if strings.ContainsFunc(strings.ReplaceAll(b.String(), "\n", ""), unicode.IsControl) {
			t.Errorf("%q: %q", s, b.String())
		}
	})
}

func table(o *show.Out) string {
	t := o.Table("HOST", "STATE", "REASON")
	t.Row("a", "live", "-")
	t.MarkedRow(show.Bad, "long-name", "unfit", "no\tsbatch\x1b")
	t.End()
	o.Cells(show.Warn, "DEGRADED", "spool /x")
	o.Note("only for people")
	return ""
}

func TestTable(t *testing.T) {
	for _, c := range []struct {
		name string
		out  func(*bytes.Buffer) *show.Out
		want string
	}{
		{"piped", func(b *bytes.Buffer) *show.Out { return show.NewOut(b, nil) },
			"HOST\tSTATE\tREASON\na\tlive\t-\nlong-name\tunfit\tno\\tsbatch\\x1b\nDEGRADED\tspool /x\n"},
		{"terminal", func(b *bytes.Buffer) *show.Out { return show.NewPretty(b, false) },
			"HOST       STATE  REASON\na          live   -\nlong-name  unfit  no\\tsbatch\\x1b\nDEGRADED  spool /x\nonly for people\n"},
		{"colour", func(b *bytes.Buffer) *show.Out { return show.NewPretty(b, true) },
			"HOST       STATE  REASON\na          live   -\n\x1b[31;1mlong-name\x1b[0m  unfit  no\\tsbatch\\x1b\n\x1b[33mDEGRADED\x1b[0m  spool /x\nonly for people\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			o := c.out(&b)
			table(o)
			if err := o.Flush(); err != nil || b.String() != c.want {
				t.Errorf("got  %q, %v\nwant %q", b.String(), err, c.want)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	type inner struct {
		Z int    `json:"z"`
		A string `json:"a"`
	}
	var b bytes.Buffer
	if err := show.JSON(&b, "thing", struct {
		List []inner `json:"list"`
		Big  uint64  `json:"big"`
	}{[]inner{{1, "<&>\u009b"}}, 1 << 63}); err != nil {
		t.Fatal(err)
	}
	want := "{\n  \"big\": 9223372036854775808,\n  \"list\": [\n    {\n      \"a\": \"<&>\\u009b\",\n      \"z\": 1\n    }\n  ],\n  \"schema\": \"fencepost.thing/v1\"\n}\n"
	if b.String() != want {
		t.Errorf("got  %s\nwant %s", b.String(), want)
	}
	b.Reset()
	if err := show.JSONLines(&b, "n", slices.Values([]inner{{1, "x"}, {2, "y"}})); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "{\"a\":\"x\",\"schema\":\"fencepost.n/v1\",\"z\":1}\n{\"a\":\"y\",\"schema\":\"fencepost.n/v1\",\"z\":2}\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
