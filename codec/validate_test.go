package codec_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"fencepost/codec"
)

func goodJob() codec.Job { return codec.Job{Name: "a", Script: "#!/bin/sh\n"} }

func entries(n int) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprintf("K%d", i)] = "v"
	}
	return m
}

// Each limit: what lies on it passes, what lies one past it doesn't, and the
// field is named.
func TestLimits(t *testing.T) {
	for _, c := range []struct {
		field string
		most  int
		set   func(j *codec.Job, n int)
	}{
		{"name", codec.MaxName, func(j *codec.Job, n int) { j.Name = strings.Repeat("a", n) }},
		{"script", codec.MaxScript, func(j *codec.Job, n int) { j.Script = "#!" + strings.Repeat("a", n-2) }},
		{"owner", codec.MaxWord, func(j *codec.Job, n int) { j.Owner = strings.Repeat("a", n) }},
		{"environment", codec.MaxWord, func(j *codec.Job, n int) { j.Environment = strings.Repeat("a", n) }},
		{"queue", codec.MaxWord, func(j *codec.Job, n int) { j.Queue = strings.Repeat("a", n) }},
		{"args", codec.MaxArgs, func(j *codec.Job, n int) { j.Args = make([]string, n) }},
		{"args[0]", codec.MaxArg, func(j *codec.Job, n int) { j.Args = []string{strings.Repeat("a", n)} }},
		{"env", codec.MaxEnv, func(j *codec.Job, n int) { j.Env = entries(n) }},
		{"env", codec.MaxEnvKey, func(j *codec.Job, n int) { j.Env = map[string]string{strings.Repeat("a", n): ""} }},
		{"env.A", codec.MaxEnvValue, func(j *codec.Job, n int) { j.Env = map[string]string{"A": strings.Repeat("a", n)} }},
		{"labels", codec.MaxLabels, func(j *codec.Job, n int) { j.Labels = entries(n) }},
		{"labels", codec.MaxLabelKey, func(j *codec.Job, n int) { j.Labels = map[string]string{strings.Repeat("a", n): ""} }},
		{"labels.a", codec.MaxLabelValue, func(j *codec.Job, n int) { j.Labels = map[string]string{"a": strings.Repeat("a", n)} }},
		{"workdir", codec.MaxWorkdir, func(j *codec.Job, n int) { j.Workdir = "/" + strings.Repeat("a", n-1) }},
		{"resources.cpus", codec.MaxCPUs, func(j *codec.Job, n int) { j.Resources.CPUs = n }},
		{"resources.memory_mb", codec.MaxMemoryMB, func(j *codec.Job, n int) { j.Resources.MemoryMB = int64(n) }},
		{"resources.time_limit_seconds", codec.MaxTimeLimitSeconds, func(j *codec.Job, n int) { j.Resources.TimeLimitSeconds = int64(n) }},
		{"command", codec.MaxCommand, func(j *codec.Job, n int) {
			j.Script, j.Command = "", append([]string{"x"}, make([]string, n-1)...)
		}},
		{"job", codec.MaxJob, func(j *codec.Job, n int) {
			for range 31 {
				j.Args = append(j.Args, strings.Repeat("a", codec.MaxArg))
			}
			j.Args = append(j.Args, strings.Repeat("a", 60000))
			j.Args[31] += strings.Repeat("a", n-j.Size()) // its length stays one of two bytes
		}},
	} {
		j := goodJob()
		c.set(&j, c.most)
		if err := j.Validate(); err != nil {
			t.Errorf("%s at %d: %v", c.field, c.most, err)
		}
		j = goodJob()
		c.set(&j, c.most+1)
		var fe *codec.FieldError
		if err := j.Validate(); !errors.As(err, &fe) || fe.Field != c.field {
			t.Errorf("%s at %d: got %v", c.field, c.most+1, err)
		}
	}
}

