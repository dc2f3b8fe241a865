package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"fencepost/lease"
	"fencepost/spool"
)

// TestRunbook holds the runbook's headings against what the program says, both
// ways: every problem of status, every exit code, every part that an alert names,
// every event that the journal's reader should know, and none besides. Below each
// stand its four parts.
func TestRunbook(t *testing.T) {
	headings := runbookHeadings(t)
	want := wordsWithHeadings(t)
	for w, where := range want {
		if headings[w] == "" {
			t.Errorf("docs/ops/runbook.md has no heading %q, of %s", w, where)
		}
	}
	events := eventNames(t)
	for title, body := range headings {
		for _, part := range []string{"Meaning", "Impact", "Diagnosis", "Mitigation"} {
			if !strings.Contains(body, "**"+part+".**") {
				t.Errorf("%s: no %s", title, part)
			}
		}
		if want[title] == "" && events[title] == "" && title != "parked copies" {
			t.Errorf("docs/ops/runbook.md has the heading %q, which nothing says", title)
		}
	}
}

// What a host warns of, without a journal's event, is explained somewhere in the
// runbook.
func TestRunbookKnowsWarnings(t *testing.T) {
	data, err := os.ReadFile("../../docs/ops/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	warned := 0
	for name, where := range eventNames(t) {
		if !strings.HasPrefix(where, "../../lease/") {
			continue
		}
		warned++
		if !strings.Contains(string(data), "`"+name+"`") {
			t.Errorf("docs/ops/runbook.md doesn't name %q, which %s warns of", name, where)
		}
	}
	if warned < 5 {
		t.Fatalf("got %d warnings: can't read the sources", warned)
	}
}

// runbookHeadings are the runbook's parts.
func runbookHeadings(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile("../../docs/ops/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	headings := map[string]string{}
	for _, section := range strings.Split("\n"+string(data), "\n## ")[1:] {
		title, body, _ := strings.Cut(section, "\n")
		headings[title] = body
	}
	return headings
}

// wordsWithHeadings are all that need one, with where they are said.
func wordsWithHeadings(t *testing.T) map[string]string {
	t.Helper()
	want := map[string]string{}
	for _, state := range []lease.State{lease.Silent, lease.Unfit, lease.Fenced} {
		want[string(state)] = "hosts"
	}
	find := func(file, pattern string, atLeast int) {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all := regexp.MustCompile(pattern).FindAllStringSubmatch(string(source), -1)
		if len(all) < atLeast {
			t.Fatalf("%s: got %d words: can't read it", file, len(all))
		}
		for _, m := range all {
			want[m[1]] = file
		}
	}
	find("cmd_status.go", `add\([a-zA-Z]+, "([a-z-]+)"`, 8)
	find("../../docs/ops/alerts.rules.yml", `runbook: docs/ops/runbook\.md#([a-z-]+)\n`, 15)
	for _, e := range exitTexts {
		if e.code != exitOK {
			want[fmt.Sprintf("exit %d", e.code)] = "the exit codes"
		}
	}
	for name, where := range eventNames(t) {
		if eventLevel(name) == zerolog.WarnLevel && name != spool.EvTrouble {
			want[name] = where
		}
	}
	return want
}
