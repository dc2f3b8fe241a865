package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fencepost/cmd/fencepost/node"
	"fencepost/cmd/fencepost/web"
	"fencepost/spool"
)

const (
	jobID = "01900000-0000-7000-8000-00000000001c"
	evil  = `<script>alert("x")</script>` + "\x1b[31m"
)

// source is a spool with one of everything, whose texts are hostile.
type source struct {
	looks atomic.Int32
	reads atomic.Int32                  // of lists and jobs
	hang  atomic.Pointer[chan struct{}] // looks wait for it
	fail  atomic.Pointer[error]
	self  web.Self
}

func newSource() *source {
	return &source{self: web.Self{Host: "alpha", Version: "1.0.0", Spool: "/srv/spool", SpoolID: "5b1e6a1c", TTL: 10 * time.Second,
		Node: node.Stats{Epoch: 3, Renewed: true, Since: time.Hour, Claims: map[spool.Stage]node.Claims{spool.Submit: {Won: 5, Lost: 2}},
			Fit: map[spool.Stage]bool{spool.Submit: true}}}}
}

func (s *source) wait() error {
	if ch := s.hang.Load(); ch != nil {
		<-*ch
	}
	if err := s.fail.Load(); err != nil {
		return *err
	}
	return nil
}

func (s *source) Self() web.Self { return s.self }

type doc = map[string]any

func (s *source) Look(context.Context) (web.Picture, error) {
	s.looks.Add(1)
	if err := s.wait(); err != nil {
		return web.Picture{}, err
	}
	hosts := []doc{
		{"host": "alpha", "enrolled": true, "state": "live", "epoch": 3, "stages": []string{"ingest", "translate", "submit"}, "heartbeat_age_seconds": 0.4,
			"claims": 2, "version": "1.0.0", "config_digest": "9f2c11d0aa01", "machine_id": "3d1219c7c4c5404aaa1f6d2a48adfda4", "pid": 4711,
			"since": "2026-01-02T03:04:05Z", "listen": "10.0.0.5:7433", "http": "127.0.0.1:7480"},
		{"host": "bravo", "enrolled": true, "state": "silent", "reason": "its heartbeat doesn't change", "epoch": 8, "stages": []string{"translate", "submit"},
			"heartbeat_age_seconds": 14.2, "version": "1.0.0"},
		{"host": "carol", "enrolled": true, "state": "unfit", "reason": "submit: " + evil, "epoch": 1, "stages": []string{"translate", "submit"},
			"unfit_stages": []string{"submit"}, "heartbeat_age_seconds": 0.9, "version": "1.0.0", "draining": true}}
	alarms := []doc{{"kind": "canary", "stage": "submit", "host": "alpha", "by": "alpha/3", "count": 2, "first": "2026-01-02T03:04:05Z", "last": "2026-01-02T03:05:05Z",
		"detail": "json/canary-alpha.json was taken: a program that isn't fencepost takes files out of json/" + evil}}
	status := doc{"spool": "/srv/spool", "spool_id": "5b1e6a1c", "ok": false, "accepted": 1042, "waiting": doc{"translate": 3, "submit": 17}, "claimed": 2, "sealed": 1,
		"held": 1, "parked": 2, "failed": 1, "done": 1014, "hosts": hosts, "intruders": 2, "vanished": 1, "alarms": alarms,
		"vanished_jobs": []doc{{"job": jobID, "stage": "submit", "host": "alpha", "detail": "last seen waiting in json/"}},
		"problems": []doc{{"code": "vanished", "text": "1 accepted and nowhere: " + jobID, "exit": 5, "next": "fencepost audit --recover"},
			{"code": "silent", "text": "host bravo is silent: its heartbeat doesn't change", "exit": 4, "next": "fencepost hosts"},
			{"code": "parked", "text": "2 parked: " + evil, "exit": 0, "next": "fencepost jobs --state parked"}}}
	return web.Picture{Status: status, Hosts: doc{"hosts": hosts}, Depth: doc{"stages": []doc{
		{"stage": "submit", "state": "waiting", "count": 17, "oldest_seconds": 341.5, "oldest_job": jobID},
		{"stage": "translate", "state": "waiting", "count": 3, "oldest_seconds": 0.8, "oldest_job": jobID}}},
		Intruders: doc{"alarms": alarms, "foreign_files": []string{"intruders/foreign/x" + evil}, "intruders": []doc{
			{"host": "old-submit-2", "machine_id": "aa" + evil, "reason": "the host is not on the roster", "count": 31,
				"first": "2026-01-02T03:04:05Z", "last": "2026-01-02T05:04:05Z"}}}}, nil
}

