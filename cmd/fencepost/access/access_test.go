package access_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"fencepost/cmd/fencepost/access"
	"fencepost/codec"
)

func at(seconds float64) time.Time {
	return time.Unix(1_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))
}

func script(change func(*codec.Job)) codec.Job {
	j := codec.Job{Name: "j", Script: "#!/bin/sh\n"}
	if change != nil {
		change(&j)
	}
	return j
}

func typed(name string, params map[string]string) codec.Job {
	return codec.Job{Name: "j", Type: name, Params: params}
}

func compile(t *testing.T, types map[string]access.Type) map[string]access.Type {
	t.Helper()
	for k, v := range types {
		c, err := v.Compile()
		if err != nil {
			t.Fatalf("%s: %v", k, err)
		}
		types[k] = c
	}
	return types
}

// refusedFor wants a refusal whose words hold why; "" = none.
func refusedFor(t *testing.T, what string, err error, why string) {
	t.Helper()
	var d *access.Denied
	var f *codec.FieldError
	switch {
	case why == "" && err == nil:
	case why == "" || err == nil || !strings.Contains(err.Error(), why):
		t.Errorf("%s: got %v, want %q", what, err, why)
	case !errors.As(err, &d) && !errors.As(err, &f):
		t.Errorf("%s: got an error of another kind: %v", what, err)
	}
}

func TestNoRules(t *testing.T) {
	var p access.Policy
	if _, err := p.Admit("anybody", script(nil), at(0)); err != nil {
		t.Error(err)
	}
	_, err := p.Admit("anybody", typed("x", nil), at(0))
	refusedFor(t, "type", err, "not known here")
	_, err = p.Admit("anybody", script(func(j *codec.Job) { j.Labels = map[string]string{"fencepost/type": "x"} }), at(0))
	refusedFor(t, "label", err, "is reserved")
}

func TestRules(t *testing.T) {
	p := access.Policy{
		Types: compile(t, map[string]access.Type{"backup": {Command: []string{"/bin/backup"}}}),
		Rules: map[string]access.Rule{
			"nightly": {Scripts: true, Queues: []string{"main", "night-*"}, Owners: []string{"nightly"}, MaxJob: 90, Longest: time.Hour},
			"typist":  {Types: []string{"back*"}},
			"gone":    {Scripts: true, Shut: true},
		},
	}
	for _, c := range []struct {
		what, client string
		job          codec.Job
		why          string
	}{
		{"queue", "nightly", script(func(j *codec.Job) { j.Queue = "main" }), ""},
		{"pattern", "nightly", script(func(j *codec.Job) { j.Queue = "night-2" }), ""},
		{"another queue", "nightly", script(func(j *codec.Job) { j.Queue = "gpu" }), "may not name queue gpu: main, night-*"},
		{"beginning only", "nightly", script(func(j *codec.Job) { j.Queue = "mainly" }), "may not name queue"},
		{"no queue", "nightly", script(nil), "has to name the queue"},
		{"another owner", "nightly", script(func(j *codec.Job) { j.Queue, j.Owner = "main", "root" }), "may not name owner root"},
		{"too large", "nightly", script(func(j *codec.Job) { j.Queue = "main"; j.Args = []string{strings.Repeat("x", 90)} }), "may send 90"},
		{"too long", "nightly", script(func(j *codec.Job) { j.Queue = "main"; j.Resources.TimeLimitSeconds = 3601 }), "at most 3600"},
		{"a type it may not", "nightly", typed("backup", nil), "may not send jobs of type backup"},
		{"a script", "typist", script(nil), "no scripts or commands of its own: back*"},
		{"a command", "typist", codec.Job{Name: "j", Command: []string{"true"}}, "no scripts or commands"},
		{"its type", "typist", typed("backup", nil), ""},
		{"unknown type", "typist", typed("backlog", nil), "not known here"},
		{"shut out", "gone", script(nil), "may do nothing"},
		{"stranger", "mallory", script(nil), "may do nothing"},
	} {
		_, err := p.Admit(c.client, c.job, at(0))
		refusedFor(t, c.what, err, c.why)
	}
	got, err := p.Admit("nightly", script(func(j *codec.Job) { j.Queue = "main" }), at(0))
	if err != nil || got.Owner != "nightly" || got.Resources.TimeLimitSeconds != 3600 {
		t.Errorf("what wasn't said: got %+v, %v", got, err)
	}
	p.Rules[access.Anybody] = access.Rule{Scripts: true, Conns: 3}
	if _, err := p.Admit("mallory", script(nil), at(0)); err != nil {
		t.Errorf("anybody: %v", err)
	}
	if _, err := p.Admit("gone", script(nil), at(0)); err == nil {
		t.Error("who is shut out came in as anybody")
	}
	if n, err := p.Connect("mallory"); n != 3 || err != nil {
		t.Errorf("got %d connections, %v", n, err)
	}
	if _, err := p.Connect("gone"); err == nil {
		t.Error("who is shut out may connect")
	}
}

