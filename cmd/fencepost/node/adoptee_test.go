package node

import (
	"strings"
	"testing"
	"time"

	"fencepost/codec"
	"fencepost/spool"
)

// TestAdoptee: what an inbox may hold, and what becomes of it.
func TestAdoptee(t *testing.T) {
	const fresh, own = "01890a5d-ac96-774b-bcce-b302099a8057", "01902d5a-7b3c-7def-8123-456789abcdef"
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	parse := Adoptee("a", func() time.Time { return at })
	job := codec.Job{Name: "nightly", Command: []string{"/bin/true"}}
	doc, err := codec.EncodeXML(codec.Record{ID: own, Job: job, Client: "legacy", ReceivedAt: at.Add(-time.Hour), ReceivedBy: "old",
		Digest: strings.Repeat("0", 64)})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ doc, id string }{
		"XML":             {string(doc), own},
		"JSON":            {`{"name": "nightly", "command": ["/bin/true"]}`, fresh},
		"JSON with an id": {`{"name": "nightly", "command": ["/bin/true"], "id": "` + strings.ToUpper(own) + `"}`, own},
	} {
		got, err := parse(spool.Translate, fresh, []byte(tc.doc))
		if err != nil || got.ID != tc.id {
			t.Errorf("%s: id %s, %v, want %s", name, got.ID, err, tc.id)
			continue
		}
		r, err := codec.DecodeXML(got.Data)
		if err != nil || r.ID != tc.id || !r.Job.Equal(job) || r.Digest != codec.Digest(job) || r.ReceivedBy != "a" || r.Client != AdoptClient {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if same, err := got.Same(doc); same || err != nil {
			t.Errorf("%s: a job with another digest is the same: %v", name, err)
		}
		if same, err := got.Same(got.Data); !same || err != nil {
			t.Errorf("%s isn't itself: %v", name, err)
		}
	}
	for _, bad := range []string{"", "<job", string(doc[:len(doc)-8]), "<order/>", `{"name": "x"`, "{}", "\x00"} {
		if got, err := parse(spool.Translate, fresh, []byte(bad)); err == nil {
			t.Errorf("%q is job %s", bad, got.ID)
		}
	}
}