func (s *source) Audit(context.Context) (any, error) {
	return doc{"accepted": 1042, "done": 1014, "difference": 1, "vanished": []string{jobID}}, s.wait()
}

func (s *source) Jobs(_ context.Context, q web.JobsQuery) (any, error) {
	s.reads.Add(1)
	one := doc{"job": jobID, "state": "parked", "stage": "submit", "host": "alpha", "epoch": 3, "generation": 2, "cluster_id": "4711" + evil, "time": "2026-01-02T03:04:05Z"}
	if !strings.HasPrefix(jobID, q.Prefix) {
		return doc{"jobs": []doc{}, "total": 0}, s.wait()
	}
	return doc{"jobs": []doc{one, one}[:1+len(q.Prefix)%2], "total": 1 + len(q.Prefix)%2}, s.wait()
}

func (s *source) Job(_ context.Context, prefix string) (web.JobDocs, error) {
	s.reads.Add(1)
	switch prefix {
	case "none":
		return web.JobDocs{}, fmt.Errorf("%w: none", spool.ErrNotFound)
	case "0":
		return web.JobDocs{}, fmt.Errorf("%w 0: several", spool.ErrAmbiguous)
	}
	return web.JobDocs{Trace: traceDoc(), Why: doc{"state": "parked", "gates": []doc{{"gate": "accepted", "pass": true, "detail": "it passed the gate"},
		{"gate": "its host", "waits": true, "detail": "another host takes it back"},
		{"gate": "not parked", "pass": false, "detail": "its outcome is unclear: a person decides"}},
		"verdict": "it stands at \"not parked\"" + evil, "next": "fencepost unpark",
		"reasons": []doc{{"time": "2026-01-02T03:09:05Z", "host": "bravo", "event": "parked", "reason": "the answer was lost " + evil, "token": "alpha/3/15"}}}}, s.wait()
}

// traceDoc is a job that alpha died with; bravo's clock is behind.
func traceDoc() doc {
	at := func(s string) string { return "2026-01-02T03:" + s + "Z" }
	return doc{"job": jobID, "state": "parked", "where": doc{"job": jobID, "state": "parked", "stage": "submit", "path": "parked/submit~" + jobID + ".json"},
		"events": []doc{
			{"time": at("04:05.000"), "host": "alpha", "epoch": 3, "stage": "ingest", "event": "accepted", "token": "alpha/3/14"},
			{"time": at("04:05.050"), "host": "alpha", "epoch": 3, "stage": "translate", "event": "claimed", "token": "alpha/3/15"},
			{"time": at("04:05.052"), "host": "alpha", "epoch": 3, "stage": "translate", "event": "sealed", "token": "alpha/3/15"},
			{"time": at("04:05.054"), "host": "alpha", "epoch": 3, "stage": "translate", "event": "published", "token": "alpha/3/15"},
			{"time": at("04:06.100"), "host": "alpha", "epoch": 3, "stage": "submit", "event": "claimed", "token": "alpha/3/16"},
			{"time": at("04:17.100"), "host": "bravo", "epoch": 8, "stage": "submit", "event": "reclaimed", "token": "alpha/3/16", "generation": 1, "detail": "its host is gone " + evil},
			{"time": at("04:16.000"), "host": "bravo", "epoch": 8, "stage": "submit", "event": "claimed", "token": "bravo/8/2", "generation": 1},
			{"time": at("04:46.500"), "host": "bravo", "epoch": 8, "stage": "submit", "event": "parked", "token": "bravo/8/2", "generation": 1, "detail": "the answer was lost"},
		}}
}

