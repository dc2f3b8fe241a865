package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestRunbook holds the runbook's headings against what the program says: every
// problem of status, every exit code, and the four parts below each heading.
func TestRunbook(t *testing.T) {
	data, err := os.ReadFile("../../docs/ops/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	var headings []string
	for _, section := range strings.Split("\n"+string(data), "\n## ")[1:] {
		title, body, _ := strings.Cut(section, "\n")
		headings = append(headings, title)
		for _, part := range []string{"Meaning", "Impact", "Diagnosis", "Mitigation"} {
			if !strings.Contains(body, "**"+part+".**") {
				t.Errorf("%s: no %s", title, part)
			}
		}
	}
	source, err := os.ReadFile("cmd_status.go")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"silent", "unfit", "fenced"} // states of hosts
	for _, m := range regexp.MustCompile(`add\([a-zA-Z]+, "([a-z-]+)"`).FindAllStringSubmatch(string(source), -1) {
		want = append(want, m[1])
	}
	for _, e := range exitTexts {
		if e.code != exitOK {
			want = append(want, fmt.Sprintf("exit %d", e.code))
		}
	}
	for _, w := range want {
		if !slices.Contains(headings, w) {
			t.Errorf("docs/ops/runbook.md has no heading %q", w)
		}
	}
}
