package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"fencepost/cmd/fencepost/ingest"
	"fencepost/codec"
)

// names keeps the names of jobs by id; a job's name says what becomes of it.
type names struct {
	mu sync.Mutex
	by map[string]string
}

func (n *names) Accept(_ context.Context, r codec.Record) (bool, error) {
	if r.Job.Name == "refused" {
		return false, &ingest.Refusal{Code: codec.CodeNotAllowed, Reason: "not you"}
	}
	if r.Job.Name == "ill" {
		return false, errors.New("ill")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	_, dup := n.by[r.ID]
	n.by[r.ID] = r.Job.Name
	return dup, nil
}

func (n *names) State(_ context.Context, id string) (codec.State, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return codec.State{State: n.by[id], ClusterID: "17"}, nil
}

func listenFor(t *testing.T, b ingest.Backend) (addr string) {
	t.Helper()
	s, err := ingest.New(ingest.Config{Backend: b, Host: "a", SpoolID: "s"})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

func doc(name string) string { return `{"name":"` + name + `","command":["true"]}` + "\n" }

const someID = "01a208aa-27f5-7184-9c77-7a7e032382ee"

func TestSend(t *testing.T) {
	b := &names{by: map[string]string{}}
	addr := listenFor(t, b)
	dir := t.TempDir()
	file := filepath.Join(dir, "job.json")
	if err := os.WriteFile(file, []byte(doc("done")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		stdin  string
		args   []string
		code   int
		want   string // names of the jobs whose ids were printed
		stderr string
	}{
		{"file", "", []string{file}, 0, "done", ""},
		{"files", doc("held"), []string{file, "-", file}, 0, "done held done", ""},
		{"lines", doc("a") + "\n" + doc("b") + doc("c"), []string{"--jsonl", "-"}, 0, "a b c", ""},
		{"id", "", []string{"--id", strings.ToUpper(someID), file}, 0, "done", ""},
		{"id again", "", []string{"--id", someID, file}, 0, "done", ""},
		{"id of two", doc("a") + doc("b"), []string{"--id", someID, "--jsonl", "-"}, 2, "", "exactly one job"},
		{"bad id", "", []string{"--id", "7", file}, 2, "", "not a UUID"},
		{"bad document", doc("a") + "{\n" + doc("-x") + doc("b"), []string{"--jsonl", "-"}, 2, "a b", "-:3:9: name"},
		{"no file", "", []string{filepath.Join(dir, "none"), file}, 2, "done", "no such file"},
		{"refused", doc("a") + doc("refused") + doc("b"), []string{"--jsonl", "-"}, 1, "a b", "-:2: job .* not_allowed: not you"},
		{"gave up", doc("ill"), []string{"--timeout", "50ms", "-"}, 1, "", "-:1: job .* not known to be accepted"},
		{"no host", "", []string{"--to", "127.0.0.1:1", "--timeout", "50ms", file}, 0, "done", ""}, // the other one is up
		{"no port", "", []string{"--to", "host", file}, 2, "", "not ADDR:PORT"},
		{"no arguments", "", nil, 2, "", ""},
		{"parallel", "", []string{"--parallel", "0", file}, 2, "", "--parallel 0"},
		{"wait", "", []string{"--wait", file}, 0, "done", ""},
		{"wait for a failed one", doc("failed"), []string{"--wait", "-", file}, 1, "failed done", "failed"},
		{"wait for a parked one", doc("parked"), []string{"--wait", "-"}, 4, "parked", "a person has to decide"},
		{"wait in vain", doc("held"), []string{"--wait", "--timeout", "100ms", "-"}, 4, "held", "no final record, it is held"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGlobals()
			g.stdin = strings.NewReader(c.stdin)
			code, out, errs := inProcess(t, g, append([]string{"send", "--to", addr}, c.args...)...)
			var got []string
			for _, id := range strings.Fields(out) {
				got = append(got, b.by[id])
			}
			said := true
			for _, part := range strings.Split(c.stderr, ".*") {
				said = said && strings.Contains(errs, part)
			}
			if code != c.code || strings.Join(got, " ") != c.want || !said || c.code == 0 && errs != "" {
				t.Errorf("got exit %d, %q\n%s", code, got, errs)
			}
		})
	}
}

func TestSendJSON(t *testing.T) {
	addr := listenFor(t, &names{by: map[string]string{}})
	g := newGlobals()
	g.stdin = strings.NewReader(doc("done") + "x\n" + doc("handed_over"))
	code, out, _ := inProcess(t, g, "send", "--to", addr, "--json", "--jsonl", "--wait", "-")
	var got struct {
		Schema   string
		Accepted int
		Not      int `json:"not_accepted"`
		Jobs     []struct {
			Line                   int
			Job, State, Host, File string
			Error                  string
			ClusterID              string `json:"cluster_id"`
			Accepted               bool
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	j := got.Jobs
	if code != 2 || got.Schema != "fencepost.send/v1" || got.Accepted != 2 || got.Not != 1 || len(j) != 3 ||
		j[0].State != "done" || j[0].ClusterID != "17" || j[0].Host != "a" || j[1].Accepted || j[1].Error == "" || j[2].State != "handed_over" || j[2].Line != 3 {
		t.Errorf("got exit %d, %+v", code, got)
	}
}

// Without --to the address is the one that a daemon here would listen on.
func TestSendDefaultAddress(t *testing.T) {
	addr := listenFor(t, &names{by: map[string]string{}})
	_, port, _ := net.SplitHostPort(addr)
	g := newGlobals()
	g.stdin = strings.NewReader(doc("done"))
	g.given["listen"], g.given["insecure_listen"] = ":"+port, "true"
	if code, out, errs := inProcess(t, g, "send", "-"); code != 0 || len(out) != 37 {
		t.Errorf("got exit %d, %q, %s", code, out, errs)
	}
	g = newGlobals()
	g.given["listen"] = "127.0.0.1:0"
	if code, _, errs := inProcess(t, g, "send", "-"); code != 2 || !strings.Contains(errs, "--to") {
		t.Errorf("got exit %d, %s", code, errs)
	}
}