func start(t *testing.T, s *source, change func(*web.Config)) *httptest.Server {
	t.Helper()
	cfg := web.Config{Source: s, Limit: 500 * time.Millisecond}
	if change != nil {
		change(&cfg)
	}
	srv, err := web.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewServer(srv.Handler())
	t.Cleanup(ts.Close)
	return ts
}

func get(t *testing.T, url string, header ...string) (code int, body string, h http.Header) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header) && header[i] != ""; i += 2 {
		req.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
	}
	client := http.Client{Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data), resp.Header
}

// pages are all addresses, with what they must say.
func pages() map[string][]string {
	return map[string][]string{
		"/":                     {"Unsafe: 2 things need a person now", "fencepost audit --recover", "bravo", "oldest 5.7 min", "taken: a foreign program"},
		"/hosts/carol":          {"Host carol", "unfit", "3d1219c7"},
		"/jobs":                 {jobID, "parked"},
		"/jobs?state=parked":    {jobID},
		"/jobs/" + jobID:        {"Who had it, and for how long", "the answer was lost", `id="e8"`, "11.0 s", `<li class="wait">`, "it stands at", "fencepost unpark"},
		"/audit":                {"The balance is wrong", "accepted, at the gate", jobID, "1014"},
		"/intruders":            {"old-submit-2", "canary", jobID},
		"/live":                 {"What <b>alpha</b> does"},
		"/api/v1/":              {"fencepost.api/v1"},
		"/api/v1/status":        {`"schema": "fencepost.status/v1"`, `"vanished": 1`},
		"/api/v1/hosts":         {`"schema": "fencepost.hosts/v1"`},
		"/api/v1/depth":         {`"schema": "fencepost.depth/v1"`},
		"/api/v1/intruders":     {`"schema": "fencepost.intruders/v1"`},
		"/api/v1/audit":         {`"schema": "fencepost.audit/v1"`, `"difference": 1`},
		"/api/v1/jobs?limit=5":  {`"schema": "fencepost.jobs/v1"`},
		"/api/v1/jobs/" + jobID: {`"schema": "fencepost.trace/v1"`},
		"/api/v1/jobs/0190/why": {`"schema": "fencepost.why/v1"`},
		"/metrics":              {"fencepost_vanished_jobs 1", `fencepost_jobs{place="waiting",stage="submit"} 17`, `fencepost_host_up{host="bravo"} 0`, "fencepost_share_up 1"},
		"/healthz":              {"ok: host alpha epoch 3"},
		"/readyz":               {"ready: epoch 3"},
	}
}

