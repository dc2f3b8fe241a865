package trial_test

import (
	"slices"
	"strings"
	"testing"

	"fencepost/cmd/fencepost/nfslab/trial"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, log, accepted string
		held                string
		wrong               []string
	}{
		{"once", "submit c1 j1 t\nrelease c1 h\n", "j1", "", nil},
		{"released again", "submit c1 j1 t\nrelease c1 h\nrelease c1 g\ncancel c1 h\n", "j1", "", nil},
		{"submitted again", "submit c1 j1 t\nsubmit c2 j1 u\nrelease c2 h\ncancel c1 h\nrelease c1 h\n", "j1", "", nil},
		{"left held", "submit c1 j1 t\nsubmit c2 j1 u\nrelease c2 h\n", "j1", "c1", nil},
		{"never", "submit c1 j1 t\ncancel c1 h\n", "j1 j2", "",
			[]string{"job j1 was accepted and never started", "job j2 was accepted and never started"}},
		{"twice", "submit c1 j1 t\nsubmit c2 j1 u\nrelease c1 h\nrelease c2 h\n", "j1", "",
			[]string{"job j1 was started 2 times, as c1, c2"}},
		{"nobody's", "submit c1 j1 t\nrelease c1 h\n", "", "", []string{"job j1 was started and never accepted"}},
		{"unknown", "release c1 h\n", "", "", []string{"release of c1, which was never submitted"}},
		{"one id twice", "submit c1 j1 t\nrelease c1 h\nsubmit c1 j2 t\n", "j1", "",
			[]string{"the cluster gave the id c1 to j1 and to j2"}},
		{"torn", "submit c1 j1 t\nrelease c1 h", "j1", "c1",
			[]string{`the log has the line "release c1 h"`, "job j1 was accepted and never started"}},
	} {
		v := trial.Judge(c.log, strings.Fields(c.accepted))
		if !slices.Equal(v.Wrong, c.wrong) {
			t.Errorf("%s: got %q, want %q", c.name, v.Wrong, c.wrong)
		}
		if got := strings.Join(v.Held, " "); got != c.held {
			t.Errorf("%s: got held %q, want %q", c.name, got, c.held)
		}
	}
}
