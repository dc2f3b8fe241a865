package slurmrest_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"fencepost/codec"
	"fencepost/submit"
	"fencepost/submit/clustertest"
	"fencepost/submit/slurmrest"
)

const key = "0196e9f4-2222-7000-8000-000000000001"

// job is a job as v0.0.38 lists it, but for what isn't read.
func job(id int, name, state, reason, nodes, user string) string {
	return fmt.Sprintf(`{"account":"","job_id":%d,"job_state":%s,"name":%q,"comment":"t","nodes":%q,"state_reason":%q,"user_name":%q,"cluster":"c","array_task_id":null}`,
		id, state, name, nodes, reason, user)
}

func TestListing(t *testing.T) {
	const prefix = "fp-x-"
	text := `{"meta":{"Slurm":{"release":"22.05.8"}},"errors":[],"jobs":[` + strings.Join([]string{
		job(1, prefix+key, `"PENDING"`, "JobHeldUser", "", "p"),
		job(2, prefix+key, `"PENDING"`, "JobHeldAdmin", "", "p"),
		job(3, "x", `"RUNNING"`, "None", "n1", "p"),
		job(4, prefix+key, `"RUNNING"`, "None", "n1", "somebody else"),
		job(5, prefix+key, `["CANCELLED"]`, "None", "", "p"),               // since v0.0.40
		job(6, prefix+key, `["COMPLETED","COMPLETING"]`, "None", "n", "p"), // since v0.0.40
		job(7, prefix+key, `"NEWWORD"`, "None", "", "p"),
	}, ",\n") + `]}`
	got, other, err := slurmrest.Listing(text, "p", "c", prefix)
	if err != nil || other != "" {
		t.Fatalf("%q, %v", other, err)
	}
	want := []submit.Job{
		{ID: "1", Name: prefix + key, Key: key, Token: "t", State: submit.Held, Detail: "PENDING JobHeldUser"},
		{ID: "2", Name: prefix + key, Key: key, Token: "t", State: submit.HeldOther, Detail: "PENDING JobHeldAdmin"},
		{ID: "3", Name: "x", Token: "t", State: submit.Running, Started: true, Detail: "RUNNING None"},
		{ID: "5", Name: prefix + key, Key: key, Token: "t", State: submit.Cancelled, Detail: "CANCELLED None"},
		{ID: "6", Name: prefix + key, Key: key, Token: "t", State: submit.Running, Started: true, Detail: "COMPLETING None"},
		{ID: "7", Name: prefix + key, Key: key, Token: "t", State: submit.HeldOther, Detail: "NEWWORD None"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if _, other, err := slurmrest.Listing(text, "p", "d", prefix); err != nil || other != "c" {
		t.Errorf("another cluster: got %q, %v", other, err)
	}
	// A listing is complete or an error.
	for n := range len(text) {
		if jobs, _, err := slurmrest.Listing(text[:n], "p", "c", prefix); err == nil {
			t.Fatalf("cut after %d bytes: got %d jobs and no error", n, len(jobs))
		}
	}
	for _, bad := range []string{`{}`, `{"errors":[]}`, `{"jobs":null}`, `{"jobs":{}}`, `[]`, `{"jobs":[{}]}`, `{"jobs":[{"job_id":1}]}`,
		`{"jobs":[{"job_id":0,"job_state":"PENDING"}]}`, `{"jobs":[1]}`, ""} {
		if jobs, _, err := slurmrest.Listing(bad, "p", "c", prefix); err == nil {
			t.Errorf("%s: got %v and no error", bad, jobs)
		}
	}
}

func FuzzListing(f *testing.F) {
	f.Add(`{"jobs":[` + job(1, "fp-x-"+key, `"PENDING"`, "JobHeldUser", "", "p") + `]}`)
	f.Add(`{"errors":[{"error_number":2017}],"jobs":[]}`)
	f.Add(`{"jobs":[{"job_id":1,"job_state":["RUNNING","COMPLETING"],"user_name":"p"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		jobs, _, err := slurmrest.Listing(text, "p", "", "fp-x-")
		for _, j := range jobs {
			if err == nil && (j.ID == "" || j.ID[0] == '-' || j.State == "") {
				t.Errorf("%+v", j)
			}
		}
	})
}

func TestChooseVersion(t *testing.T) {
	for _, c := range []struct {
		offered []int
		want    int
	}{{nil, 0}, {[]int{36, 38, 37}, 38}, {[]int{38, 39, 40}, 38}, {[]int{41, 43, 42}, 43}, {[]int{35, 40}, 40}, {[]int{40, 37}, 37}} {
		if got := slurmrest.ChooseVersion(c.offered); got != c.want {
			t.Errorf("of %v: got %d, want %d", c.offered, got, c.want)
		}
	}
}

// TestJobBody: what a job asks for, in the words of each version.
func TestJobBody(t *testing.T) {
	c := newCluster(t, slurmrest.Config{Address: "unix:/none", Properties: map[string]string{"nice": "10", "account": "007x"}})
	r := clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n", Resources: codec.Resources{CPUs: 2, MemoryMB: 3, TimeLimitSeconds: 61}})
	for version, want := range map[int]map[string]any{
		38: {"environment": map[string]any{"SLURM_GET_USER_ENV": "1"}, "no_requeue": true, "requeue": nil},
		39: {"environment": []any{"SLURM_GET_USER_ENV=1"}, "no_requeue": nil, "requeue": false},
	} {
		body, err := c.JobBody(r, version)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Script string
			Job    map[string]any
		}
		if err := json.Unmarshal(body, &got); err != nil || !strings.HasPrefix(got.Script, "#!/bin/sh\n") {
			t.Fatalf("%v: %s", err, body)
		}
		for k, v := range map[string]any{"name": r.Name, "comment": r.Token, "hold": true, "cpus_per_task": 2.0, "memory_per_node": 3.0,
			"time_limit": 2.0, "nice": 10.0, "account": "007x"} {
			want[k] = v
		}
		for k, v := range want {
			if fmt.Sprint(got.Job[k]) != fmt.Sprint(v) {
				t.Errorf("v0.0.%d: %s: got %v, want %v", version, k, got.Job[k], v)
			}
		}
	}
}

// daemon is a slurmrestd that answers what it is told to.
func daemon(t *testing.T, h http.HandlerFunc) *slurmrest.Cluster {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return newCluster(t, slurmrest.Config{Address: srv.URL, Version: "v0.0.38", Token: func() (string, error) { return "secret-token", nil }, User: "p",
		CallTimeout: 5 * time.Second, SubmitTimeout: 5 * time.Second})
}

// TestOutcomes: what answers to a submission mean. Nothing but what is known to
// be a refusal is one.
func TestOutcomes(t *testing.T) {
	const unavailable, unfit, rejected, unknown = submit.Unavailable, submit.Unfit, submit.Rejected, submit.Unknown
	errs := func(codes ...int) string {
		var all []string
		for _, n := range codes {
			all = append(all, fmt.Sprintf(`{"error_code":%d,"error":"words"}`, n))
		}
		return `{"errors":[` + strings.Join(all, ",") + `]}`
	}
	for _, c := range []struct {
		name   string
		status int
		kind   string // "" = application/json
		body   string
		want   submit.Outcome
	}{
		{"limit", 500, "", errs(11), unavailable},
		{"no controller", 500, "", errs(1800), unavailable},
		{"lost on the way", 500, "", errs(1801), unknown},
		{"time-out", 500, "", errs(5004), unknown},
		{"zero bytes", 500, "", errs(5005), unknown},
		{"unspecified", 500, "", errs(-1), unknown},
		{"bad partition", 500, "", errs(2000), rejected},
		{"bad partition and more", 500, "", errs(2000, 5004), unknown},
		{"bad partition and another host", 500, "", errs(2000, 2002), unknown},
		{"denied", 500, "", errs(2002), unfit},
		{"policy", 500, "", `{"errors":[{"error_code":2050,"error":"Job violates policy"}],"job_submit_user_msg":""}`, rejected},
		{"submit limit", 500, "", `{"errors":[{"error_code":2050,"error":"AssocMaxSubmitJobLimit"}]}`, unavailable},
		{"no words", 500, "", `{}`, unknown},
		{"no id", 200, "", `{"errors":[]}`, unknown},
		{"id of a failure", 500, "", `{"job_id":17,"errors":[{"error_code":2042}]}`, unknown},
		{"cut off", 200, "", `{"job_id":17`, unknown},
		{"not JSON", 200, "text/html", "<html>17</html>", unknown},
		{"big", 200, "", `{"job_id":17,"x":"` + strings.Repeat("x", 5<<20) + `"}`, unknown},
		{"who are you", 401, "text/plain", "Authentication failure", unfit},
		{"no such version", 404, "text/plain", "Unable find", unfit},
		{"too large for a proxy", 413, "text/html", "", rejected},
		{"proxy without a daemon", 502, "text/html", "", unknown},
		{"proxy that waits no longer", 504, "text/html", "", unknown},
		{"proxy that refuses", 503, "text/html", "", unavailable},
		{"redirect", 302, "text/html", "", unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := daemon(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", c.kind)
				if c.kind == "" {
					w.Header().Set("Content-Type", "application/json")
				}
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			})
			id, err := cl.Submit(t.Context(), clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"}))
			if err == nil || submit.OutcomeOf(err) != c.want {
				t.Errorf("got %q, %v, want %v", id, err, c.want)
			}
			if c.name == "big" && !strings.Contains(fmt.Sprint(err), "over 4194304 bytes") {
				t.Errorf("got %v, want the limit in it", err)
			}
			if err != nil && strings.Contains(err.Error(), "secret-token") {
				t.Errorf("the token is in %v", err)
			}
		})
	}
	held := daemon(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"errors":[{"error_code":2042,"error":"Job is in held state"}],"job_id":17}`)
	})
	if id, err := held.Submit(t.Context(), clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})); id != "17" || err != nil {
		t.Errorf("got %q, %v, want 17: the hold is no error", id, err)
	}
}

