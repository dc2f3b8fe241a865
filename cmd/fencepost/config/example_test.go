package config_test

import (
	"regexp"
	"strings"
	"testing"

	"fencepost/cmd/fencepost/config"
)

// TestExample: as it is, it changes nothing; with every line made to count, it
// sets every setting that isn't a table, to its default.
func TestExample(t *testing.T) {
	load := func(text string) *config.Loaded {
		l, err := config.Load(config.Sources{File: "f", ReadFile: func(string) ([]byte, error) { return []byte(text), nil }})
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return l
	}
	text := config.Example()
	def, all := config.Default(), load(regexp.MustCompile(`(?m)^#([a-z_]+ = )`).ReplaceAllString(text, "$1"))
	set := 0
	for _, s := range config.Settings() {
		for what, l := range map[string]*config.Loaded{"as it is": load(text), "uncommented": all} {
			if l.Text(s) != def.Text(s) {
				t.Errorf("%s, %s: %q, want %q", what, s.Key, l.Text(s), def.Text(s))
			}
		}
		if load(text).Origin(s) != "default" {
			t.Errorf("%s is set", s.Key)
		}
		if all.Origin(s) == "file f" {
			set++
		}
		if !strings.Contains(text, s.Help) {
			t.Errorf("%s isn't explained", s.Key)
		}
	}
	if tables := len(regexp.MustCompile(`(?m)^# \[\w.*, with `).FindAllString(text, -1)); set+tables != len(config.Settings()) {
		t.Errorf("%d settings and %d tables, want %d", set, tables, len(config.Settings()))
	}
}
