package http_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	nethttp "net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"fencepost/codec"
	"fencepost/submit"
	"fencepost/submit/clustertest"
	"fencepost/submit/http"
)

func TestMain(m *testing.M) { os.Exit(clustertest.Main(m)) }

func newCluster(t testing.TB, cfg http.Config) *http.Cluster {
	t.Helper()
	c, err := http.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConformance(t *testing.T) {
	s := httptest.NewServer(clustertest.NewKeyServer(t))
	defer s.Close()
	clustertest.Suite{Cluster: newCluster(t, http.Config{URL: s.URL + "/jobs", ProbeURL: s.URL + "/health"})}.Run(t)
}

func request(t *testing.T) submit.Request {
	return clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})
}

func TestAnswers(t *testing.T) {
	tests := []struct {
		status int
		body   string
		set    map[string]string
		from   string
		id     string
		want   submit.Outcome
	}{
		{200, `{"id":"17"}`, nil, "", "17", 0},
		{201, `{"id":17}`, nil, "", "17", 0},
		{202, `{"id":123456789012345678901}`, nil, "", "123456789012345678901", 0},
		{200, "17\n", nil, "text", "17", 0},
		{201, "", nil, "header:Location", "/jobs/17", 0},
		{200, `{"job":{"id":"17"}}`, nil, "", "", submit.Unknown},
		{200, `{"id":true}`, nil, "", "", submit.Unknown},
		{200, `{"id":""}`, nil, "", "", submit.Unknown},
		{200, `{"id":"a\nb"}`, nil, "", "", submit.Unknown},
		{200, `{"id":"` + strings.Repeat("/", 40) + `"}`, nil, "", "", submit.Unknown},
		{200, "not JSON", nil, "", "", submit.Unknown},
		{204, "", nil, "", "", submit.Unknown},
		{301, "", nil, "", "", submit.Unknown},
		{400, "bad", nil, "", "", submit.Rejected},
		{401, "who?", nil, "", "", submit.Unfit},
		{404, "", nil, "", "", submit.Unfit},
		{409, "in progress", nil, "", "", submit.Unknown},
		{422, "", nil, "", "", submit.Rejected},
		{429, "slower", nil, "", "", submit.Unavailable},
		{500, "oops", nil, "", "", submit.Unknown},
		{502, "", nil, "", "", submit.Unknown},
		{503, "full", nil, "", "", submit.Unavailable},
		{500, "", map[string]string{"5xx": "unavailable"}, "", "", submit.Unavailable},
		{503, "", map[string]string{"5xx": "unknown"}, "", "", submit.Unavailable},
		{503, "", map[string]string{"503": "unknown"}, "", "", submit.Unknown},
		{409, `{"id":"17"}`, map[string]string{"409": "accepted"}, "", "17", 0},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d %.20s", tt.status, tt.body), func(t *testing.T) {
			s := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
				if r.Method != nethttp.MethodPost {
					t.Errorf("got a %s: a redirect was followed", r.Method)
				}
				w.Header().Set("Location", "/jobs/17")
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			}))
			defer s.Close()
			id, err := newCluster(t, http.Config{URL: s.URL, Answers: tt.set, ID: tt.from}).Submit(t.Context(), request(t))
			if id != tt.id || (err == nil) != (tt.id != "") || submit.OutcomeOf(err) != tt.want {
				t.Errorf("got %q, %v, want %q, %v", id, err, tt.id, tt.want)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	r := request(t)
	s := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, req *nethttp.Request) {
		body, _ := io.ReadAll(req.Body)
		for k, want := range map[string]string{"X-Key": `"` + r.Key + `"`, "Fencepost-Token": r.Token, "Fencepost-Host": r.Host,
			"Fencepost-Spool": r.SpoolID, "Authorization": "Bearer x", "Content-Type": "application/json"} {
			if got := req.Header.Get(k); got != want {
				t.Errorf("%s: got %q, want %q", k, got, want)
			}
		}
		if !bytes.Equal(body, r.Document) {
			t.Errorf("got body %q", body)
		}
		_, _ = io.WriteString(w, `{"id":"17"}`)
	}))
	defer s.Close()
	c := newCluster(t, http.Config{URL: s.URL, KeyHeader: "X-Key", QuoteKey: true, Headers: map[string]string{"Authorization": "Bearer x"}})
	if _, err := c.Submit(t.Context(), r); err != nil {
		t.Error(err)
	}
}

func TestNoAnswer(t *testing.T) {
	s := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		_, _ = io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/hang":
			<-r.Context().Done()
		case "/cut":
			panic(nethttp.ErrAbortHandler)
		case "/half":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"id":"17"`)
		}
	}))
	defer s.Close()
	for _, path := range []string{"/hang", "/cut", "/half"} {
		c := newCluster(t, http.Config{URL: s.URL + path, ProbeURL: s.URL + path, Timeout: 500 * time.Millisecond})
		if id, err := c.Submit(t.Context(), request(t)); err == nil || submit.OutcomeOf(err) != submit.Unknown {
			t.Errorf("%s: got %q, %v, want unknown", path, id, err)
		}
		if err := c.Probe(t.Context()); path != "/half" && submit.OutcomeOf(err) != submit.Unavailable {
			t.Errorf("%s: probe: got %v, want unavailable", path, err)
		}
	}
	closed := newCluster(t, http.Config{URL: "http://127.0.0.1:1/"})
	if _, err := closed.Submit(t.Context(), request(t)); submit.OutcomeOf(err) != submit.Unavailable {
		t.Errorf("nobody listens: got %v, want unavailable", err)
	}
	if err := closed.Probe(t.Context()); submit.OutcomeOf(err) != submit.Unavailable {
		t.Errorf("nobody listens: probe: got %v, want unavailable", err)
	}
}

func TestCertificates(t *testing.T) {
	s := httptest.NewUnstartedServer(clustertest.NewKeyServer(t))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	if _, err := newCluster(t, http.Config{URL: s.URL}).Submit(t.Context(), request(t)); submit.OutcomeOf(err) != submit.Unfit {
		t.Errorf("unknown authority: got %v, want unfit", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	if _, err := newCluster(t, http.Config{URL: s.URL, TLS: &tls.Config{RootCAs: pool}}).Submit(t.Context(), request(t)); err != nil {
		t.Error(err)
	}
}

func TestProbe(t *testing.T) {
	for status, want := range map[int]submit.Outcome{401: submit.Unfit, 404: submit.Unfit, 301: submit.Unfit, 429: submit.Unavailable,
		500: submit.Unavailable, 503: submit.Unavailable} {
		s := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) { w.WriteHeader(status) }))
		if err := newCluster(t, http.Config{URL: s.URL, ProbeURL: s.URL}).Probe(t.Context()); err == nil || submit.OutcomeOf(err) != want {
			t.Errorf("%d: got %v, want %v", status, err, want)
		}
		s.Close()
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, cfg := range []http.Config{{}, {URL: "host/jobs"}, {URL: "ftp://h/"}, {URL: "http://h/", ProbeURL: "/x"},
		{URL: "http://h/", ID: "xml:id"}, {URL: "http://h/", ID: "json:"}, {URL: "http://h/", Answers: map[string]string{"200": "fine"}},
		{URL: "http://h/", Answers: map[string]string{"20": "accepted"}}, {URL: "http://h/", Answers: map[string]string{"xxx": "accepted"}}} {
		if _, err := http.New(cfg); err == nil {
			t.Errorf("%+v: no error", cfg)
		}
	}
}
