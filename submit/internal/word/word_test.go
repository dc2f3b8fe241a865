package word_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"fencepost/submit/internal/word"
)

func TestID(t *testing.T) {
	tests := []struct {
		name, out, want string
		ok              bool
	}{
		{"plain", "17\n", "17", true},
		{"no newline", "17", "17", true},
		{"carriage return", "17\r\n", "17", true},
		{"blanks around", "  17 \n", "17", true},
		{"cluster", "17;main\n", "17;main", true},
		{"words", "job 17 of main\n", "job 17 of main", true},
		{"longest", strings.Repeat("a", 100), strings.Repeat("a", 100), true},
		{"empty", "", "", false},
		{"only a newline", "\n", "", false},
		{"two lines", "17\n18\n", "", false},
		{"noise first", "warning\n17\n", "", false},
		{"too long", strings.Repeat("a", 101), "", false},
		{"too long encoded", strings.Repeat("/", 34), "", false},
		{"control", "1\x007", "", false},
		{"escape", "\x1b[31m7", "", false},
		{"not UTF-8", "\xff17", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := word.ID([]byte(tt.out))
			if (err == nil) != tt.ok || tt.ok && got != tt.want {
				t.Errorf("got %q, %v, want %q, ok %v", got, err, tt.want, tt.ok)
			}
		})
	}
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte("a\nb\x1b[1m\xff"))
	f.Add([]byte(strings.Repeat("ä", 300)))
	f.Fuzz(func(t *testing.T, b []byte) {
		got := word.Message(b)
		if len(got) > word.MaxMessage+3 || !utf8.ValidString(got) {
			t.Fatalf("got %q", got)
		}
		for _, r := range got {
			if unicode.IsControl(r) {
				t.Fatalf("control character in %q", got)
			}
		}
	})
}
