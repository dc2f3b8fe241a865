package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fencepost/cmd/fencepost/secure/securetest"
)

// securedSite is one host that knows its clients: nightly and cron by their
// certificates, batch by its token.
type securedSite struct {
	*site
	host    *proc
	nightly []string // flags of send
	cron    []string
	batch   []string
	anybody []string // the hosts' CA and nothing else
}

func newSecuredSite(t *testing.T) *securedSite {
	s := &securedSite{site: newSite(t, []string{"a"}, "--poll", "20ms")}
	hosts, clients := securetest.New(t, "hosts"), securetest.New(t, "clients")
	cert, key := hosts.Issue("a", nil)
	tokens := s.file("tokens", "batch 00112233445566778899aabbccddeeff00112233\n")
	prog := s.program("submit", `cat >"`+s.dir+`/got-$FENCEPOST_JOB_ID"
echo "c-$FENCEPOST_JOB_ID"
`)
	conf := s.file("fencepost.toml", fmt.Sprintf(`
token_file = %q
run_as_root = true
[tls]
cert = %q
key = %q
client_ca = [%q]
client_cert = "optional"
[clients.nightly]
scripts = true
queues = ["main", "night-*"]
owners = ["nightly"]
[clients.batch]
types = ["report"]
rate = 1000.0
[clients.cron]
disabled = true
[types.report]
command = ["/usr/bin/report", "--of={day}"]
params = { day = "[0-9]{4}-[0-9]{2}-[0-9]{2}" }
queue = "main"
max_cpus = 2
`, tokens, cert, key, clients.File))
	s.host = s.start("a", "--config", conf, "--listen", "0.0.0.0:0", "--cluster-command", "submit="+prog)
	_, port, _ := strings.Cut(s.host.addr, "]:")
	to := []string{"--to", "127.0.0.1:" + port, "--ca", hosts.File}
	withCert := func(name string) []string {
		c, k := clients.Issue(name, nil)
		return append([]string{"--cert", c, "--key", k}, to...)
	}
	s.nightly, s.cron, s.anybody = withCert("nightly"), withCert("cron"), to
	s.batch = append([]string{"--token-file", tokens}, to...)
	return s
}

func (s *site) file(name, text string) string {
	s.t.Helper()
	f := filepath.Join(s.dir, name)
	if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return f
}

// TestKnownClients: what the host knows of a client decides, in Go and in
// Python; what arrives at the cluster says who sent it, by certificate or token.
func TestKnownClients(t *testing.T) {
	interpreter := python(t)
	s := newSecuredSite(t)
	script := func(more string) string { return `{"name":"x","script":"#!/bin/sh\n","queue":"main"` + more + `}` }
	report := `{"name":"x","type":"report","params":{"day":"2026-11-25"}}`
	for _, c := range []struct {
		who  []string
		doc  string
		code int
		says string // in the refusal, else the client's name
	}{
		{s.nightly, script(""), 0, "nightly"},
		{s.nightly, script(`,"owner":"root"`), 1, "may not name owner root"},
		{s.nightly, strings.Replace(script(""), "main", "gpu", 1), 1, "may not name queue gpu"},
		{s.nightly, report, 1, "may not send jobs of type report"},
		{s.batch, report, 0, "batch"},
		{s.batch, script(""), 1, "no scripts or commands of its own: report"},
		{s.batch, strings.Replace(report, "2026", "x;id", 1), 1, "params.day doesn't match"},
		{s.batch, strings.Replace(report, `"params"`, `"resources":{"cpus":3},"params"`, 1), 1, "cpus is 3, at most 2"},
		{s.cron, script(""), 1, "not_allowed"},
		{s.anybody, script(""), 1, "wants a token"},
	} {
		for lang, command := range map[string][]string{"Go": {s.bin, "send", "--timeout", "20s"}, "Python": {interpreter, "../../docs/examples/send.py", "--tries", "2"}} {
			cmd := exec.CommandContext(t.Context(), command[0], append(append(command[1:], c.who...), "--wait", "-")...)
			cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
			var out, errs bytes.Buffer
			cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.doc), &out, &errs
			_ = cmd.Run()
			what := fmt.Sprintf("%s: %s as %s", lang, c.doc, c.who[1])
			code := cmd.ProcessState.ExitCode()
			says := errs.String()
			if lang == "Go" && strings.Contains(says, "invalid_job") {
				code = min(code, 1) // 2: the document is to blame
			}
			if code != c.code || c.code != 0 && !strings.Contains(says, c.says) {
				t.Errorf("%s: got exit %d, %s", what, code, says)
			}
			if c.code == 0 {
				s.wantArrived(strings.TrimSpace(out.String()), c.says, c.doc == report)
			}
		}
	}
	if log := tail(s.host.log); strings.Contains(log, "00112233") {
		t.Error("the log holds a secret")
	}
	s.run(0, "audit", "--spool", s.spool)
}

