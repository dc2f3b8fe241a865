package main_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// Each instance says what it has mounted, and doctor compares.
func TestMountsCompared(t *testing.T) {
	s := newSite(t, []string{"a", "b"}, "--stages", "ingest,translate")
	s.start("a")
	s.start("b")
	var doc struct {
		Checks []struct {
			ID, Verdict string
			Evidence    []string
		}
	}
	out, _, _ := s.try("doctor", "--spool", s.spool, "--host", "a", "--json")
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		t.Fatal(err, out)
	}
	for _, c := range doc.Checks {
		if c.ID == "FP048" {
			if c.Verdict != "ok" || len(c.Evidence) != 1 || !strings.HasSuffix(c.Evidence[0], ": host a, host b, this command") {
				t.Errorf("got %+v", c)
			}
			return
		}
	}
	t.Errorf("no such check: %s", out)
}