// TestLostAnswer: a connection that ends after the request is sent leaves an
// unknown outcome, and the request isn't sent again.
func TestLostAnswer(t *testing.T) {
	requests := make(chan string, 100)
	first := true
	c := daemon(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		requests <- r.Method
		w.Header().Set("Content-Type", "application/json")
		if first { // so that a kept connection is used next
			first = false
			io.WriteString(w, `{"job_id":1}`)
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.Close()
		}
	})
	req := clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})
	if _, err := c.Submit(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	<-requests
	if _, err := c.Submit(t.Context(), req); err == nil || submit.OutcomeOf(err) != submit.Unknown {
		t.Errorf("submit: got %v, want unknown", err)
	}
	if err := c.Release(t.Context(), []string{"1"}); err == nil || submit.OutcomeOf(err) != submit.Unknown {
		t.Errorf("release: got %v, want unknown", err)
	}
	if n := len(requests); n != 2 {
		t.Errorf("got %d requests for two calls", n)
	}
}

// TestTLS: a daemon behind TLS is trusted by its certificate alone.
func TestTLS(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Header.Get("X-SLURM-USER-TOKEN") != "secret-token" || r.Header.Get("X-SLURM-USER-NAME") != "p" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		io.WriteString(w, `{"job_id":17}`)
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer srv.Close()
	cfg := slurmrest.Config{Address: srv.URL, Version: "v0.0.38", Token: func() (string, error) { return "secret-token", nil }, User: "p"}
	if _, err := newCluster(t, cfg).Submit(t.Context(), clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})); submit.OutcomeOf(err) != submit.Unfit {
		t.Errorf("a certificate of nobody's: got %v, want unfit", err)
	}
	cfg.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
	cfg.TLS.RootCAs.AddCert(srv.Certificate())
	if id, err := newCluster(t, cfg).Submit(t.Context(), clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})); id != "17" || err != nil {
		t.Errorf("got %q, %v", id, err)
	}
}