// Every page says what it should, with every header, and none lets a text of
// the spool become markup or reach a terminal as it is.
func TestPages(t *testing.T) {
	s := newSource()
	ts := start(t, s, nil)
	for path, want := range pages() {
		t.Run(path, func(t *testing.T) {
			code, body, h := get(t, ts.URL+path)
			if path == "/hosts/carol" {
				want = want[:2]
			}
			for _, w := range want {
				if code != http.StatusOK || !strings.Contains(body, w) {
					t.Fatalf("got %d without %q:\n%s", code, w, body)
				}
			}
			html := strings.HasPrefix(h.Get("Content-Type"), "text/html")
			if html && strings.Contains(body, "<script>alert") || strings.Contains(body, "\x1b") {
				t.Errorf("a text of the spool came through as it is:\n%s", body)
			}
			for name, w := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "Cache-Control": "no-store"} {
				if got := h.Get(name); got != w {
					t.Errorf("%s: got %q, want %q", name, got, w)
				}
			}
			csp := h.Get("Content-Security-Policy")
			for _, w := range []string{"default-src 'none'", "frame-ancestors 'none'", "script-src 'sha256-"} {
				if !strings.Contains(csp, w) || strings.Contains(csp, "unsafe") {
					t.Errorf("policy %q lacks %s", csp, w)
				}
			}
			if strings.HasPrefix(path, "/api/") && !json.Valid([]byte(body)) {
				t.Errorf("no JSON: %s", body)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	ts := start(t, newSource(), nil)
	for path, want := range map[string]int{"/hosts/none": 404, "/nowhere": 404, "/api/v1/none": 404, "/jobs/none": 404, "/jobs/0": 409, "/api/v1/jobs/none": 404,
		"/api/v1/jobs/0": 409, "/jobs?state=x": 400, "/api/v1/jobs?limit=0": 400, "/api/v1/jobs?stage=x": 400,
		"/jobs?q=" + jobID: 303, "/jobs?q=01900000-0": 303, "/jobs?q=019": 200, "/jobs?q=ffff": 200} {
		if code, body, _ := get(t, ts.URL+path); code != want {
			t.Errorf("%s: got %d, want %d\n%s", path, code, want, body)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
		for path := range pages() {
			req, _ := http.NewRequest(method, ts.URL+path, strings.NewReader("x"))
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: got %d, want 405", method, path, resp.StatusCode)
			}
		}
	}
	// A name that somebody else's page made point here.
	if code, _, _ := get(t, ts.URL+"/", "Host", "evil.example:80"); code != http.StatusMisdirectedRequest {
		t.Errorf("foreign name: got %d, want 421", code)
	}
}

func TestToken(t *testing.T) {
	const token = "correct-horse-battery"
	ts := start(t, newSource(), func(c *web.Config) { c.Token = token })
	for _, c := range []struct {
		path, header, value string
		want                int
	}{{"/", "", "", 401}, {"/metrics", "", "", 401}, {"/api/v1/status", "Authorization", "Bearer wrong", 401}, {"/events", "", "", 401},
		{"/", "Cookie", "fencepost_token=" + token, 401}, {"/?token=wrong", "", "", 401}, {"/?token=", "", "", 401},
		{"/healthz", "", "", 200}, {"/readyz", "", "", 200}, {"/metrics", "Authorization", "Bearer " + token, 200}} {
		if code, _, _ := get(t, ts.URL+c.path, c.header, c.value); code != c.want {
			t.Errorf("%s with %s: got %d, want %d", c.path, c.value, code, c.want)
		}
	}
	code, _, h := get(t, ts.URL+"/jobs?state=done&token="+token)
	cookie := h.Get("Set-Cookie")
	if code != http.StatusSeeOther || h.Get("Location") != "/jobs?state=done" || strings.Contains(cookie, token) {
		t.Fatalf("got %d to %q, cookie %q", code, h.Get("Location"), cookie)
	}
	for _, w := range []string{"HttpOnly", "SameSite=Strict"} {
		if !strings.Contains(cookie, w) {
			t.Errorf("cookie %q lacks %s", cookie, w)
		}
	}
	value, _, _ := strings.Cut(cookie, ";")
	if code, _, _ := get(t, ts.URL+"/jobs", "Cookie", value); code != http.StatusOK {
		t.Errorf("with the cookie: got %d", code)
	}
	if _, _, h := get(t, ts.URL+"//evil.example/?token="+token); strings.HasPrefix(h.Get("Location"), "//") {
		t.Errorf("sends away to %s", h.Get("Location"))
	}
}

// A share that doesn't answer: pages say so at once and show what they had;
// machines get an error; however many ask, one look hangs.
func TestDeadShare(t *testing.T) {
	s := newSource()
	ts := start(t, s, nil)
	get(t, ts.URL+"/")
	time.Sleep(1100 * time.Millisecond)
	hang := make(chan struct{})
	s.hang.Store(&hang)
	defer close(hang)
	get(t, ts.URL+"/") // patient: the look may still end
	time.Sleep(600 * time.Millisecond)
	before := s.looks.Load()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			began := time.Now()
			code, body, _ := get(t, ts.URL+"/")
			if code != 200 || !strings.Contains(body, "the share does not answer since") || !strings.Contains(body, "what follows was seen at") ||
				!strings.Contains(body, "bravo") {
				t.Errorf("got %d\n%s", code, body)
			}
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
	wg.Wait()
	if code, body, _ := get(t, ts.URL+"/api/v1/status"); code != 503 || !strings.Contains(body, "last_seen") {
		t.Errorf("api: got %d\n%s", code, body)
	}
	if _, body, _ := get(t, ts.URL+"/metrics"); !strings.Contains(body, "fencepost_share_up 0") || strings.Contains(body, "fencepost_vanished_jobs ") {
		t.Errorf("metrics: old numbers:\n%s", body)
	}
	for range 10 { // more than there are slots
		if code, _, _ := get(t, ts.URL+"/jobs/"+jobID); code != 503 {
			t.Errorf("job: got %d, want 503", code)
		}
	}
	if got := s.looks.Load() - before; got != 0 {
		t.Errorf("got %d more looks while one hangs, want 0", got)
	}
}

func TestShareDeadFromTheStart(t *testing.T) {
	s := newSource()
	ts := start(t, s, nil)
	hang := make(chan struct{})
	defer close(hang)
	s.hang.Store(&hang)
	if code, body, _ := get(t, ts.URL+"/"); code != 503 || !strings.Contains(body, "the share does not answer since") {
		t.Fatalf("got %d\n%s", code, body)
	}
}

func TestFailingShare(t *testing.T) {
	s := newSource()
	ts := start(t, s, nil)
	err := errors.New("list: xml: input/output error")
	s.fail.Store(&err)
	if code, body, _ := get(t, ts.URL+"/"); code != 503 || !strings.Contains(body, "input/output error") {
		t.Errorf("got %d\n%s", code, body)
	}
}

// However many look at once, the spool is looked at once.
func TestOneLookForAll(t *testing.T) {
	s := newSource()
	ts := start(t, s, nil)
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() { get(t, ts.URL+"/api/v1/status") })
	}
	wg.Wait()
	if got := s.looks.Load(); got != 1 {
		t.Errorf("got %d looks, want 1", got)
	}
	time.Sleep(50 * time.Millisecond)
	if got := s.looks.Load(); got != 1 {
		t.Errorf("nobody asks: got %d looks, want 1", got)
	}
}

// Viewers of one list, or of one job, share the answer; other questions have
// answers of their own, and are forgotten in time.
func TestOneAnswerForTheSameQuestion(t *testing.T) {
	s := newSource()
	hold := make(chan struct{})
	s.hang.Store(&hold)
	ts := start(t, s, func(c *web.Config) { c.Limit = 30 * time.Second })
	var wg sync.WaitGroup
	for _, path := range []string{"/jobs?state=parked", "/api/v1/jobs?state=parked", "/jobs/" + jobID, "/api/v1/jobs/" + jobID, "/api/v1/jobs/" + jobID + "/why"} {
		for range 8 {
			wg.Go(func() {
				if code, body, _ := get(t, ts.URL+path); code != http.StatusOK {
					t.Errorf("%s: got %d %s", path, code, body)
				}
			})
		}
	}
	for end := time.Now().Add(time.Minute); s.reads.Load() < 2 && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
	}
	s.hang.Store(nil)
	close(hold)
	wg.Wait()
	// All came while one read was under way, or within the second after it: but
	// on a busy machine some may have come later.
	if got := s.reads.Load(); got < 2 || got > 20 {
		t.Errorf("40 requests for a list and a job: got %d reads, want 2", got)
	}
	if kept, last := web.Shelved(100, 32); kept != 32 || !last {
		t.Errorf("of 100 answers %d are kept (the last: %t), want the last 32", kept, last)
	}
}

