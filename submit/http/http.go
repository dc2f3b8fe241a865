package http

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"fencepost/submit"
	"fencepost/submit/internal/word"
)

// Accepted is the word for an accepting answer in Config.Answers, beside those
// of submit.Outcome.
const Accepted = "accepted"

// Config is where to post, and what the answers mean.
type Config struct {
	URL      string
	ProbeURL string            // GET; any 2xx = fit. "" = only a connection is made
	Headers  map[string]string // on every request, such as Authorization
	Host     string            // this host, for the probe

	KeyHeader string // "" = Idempotency-Key
	QuoteKey  bool   // the key in quotes, as the IETF draft writes it

	// Answers adds to or replaces what statuses mean: "409" or "5xx" to
	// accepted, rejected, unavailable, unfit or unknown. A number counts
	// before a class.
	Answers map[string]string

	// ID says where the service's id of the job is: "json:FIELD", "header:NAME"
	// or "text" (the whole body). "" = json:id.
	ID string

	PinID   string        // names the service in the pin instead of the URL
	Timeout time.Duration // 0 = 30 s
	TLS     *tls.Config   // nil = the system's certificates
}

// answers is what statuses mean as it comes.
var answers = map[string]string{
	"200": Accepted, "201": Accepted, "202": Accepted,
	"400": "rejected", "413": "rejected", "415": "rejected", "422": "rejected",
	"408": "unavailable", "425": "unavailable", "429": "unavailable", "503": "unavailable",
	"401": "unfit", "403": "unfit", "404": "unfit", "405": "unfit", "407": "unfit",
}

var outcomes = map[string]submit.Outcome{"rejected": submit.Rejected, "unavailable": submit.Unavailable,
	"unfit": submit.Unfit, "unknown": submit.Unknown}

const maxAnswer = 1 << 20

// Cluster is a service behind HTTP.
type Cluster struct {
	cfg     Config
	answers map[string]string
	client  *http.Client
}

var _ submit.Cluster = (*Cluster)(nil)

// New makes the backend. It connects to nothing yet.
func New(cfg Config) (*Cluster, error) {
	c := &Cluster{cfg: cfg, answers: maps.Clone(answers)}
	for _, s := range []string{cfg.URL, cmp.Or(cfg.ProbeURL, cfg.URL)} {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("http backend: %q is not the URL of a service", s)
		}
	}
	for status, means := range cfg.Answers {
		if _, ok := outcomes[means]; !ok && means != Accepted {
			return nil, fmt.Errorf("http backend: answer %s: no such meaning: %q", status, means)
		}
		n, err := strconv.Atoi(strings.Replace(status, "xx", "00", 1))
		if err != nil || len(status) != 3 || n < 100 || n > 599 {
			return nil, fmt.Errorf("http backend: %q is neither a status nor a class like 5xx", status)
		}
		c.answers[status] = means
	}
	if c.cfg.ID == "" {
		c.cfg.ID = "json:id"
	}
	kind, name, _ := strings.Cut(c.cfg.ID, ":")
	if (kind != "json" && kind != "header" || name == "") && c.cfg.ID != "text" {
		return nil, fmt.Errorf("http backend: id is json:FIELD, header:NAME or text, not %q", c.cfg.ID)
	}
	if c.cfg.KeyHeader == "" {
		c.cfg.KeyHeader = "Idempotency-Key"
	}
	if c.cfg.Timeout <= 0 {
		c.cfg.Timeout = 30 * time.Second
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = cfg.TLS
	c.client = &http.Client{Transport: transport, Timeout: c.cfg.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c, nil
}

// Caps: the job id is the key.
func (c *Cluster) Caps() submit.Caps { return submit.Caps{Key: true} }

// Pin names the service.
func (c *Cluster) Pin(context.Context) (map[string]string, error) {
	if c.cfg.PinID != "" {
		return map[string]string{"backend": "http", "id": c.cfg.PinID}, nil
	}
	return map[string]string{"backend": "http", "url": c.cfg.URL}, nil
}

// Slots is unlimited: a full service says so.
func (c *Cluster) Slots(context.Context) (int, error) { return -1, nil }

// List is not supported.
func (c *Cluster) List(context.Context) ([]submit.Job, error) { return nil, submit.ErrNotSupported }

// Release is not supported.
func (c *Cluster) Release(context.Context, []string) error { return submit.ErrNotSupported }

// Cancel is not supported.
func (c *Cluster) Cancel(context.Context, string) error { return submit.ErrNotSupported }

// Past is not supported.
func (c *Cluster) Past(context.Context, string) (submit.Past, error) {
	return submit.Past{}, submit.ErrNotSupported
}

// Submit posts the job.
func (c *Cluster) Submit(ctx context.Context, r submit.Request) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.URL, bytes.NewReader(r.Document))
	if err != nil {
		return "", &submit.Error{Outcome: submit.Unfit, Op: "post", Err: err}
	}
	c.dress(req)
	key := r.Key
	if c.cfg.QuoteKey {
		key = `"` + key + `"`
	}
	for k, v := range map[string]string{c.cfg.KeyHeader: key, "Content-Type": "application/json",
		"Fencepost-Token": r.Token, "Fencepost-Host": r.Host, "Fencepost-Spool": r.SpoolID} {
		req.Header.Set(k, v)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return "", transportError("post", err)
	}
	defer resp.Body.Close()
	body, rerr := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if means := c.meaning(resp.StatusCode); means != Accepted {
		return "", &submit.Error{Outcome: outcomes[means], Op: "post", Detail: word.Message(body), Err: errors.New(resp.Status)}
	}
	id, err := c.id(resp, body)
	if err = errors.Join(rerr, err); err != nil {
		return "", &submit.Error{Outcome: submit.Unknown, Op: "post", Detail: word.Message(body), Err: fmt.Errorf("%s: %w", resp.Status, err)}
	}
	return id, nil
}