func TestConfig(t *testing.T) {
	token := func() (string, error) { return "x", nil }
	for _, c := range []struct {
		cfg slurmrest.Config
		bad string
	}{
		{slurmrest.Config{Address: "unix:/run/x"}, ""},
		{slurmrest.Config{Address: "unix:run/x"}, "absolute"},
		{slurmrest.Config{Address: "localhost:6820"}, "unix:/PATH"},
		{slurmrest.Config{Address: "http://localhost:6820"}, "token"},
		{slurmrest.Config{Address: "http://127.0.0.1:6820", Token: token}, ""},
		{slurmrest.Config{Address: "http://[::1]:6820", Token: token}, ""},
		{slurmrest.Config{Address: "http://rest.example.org:6820", Token: token}, "clear text"},
		{slurmrest.Config{Address: "http://rest.example.org:6820", Token: token, Insecure: true}, ""},
		{slurmrest.Config{Address: "https://rest.example.org", Token: token}, ""},
		{slurmrest.Config{Address: "https://u:p@rest.example.org", Token: token}, "unix:/PATH"},
		{slurmrest.Config{Address: "unix:/x", Version: "38"}, "version"},
		{slurmrest.Config{Address: "unix:/x", Properties: map[string]string{"hold": "false"}}, "hold"},
		{slurmrest.Config{Address: "unix:/x", Guard: "on"}, "guard"},
		{slurmrest.Config{Address: "unix:/x", Workdir: "x"}, "absolute"},
	} {
		_, err := slurmrest.New(c.cfg)
		if (err == nil) != (c.bad == "") || err != nil && !strings.Contains(err.Error(), c.bad) {
			t.Errorf("%+v: got %v, want an error with %q", c.cfg, err, c.bad)
		}
	}
}