func TestStreamAndLimits(t *testing.T) {
	events := web.NewEvents()
	ts := start(t, newSource(), func(c *web.Config) { c.Events = events; c.Viewers = 2 })
	resp, err := http.Get(ts.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Scan() // retry: the stream stands
	events.Add(spool.Event{Event: "claimed", Job: jobID, Stage: spool.Submit, Detail: "two\nlines" + evil, Seconds: 1})
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			var e spool.Event
			if err := json.Unmarshal([]byte(text), &e); err != nil || e.Job != jobID || strings.Contains(text, "<script") {
				t.Errorf("got %s, %v", text, err)
			}
			break
		}
	}
	if code, body, _ := get(t, ts.URL+"/events"); code != 503 || !strings.Contains(body, "too many live viewers") {
		t.Errorf("second stream: got %d %s, want 503", code, body)
	}
	if code, body, _ := get(t, ts.URL+"/live"); code != 200 || !strings.Contains(body, "claimed") {
		t.Errorf("live: got %d", code)
	}
}

// Claims that were taken back from others are counted from the journal's events.
func TestReclaimedClaims(t *testing.T) {
	events := web.NewEvents()
	ts := start(t, newSource(), func(c *web.Config) { c.Events = events })
	for range 3 {
		events.Add(spool.Event{Event: "reclaimed", Job: jobID, Stage: spool.Submit})
	}
	if _, body, _ := get(t, ts.URL+"/metrics"); !strings.Contains(body, `fencepost_claims_total{result="reclaimed",stage="submit"} 3`) ||
		!strings.Contains(body, `fencepost_claims_total{result="reclaimed",stage="translate"} 0`) {
		t.Errorf("got %s", body)
	}
}