func TestRate(t *testing.T) {
	p := access.Policy{Rate: access.Rule{Rate: 2}, Rules: map[string]access.Rule{
		"slow": {Scripts: true, Rate: 0.5, Burst: 1}, access.Anybody: {Scripts: true}}}
	try := func(client string, s float64) error { _, err := p.Admit(client, script(nil), at(s)); return err }
	for _, c := range []struct {
		client string
		at     float64
		ok     bool
	}{
		{"a", 0, true}, {"a", 0, true}, {"a", 0, false}, {"b", 0, true}, {"a", 0.4, false}, {"a", 0.5, true}, {"a", 0.6, false},
		{"a", 100, true}, {"a", 100, true}, {"a", 100, false}, // not more than a burst is saved up
		{"slow", 100, true}, {"slow", 101, false}, {"slow", 102, true},
		{"a", 90, false}, // a clock that goes back gives nothing
	} {
		if err := try(c.client, c.at); (err == nil) != c.ok {
			t.Errorf("%+v: got %v", c, err)
		}
	}
	var d *access.Denied
	if err := try("slow", 102.5); !errors.As(err, &d) || d.Code != codec.CodeBusy || d.After != 1500*time.Millisecond {
		t.Errorf("got %v, come back after %v", err, d.After)
	}
	for i := range 200_000 {
		_ = try("x"+strings.Repeat("y", i%7)+time.Duration(i).String(), 200)
	}
	if err := try("one more", 200); !errors.As(err, &d) || d.Reason != "too many clients at once" {
		t.Errorf("too many: got %v", err)
	}
	if err := try("one more", 2000); err != nil {
		t.Errorf("later: got %v", err)
	}
}

