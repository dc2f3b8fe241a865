package canary_test

import (
	"testing"

	"fencepost/submit/internal/canary"
)

func TestParse(t *testing.T) {
	for _, host := range []string{"a", "node-7.example.org", "x.1"} {
		got, epoch, ok := canary.Parse("fp-ab-", "fp-ab-"+canary.Key(host, 42))
		if !ok || got != host || epoch != 42 {
			t.Errorf("got %q, %d, %v, want %q, 42", got, epoch, ok, host)
		}
	}
	for _, name := range []string{"", "fp-ab-", "fp-ab-canary.", "fp-ab-canary.a", "fp-ab-canary.a.", "fp-ab-canary..1",
		"fp-ab-canary.a.01", "fp-ab-canary.a.+1", "fp-cd-canary.a.1", "canary.a.1",
		"fp-ab-0196e9f4-0000-7000-8000-000000000000"} {
		if _, _, ok := canary.Parse("fp-ab-", name); ok {
			t.Errorf("%q parses as a canary", name)
		}
	}
}