func TestHealth(t *testing.T) {
	for _, c := range []struct {
		name           string
		st             node.Stats
		health, ready_ int
	}{{"works", node.Stats{Epoch: 1, Renewed: true, Since: time.Hour}, 200, 200},
		{"drained", node.Stats{Epoch: 1, Renewed: true, Since: time.Hour, Refuses: "a person drains it"}, 200, 503},
		{"starts", node.Stats{Since: time.Second, Refuses: "starts"}, 200, 503},
		{"never starts", node.Stats{Since: time.Hour, Refuses: "starts"}, 503, 503},
		{"can't write", node.Stats{Epoch: 1, Since: time.Hour}, 503, 200}} {
		s := newSource()
		s.self.Node = c.st
		hang := make(chan struct{})
		s.hang.Store(&hang) // neither needs the share
		ts := start(t, s, nil)
		if code, body, _ := get(t, ts.URL+"/healthz"); code != c.health {
			t.Errorf("%s: healthz got %d %s, want %d", c.name, code, body, c.health)
		}
		if code, body, _ := get(t, ts.URL+"/readyz"); code != c.ready_ {
			t.Errorf("%s: readyz got %d %s, want %d", c.name, code, body, c.ready_)
		}
	}
}

// A host that was killed before its journal was written: its lane is there all
// the same, since the token in the next event says who had the job.
func TestLanesOfTheUntold(t *testing.T) {
	d := traceDoc()
	events, _ := d["events"].([]doc)
	d["events"] = slices.DeleteFunc(events, func(e doc) bool { return e["token"] == "alpha/3/16" && e["event"] == "claimed" })
	tr, err := web.ReadTrace(d, time.Date(2026, 1, 2, 5, 4, 46, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	got := web.Lane(tr)
	if want := "work alpha 12.0 s"; len(got) != 7 || got[3] != want {
		t.Errorf("got %q, want %q as the fourth", got, want)
	}
}

// The picture of a job that was taken over, by a host whose clock is behind.
func TestLanes(t *testing.T) {
	tr, err := web.ReadTrace(traceDoc(), time.Date(2026, 1, 2, 5, 4, 46, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(web.Lane(tr), "\n")
	want := strings.Join([]string{"wait on the share 50 ms", "work alpha 2 ms", "sealed alpha 2 ms", "wait on the share 1.0 s", "work alpha 11.0 s",
		"wait on the share 0 ms", "work bravo 30.5 s", "aside on the share 2.0 h"}, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