// dress adds what every request bears.
func (c *Cluster) dress(req *http.Request) {
	for k, v := range c.cfg.Headers {
		req.Header.Set(k, v)
	}
	req.Header.Set("User-Agent", "fencepost")
}

// meaning looks a status up; what isn't there may have been accepted.
func (c *Cluster) meaning(status int) string {
	s := strconv.Itoa(status)
	for _, k := range []string{s, s[:1] + "xx"} {
		if means, ok := c.answers[k]; ok {
			return means
		}
	}
	return "unknown"
}

// id finds the service's id of the job in its answer.
func (c *Cluster) id(resp *http.Response, body []byte) (string, error) {
	kind, name, _ := strings.Cut(c.cfg.ID, ":")
	switch kind {
	case "header":
		return word.ID([]byte(resp.Header.Get(name)))
	case "text":
		return word.ID(body)
	}
	var doc map[string]any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		return "", fmt.Errorf("read answer: %w", err)
	}
	switch v := doc[name].(type) {
	case string:
		return word.ID([]byte(v))
	case json.Number:
		return word.ID([]byte(v.String()))
	}
	return "", fmt.Errorf("no %q in the answer", name)
}

// transportError judges a request that has no answer. Only where no connection
// was made is it sure that nothing was sent.
func transportError(op string, err error) error {
	e := &submit.Error{Op: op, Err: err}
	var dial *net.OpError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &cert), errors.As(err, &authority), errors.As(err, &host):
		e.Outcome = submit.Unfit
	case errors.As(err, &dial) && dial.Op == "dial":
		e.Outcome = submit.Unavailable
	}
	return e
}

// Probe asks the probe's URL, or connects to the service.
func (c *Cluster) Probe(ctx context.Context) error {
	if c.cfg.ProbeURL == "" {
		return c.connect(ctx)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.cfg.ProbeURL, nil)
	if err != nil {
		return &submit.Error{Outcome: submit.Unfit, Op: "probe", Err: err}
	}
	c.dress(req)
	req.Header.Set("Fencepost-Host", c.cfg.Host)
	resp, err := c.client.Do(req)
	if err != nil {
		e := transportError("probe", err)
		if submit.OutcomeOf(e) == submit.Unknown {
			return &submit.Error{Outcome: submit.Unavailable, Op: "probe", Err: err}
		}
		return e
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case resp.StatusCode/100 == 2:
		return nil
	case c.meaning(resp.StatusCode) == "unfit", resp.StatusCode/100 == 3, resp.StatusCode/100 == 4 && c.meaning(resp.StatusCode) == "rejected":
		return &submit.Error{Outcome: submit.Unfit, Op: "probe", Detail: word.Message(body), Err: errors.New(resp.Status)}
	}
	return &submit.Error{Outcome: submit.Unavailable, Op: "probe", Detail: word.Message(body), Err: errors.New(resp.Status)}
}

// connect makes a connection, and says nothing on it.
func (c *Cluster) connect(ctx context.Context) error {
	u, err := url.Parse(c.cfg.URL)
	if err != nil {
		return &submit.Error{Outcome: submit.Unfit, Op: "probe", Err: err}
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	d := net.Dialer{Timeout: c.cfg.Timeout}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return &submit.Error{Outcome: submit.Unavailable, Op: "probe", Err: err}
	}
	return conn.Close()
}
