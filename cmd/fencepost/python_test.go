package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// python returns the path of python3, which is required in CI.
func python(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("python3")
	switch {
	case err == nil:
		return path
	case os.Getenv("CI") != "":
		t.Fatal("python3 is required in CI: apt-get install python3")
	default:
		t.Skip("python3 isn't installed (apt-get install python3)")
	}
	return ""
}

// The client in docs/examples, which was written in another language from
// docs/spec/wire.md, can talk to a real host: what it sends arrives as it is,
// and what is refused is refused for the right reason.
func TestPythonClient(t *testing.T) {
	interpreter := python(t)
	s := newSite(t, []string{"a"}, "--poll", "20ms")
	prog := s.program("submit", `cat >"`+s.dir+`/got-$FENCEPOST_JOB_ID"
echo "c-$FENCEPOST_JOB_ID"
`)
	a := s.start("a", "--cluster-command", "submit="+prog)
	dead := freeAddr(t)
	send := func(input string, args ...string) (stdout, stderr string, code int) {
		args = append([]string{"../../docs/examples/send.py", "--to", dead, "--to", a.addr, "--tries", "4"}, args...)
		cmd := exec.CommandContext(t.Context(), interpreter, args...)
		cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
		cmd.Stdin = strings.NewReader(input)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		_ = cmd.Run()
		return out.String(), errs.String(), cmd.ProcessState.ExitCode()
	}

	// More than a window of them, with every key that a job can have.
	const jobs = 80
	var lines strings.Builder
	for i := range jobs {
		fmt.Fprintf(&lines, `{"name":"job-%d","script":"#!/bin/sh\necho \u00fc%s\n","args":["a","","é"],"owner":"p","environment":"dev","queue":"main",`+
			`"resources":{"cpus":2,"memory_mb":70000,"time_limit_seconds":0},"env":{"LONGER":"","B":"x y"},"labels":{"k":"v"},"workdir":"/tmp"}`+"\n",
			i, strings.Repeat("x", i*100))
	}
	out, errs, code := send(lines.String(), "--jsonl", "--wait", "-")
	ids := strings.Fields(out)
	if code != 0 || len(ids) != jobs {
		t.Fatalf("send.py: exit %d, %d ids, want %d\n%s", code, len(ids), jobs, errs)
	}
	for i, id := range ids {
		var got struct {
			Name, Script string
			Args         []string
			Env          map[string]string
			Resources    map[string]int
		}
		data, err := os.ReadFile(filepath.Join(s.dir, "got-"+id))
		if err == nil {
			err = json.Unmarshal(data, &got)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got.Name != fmt.Sprintf("job-%d", i) || got.Script != "#!/bin/sh\necho ü"+strings.Repeat("x", i*100)+"\n" ||
			!slices.Equal(got.Args, []string{"a", "", "é"}) || got.Env["B"] != "x y" || len(got.Env) != 2 ||
			got.Resources["memory_mb"] != 70000 || len(got.Resources) != 2 {
			t.Errorf("job %d arrived as %+v", i, got)
		}
	}

	// Under one id: the same job again, written differently, then another one.
	id := uuid.NewString()
	first := fmt.Sprintf(`{"id":%q,"name":"x","command":["/bin/true"]}`, id)
	again := fmt.Sprintf(`{"resources":{"cpus":0},"command":["/bin/true"],"args":[],"name":"x","id":%q}`, id)
	other := fmt.Sprintf(`{"id":%q,"name":"y","command":["/bin/true"]}`, id)
	for _, tc := range []struct {
		doc  string
		code int
		says string
	}{
		{first, 0, ""},
		{again, 0, ""},
		{other, 1, "conflict"},
		{`{"name":"x","script":"no interpreter"}`, 1, "invalid_job"},
		{`{"name":"x","command":["/bin/true"],"nope":1}`, 1, "invalid_job"},
		{`{"id":"0170aaaa-0000-7000-8000-000000000000","name":"x","command":["/bin/true"]}`, 1, "too_old"},
		{`{"id":"not one","name":"x","command":["/bin/true"]}`, 1, "malformed"},
		{`{"name":"x","command":["/bin/true"],"resources":{"cpus":1.5}}`, 2, "no place"},
		{`not json`, 2, ""},
	} {
		out, errs, code := send(tc.doc, "-")
		if code != tc.code || !strings.Contains(errs, tc.says) || (code == 0) != (strings.TrimSpace(out) == id) {
			t.Errorf("%s: exit %d, want %d with %q\n%s%s", tc.doc, code, tc.code, tc.says, out, errs)
		}
	}
	s.run(0, "audit", "--spool", s.spool)
}