// wantArrived looks at what the cluster got.
func (s *securedSite) wantArrived(id, client string, typed bool) {
	s.t.Helper()
	var got struct {
		Client, Owner, Script string
		Command               []string
		Labels                map[string]string
		Resources             map[string]int
	}
	data, err := os.ReadFile(filepath.Join(s.dir, "got-"+id))
	if err == nil {
		err = json.Unmarshal(data, &got)
	}
	if err != nil {
		s.t.Error(err)
		return
	}
	if got.Client != client || !typed && got.Owner != "nightly" {
		s.t.Errorf("got %+v, want client %s", got, client)
	}
	if typed && (got.Labels["fencepost/type"] != "report" || fmt.Sprint(got.Command) != "[/usr/bin/report --of=2026-11-25]" || got.Resources["cpus"] != 2) {
		s.t.Errorf("got %+v", got)
	}
}

// A host that other machines can reach says no at its start, unless it knows who
// is there, or was told that it need not.
func TestUnsafeListen(t *testing.T) {
	s := newSite(t, []string{"a"})
	ca := securetest.New(t, "ca")
	cert, key := ca.Issue("a", nil)
	tlsOnly := s.file("tls.toml", fmt.Sprintf("[tls]\ncert = %q\nkey = %q\n", cert, key))
	noKey := s.file("nokey.toml", fmt.Sprintf("[tls]\ncert = %q\nkey = %q\nclient_ca = [%q]\n", cert, key+"x", ca.File))
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "set tls.cert, tls.key and tls.client_ca"},
		{[]string{"--config", tlsOnly}, "nothing says who may send"},
		{[]string{"--config", noKey, "--run-as-root"}, "no such file"},
	} {
		args := append([]string{"serve", "--spool", s.spool, "--host", "a", "--listen", "0.0.0.0:0"}, c.args...)
		if _, errs, code := s.try(args...); code != 2 || !strings.Contains(errs, c.want) {
			t.Errorf("%v: got exit %d, want 2 and %q\n%s", c.args, code, c.want, errs)
		}
	}
	s.start("a", "--listen", "0.0.0.0:0", "--insecure-listen")
}

// As root a host doesn't listen for other machines, unless it is told to.
func TestRootListens(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	s := newSite(t, []string{"a"})
	ca := securetest.New(t, "ca")
	cert, key := ca.Issue("a", nil)
	conf := s.file("tls.toml", fmt.Sprintf("[tls]\ncert = %q\nkey = %q\nclient_ca = [%q]\n", cert, key, ca.File))
	args := []string{"serve", "--spool", s.spool, "--host", "a", "--listen", "0.0.0.0:0", "--config", conf}
	if _, errs, code := s.try(args...); code != 2 || !strings.Contains(errs, "would run as root") {
		t.Errorf("got exit %d, want 2\n%s", code, errs)
	}
	s.start("a", "--listen", "0.0.0.0:0", "--config", conf, "--run-as-root")
}