func TestTypes(t *testing.T) {
	p := access.Policy{Types: compile(t, map[string]access.Type{
		"backup": {Script: "#!/bin/sh\nexec backup \"$@\"\n", Args: []string{"--db={db}", "{level}", "{{db}}"}, Env: map[string]string{"LEVEL": "{level}"},
			Workdir: "/srv", Params: map[string]string{"db": "[a-z]{1,20}", "level": "fast|full"}, Defaults: map[string]string{"level": "fast"},
			Queue: "backup", Want: codec.Resources{CPUs: 1}, Most: codec.Resources{CPUs: 4, MemoryMB: 100}},
		"free": {Command: []string{"/bin/echo", "{text}"}, Params: map[string]string{"text": "(?s).*"}},
	})}
	got, err := p.Admit("c", codec.Job{Name: "j", Type: "backup", Params: map[string]string{"db": "main"}, Owner: "o", Labels: map[string]string{"k": "v"}}, at(0))
	want := codec.Job{Name: "j", Script: "#!/bin/sh\nexec backup \"$@\"\n", Args: []string{"--db=main", "fast", "{main}"}, Env: map[string]string{"LEVEL": "fast"},
		Workdir: "/srv", Queue: "backup", Owner: "o", Resources: codec.Resources{CPUs: 1, MemoryMB: 100}, Labels: map[string]string{"k": "v", "fencepost/type": "backup"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	// What a shell, a directive or a template would make something of stays text.
	for _, nasty := range []string{"$(rm -rf /)", "`x`", "a\n#SBATCH --uid=0", "; true", "{text}", "${text}", "--option", "\\1", "'\"", "$0"} {
		got, err := p.Admit("c", typed("free", map[string]string{"text": nasty}), at(0))
		if err != nil || len(got.Command) != 2 || got.Command[1] != nasty || got.Script != "" {
			t.Errorf("%q: got %+v, %v", nasty, got, err)
		}
	}
	for _, c := range []struct {
		what string
		job  codec.Job
		why  string
	}{
		{"missing", typed("backup", nil), "lacks db"},
		{"unknown", typed("backup", map[string]string{"db": "a", "dbs": "a"}), "no parameter dbs: db, level"},
		{"pattern", typed("backup", map[string]string{"db": "Main"}), "doesn't match [a-z]{1,20}"},
		{"whole, not a part", typed("backup", map[string]string{"db": "main;x"}), "doesn't match"},
		{"whole, not a line", typed("backup", map[string]string{"db": "main\n"}), "doesn't match"},
		{"alternatives as a whole", typed("backup", map[string]string{"db": "a", "level": "fastest"}), "doesn't match"},
		{"queue", codec.Job{Name: "j", Type: "backup", Params: map[string]string{"db": "a"}, Queue: "main"}, "go to queue backup"},
		{"ceiling", codec.Job{Name: "j", Type: "backup", Params: map[string]string{"db": "a"}, Resources: codec.Resources{CPUs: 5}}, "cpus is 5, at most 4"},
		{"a parameter that XML can't carry", typed("free", map[string]string{"text": "\x01"}), "can't be carried"},
	} {
		_, err := p.Admit("c", c.job, at(0))
		refusedFor(t, c.what, err, c.why)
	}
}

func TestCompile(t *testing.T) {
	cmd := []string{"/bin/x", "{a}"}
	for _, c := range []struct {
		what string
		t    access.Type
		why  string
	}{
		{"good", access.Type{Command: cmd, Params: map[string]string{"a": "x"}}, ""},
		{"no program", access.Type{}, "script is missing"},
		{"no pattern", access.Type{Command: cmd}, "{a} stands for no parameter"},
		{"bad pattern", access.Type{Command: cmd, Params: map[string]string{"a": "("}}, "pattern of parameter a"},
		{"long pattern", access.Type{Command: cmd, Params: map[string]string{"a": strings.Repeat("x", 2000)}}, "longer than"},
		{"default", access.Type{Command: cmd, Params: map[string]string{"a": "x"}, Defaults: map[string]string{"a": "y"}}, "doesn't match"},
		{"default of nothing", access.Type{Command: cmd, Params: map[string]string{"a": "x"}, Defaults: map[string]string{"b": "y"}}, "no parameter"},
		{"program", access.Type{Command: []string{"/bin/{a}"}, Params: map[string]string{"a": "x"}}, "program's name"},
		{"work directory", access.Type{Command: cmd, Workdir: "/srv/{a}", Params: map[string]string{"a": "x"}}, "work directory holds {a}"},
		{"more than the most", access.Type{Command: cmd[:1], Want: codec.Resources{MemoryMB: 2}, Most: codec.Resources{MemoryMB: 1}}, "memory_mb is more than max_memory_mb"},
		{"a negative ceiling", access.Type{Command: cmd[:1], Most: codec.Resources{CPUs: -1}}, "max_cpus is negative"},
		{"a negative wish", access.Type{Command: cmd[:1], Want: codec.Resources{CPUs: -1}}, "resources.cpus is -1"},
		{"variable", access.Type{Command: []string{"/bin/x"}, Env: map[string]string{"FENCEPOST_TOKEN": "x"}}, "reserved"},
	} {
		_, err := c.t.Compile()
		if c.why == "" && err != nil || c.why != "" && (err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), ": ", " "), c.why)) {
			t.Errorf("%s: got %v, want %q", c.what, err, c.why)
		}
	}
}
