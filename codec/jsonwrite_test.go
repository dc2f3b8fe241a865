package codec

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// jsonRecord is a Record as encoding/json would write it: keys sorted, what is
// empty left out.
type jsonRecord struct {
	Args        []string          `json:"args,omitempty"`
	Client      string            `json:"client"`
	Command     []string          `json:"command,omitempty"`
	Digest      string            `json:"digest"`
	Env         map[string]string `json:"env,omitempty"`
	Environment string            `json:"environment,omitempty"`
	ID          string            `json:"id"`
	Labels      map[string]string `json:"labels,omitempty"`
	Name        string            `json:"name"`
	Owner       string            `json:"owner,omitempty"`
	Queue       string            `json:"queue,omitempty"`
	ReceivedAt  string            `json:"received_at"`
	ReceivedBy  string            `json:"received_by"`
	Resources   Resources         `json:"resources,omitzero"`
	Schema      string            `json:"schema"`
	Script      string            `json:"script,omitempty"`
	Workdir     string            `json:"workdir,omitempty"`
}

func oracleJSON(t *testing.T, r Record) string {
	t.Helper()
	j := r.Job
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(jsonRecord{
		Args: j.Args, Client: r.Client, Command: j.Command, Digest: r.Digest, Env: j.Env,
		Environment: j.Environment, ID: r.ID, Labels: j.Labels, Name: j.Name, Owner: j.Owner,
		Queue: j.Queue, ReceivedAt: formatTime(r.ReceivedAt), ReceivedBy: r.ReceivedBy,
		Resources: j.Resources, Schema: JSONSchema, Script: j.Script, Workdir: j.Workdir,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// FuzzEncodeJSON: what is written is what encoding/json would have written.
func FuzzEncodeJSON(f *testing.F) {
	f.Add("a", "b", "#!/bin/sh\n\techo \"$1\" <>&\\ \r\u2028 \u00e4 \x7f \x00\xff", uint8(0xff), int64(7))
	f.Add("", "", "", uint8(0), int64(0))
	f.Fuzz(func(t *testing.T, a, b, script string, which uint8, n int64) {
		r := Record{ID: a, Client: b, ReceivedAt: time.UnixMilli(n).UTC(), ReceivedBy: script, Digest: a}
		r.Job = Job{Name: b, Script: script, Owner: a, Queue: b, Workdir: script, Environment: a}
		if which&1 != 0 {
			r.Job.Args = []string{a, b, script}
		}
		if which&2 != 0 {
			r.Job.Env = map[string]string{strings.ToValidUTF8(a, "?"): script, strings.ToValidUTF8(b, "?"): a}
		}
		if which&4 != 0 {
			r.Job.Labels = map[string]string{"x": b}
		}
		if which&8 != 0 {
			r.Job.Resources = Resources{CPUs: int(n), MemoryMB: n, TimeLimitSeconds: n / 2}
		}
		if which&16 != 0 {
			r.Job.Command = []string{script}
		}
		if got, want := string(encodeJSON(r)), oracleJSON(t, r); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}