// The largest and worst job fits every form: no job is accepted that a later
// stage couldn't carry.
func TestWorstJobFits(t *testing.T) {
	j := codec.Job{Name: "a", Script: "#!" + strings.Repeat("&", codec.MaxScript-2)}
	for range (codec.MaxJob-codec.MaxScript)/codec.MaxArg - 1 {
		j.Args = append(j.Args, strings.Repeat("\r", codec.MaxArg))
	}
	for len(j.Args) < codec.MaxArgs {
		j.Args = append(j.Args, "")
	}
	r := codec.Record{ID: vectorID, Job: j, Client: "c", ReceivedAt: time.UnixMilli(1), ReceivedBy: "a", Digest: codec.Digest(j)}
	x, err := codec.EncodeXML(r)
	if err != nil {
		t.Fatal(err)
	}
	// Not decoded: the reader's own limit is this one, and under the race
	// detector ten megabytes of references take 20 s.
	if len(x) > codec.MaxDocument {
		t.Errorf("xml of %d bytes, limit %d", len(x), codec.MaxDocument)
	}
	d, err := codec.EncodeJSON(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := codec.DecodeJSON(d); err != nil {
		t.Fatal(err)
	}
	_, body, err := codec.Marshal(codec.Submit{Seq: 1<<64 - 1, ID: vectorID, Job: j, Digest: r.Digest})
	if err != nil || len(body) > codec.MaxBody {
		t.Fatalf("%d bytes of body, limit %d (%v)", len(body), codec.MaxBody, err)
	}
	t.Logf("job %d bytes, xml %d, json %d, limit %d", j.Size(), len(x), len(d), codec.MaxDocument)
}

func TestCanonicalID(t *testing.T) {
	for in, want := range map[string]string{
		vectorID:                                    vectorID,
		strings.ToUpper(vectorID):                   vectorID,
		"":                                          "",
		"{" + vectorID + "}":                        "",
		"urn:uuid:" + vectorID:                      "",
		strings.ReplaceAll(vectorID, "-", ""):       "",
		vectorID + "\n":                             "",
		"../" + vectorID[3:]:                        "",
		"00000000-0000-0000-0000-000000000000":      "",
		"ffffffff-ffff-ffff-ffff-ffffffffffff":      "",
		strings.Replace(vectorID, "0", "\u0660", 1): "",
	} {
		got, err := codec.CanonicalID(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestDigestIsTheJobs(t *testing.T) {
	j := codec.Job{Name: "nightly-7", Script: "#!/bin/sh\ndate\n"}
	other := j
	other.Args, other.Env = []string{}, map[string]string{}
	if codec.Digest(j) != codec.Digest(other) {
		t.Error("digest tells empty from nil")
	}
	other.Args = []string{""}
	if codec.Digest(j) == codec.Digest(other) {
		t.Error("digest doesn't tell an empty argument from none")
	}
}

func TestReason(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                   "plain",
		"two\nlines\x00\x1b[2J":   "two lines  [2J",
		"\xff":                    "\ufffd",
		strings.Repeat("é", 1000): strings.Repeat("é", codec.MaxReason/2),
		strings.Repeat("日", 1000): strings.Repeat("日", codec.MaxReason/3),
	} {
		got := codec.Reason(in)
		if got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
		if _, _, err := codec.Marshal(codec.GoAway{Code: codec.CodeInternal, Reason: got}); err != nil {
			t.Error(err)
		}
	}
}

func TestRecordRules(t *testing.T) {
	good := codec.Record{
		ID: vectorID, Job: goodJob(), Client: "c", ReceivedAt: time.Date(2026, 1, 2, 3, 4, 5, 678999999, time.FixedZone("x", 3600)),
		ReceivedBy: "a", Digest: codec.Digest(goodJob()),
	}
	doc, err := codec.EncodeXML(good)
	if err != nil || !strings.Contains(string(doc), "<received_at>2026-01-02T02:04:05.678Z<") {
		t.Errorf("time isn't UTC in whole milliseconds (%v):\n%s", err, doc)
	}
	for field, change := range map[string]func(*codec.Record){
		"id":          func(r *codec.Record) { r.ID = strings.ToUpper(r.ID) },
		"client":      func(r *codec.Record) { r.Client = "a\nb" },
		"received_at": func(r *codec.Record) { r.ReceivedAt = time.Time{} },
		"received_by": func(r *codec.Record) { r.ReceivedBy = "a/b" },
		"digest":      func(r *codec.Record) { r.Digest = "" },
		"name":        func(r *codec.Record) { r.Job.Name = "" },
	} {
		r := good
		change(&r)
		for _, encode := range []func(codec.Record) ([]byte, error){codec.EncodeXML, codec.EncodeJSON} {
			var fe *codec.FieldError
			if _, err := encode(r); !errors.As(err, &fe) || fe.Field != field {
				t.Errorf("%s: got %v", field, err)
			}
		}
	}
}

func TestCodeOf(t *testing.T) {
	for _, v := range vectors() {
		f, err := codec.ReadFrame(bytes.NewReader(v.payload), v.maxBody)
		if _, err = v.unmarshal(f, err); err == nil {
			continue
		}
		want := codec.CodeMalformed
		switch v.expect {
		case "version":
			want = codec.CodeUnsupportedVersion
		case "length":
			want = codec.CodeTooLarge
		case "job":
			want = codec.CodeInvalidJob
		}
		if got := codec.CodeOf(fmt.Errorf("read: %w", err)); got != want {
			t.Errorf("%s: got %s, want %s", v.name, got, want)
		}
	}
	if got := codec.CodeOf(codec.Job{}.Validate()); got != codec.CodeInvalidJob {
		t.Errorf("got %s", got)
	}
	if got := codec.CodeOf(errors.New("disk")); got != codec.CodeInternal {
		t.Errorf("got %s", got)
	}
}
