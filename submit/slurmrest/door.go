package slurmrest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"fencepost/submit"
)

// Bounds of answers, in bytes. A job of a listing has some 3 KB.
const (
	maxAnswer  = 4 << 20
	maxListing = 1 << 30
	maxSpec    = 64 << 20 // the description of the API
)

// door is the way to one slurmrestd.
type door struct {
	base   string // without a slash at its end
	unix   bool
	client *http.Client
}

func newDoor(c Config) (*door, error) {
	t := &http.Transport{MaxIdleConns: 64, MaxIdleConnsPerHost: 64, MaxConnsPerHost: 64, IdleConnTimeout: time.Minute,
		DisableCompression: true, TLSClientConfig: c.TLS, TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 1 << 16}
	d := &door{client: &http.Client{Transport: t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	if path, ok := strings.CutPrefix(c.Address, "unix:"); ok {
		if !filepath.IsAbs(path) {
			return nil, fmt.Errorf("%q is not unix: with an absolute path", c.Address)
		}
		d.base, d.unix = "http://slurmrestd", true
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "unix", path) }
		return d, nil
	}
	u, err := url.Parse(c.Address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, fmt.Errorf("%q is not unix:/PATH, http://HOST:PORT or https://HOST:PORT", c.Address)
	}
	if c.Token == nil {
		return nil, fmt.Errorf("%s needs a token: nothing else says who we are there", c.Address)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) && !c.Insecure {
		return nil, fmt.Errorf("%s would carry the token in clear text to another machine", c.Address)
	}
	d.base = strings.TrimRight(u.String(), "/")
	t.DialContext = dialer.DialContext
	return d, nil
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// request is one question to slurmrestd.
type request struct {
	op      string
	method  string
	path    string // below the version; with a leading slash: as it stands
	body    []byte
	timeout time.Duration // 0 = Config.CallTimeout
	limit   int64         // of the answer; 0 = maxAnswer
	read    func(io.Reader) (*answer, error)
	mutates bool
	benign  []int // codes that are no error
}

// ask sends a request and judges its answer.
func (c *Cluster) ask(ctx context.Context, r request) (*answer, error) {
	path := r.path
	if !strings.HasPrefix(path, "/") {
		version, err := c.api(ctx)
		if err != nil {
			return nil, err
		}
		path = fmt.Sprintf("/slurm/v0.0.%d/%s", version, r.path)
	}
	if r.timeout <= 0 {
		r.timeout = c.cfg.CallTimeout
	}
	ctx, stop := context.WithTimeoutCause(ctx, r.timeout, errTimeout)
	defer stop()
	connected := false
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), r.method, c.door.base+path, bytes.NewReader(r.body))
	if err == nil {
		err = c.dress(req, r)
	}
	if err != nil {
		return nil, &submit.Error{Outcome: submit.Unfit, Op: r.op, Err: err}
	}
	resp, err := c.door.client.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, c.unanswered(r, err, connected)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound && c.cfg.Version == "" {
		c.setVersion(0) // another daemon, with other versions
	}
	return c.judge(ctx, r, resp)
}

var errTimeout = errors.New("time-out")

// dress adds what every request bears. A token that has expired isn't sent: the
// controller would answer as if it were down.
func (c *Cluster) dress(req *http.Request, r request) error {
	req.Header.Set("User-Agent", "fencepost")
	if len(r.body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.cfg.Token == nil {
		return nil
	}
	token, err := c.cfg.Token()
	token = strings.TrimPrefix(token, "SLURM_JWT=") // as scontrol token prints it
	claims := claimsOf(token)
	switch name := c.user(token); {
	case token == "":
		return errors.Join(errors.New("no token"), err)
	case !claims.Expires.IsZero() && !time.Now().Before(claims.Expires):
		expired := fmt.Errorf("the token has expired at %s: put a new one into its file", claims.Expires.UTC().Format(time.RFC3339))
		return errors.Join(expired, err)
	case name == "":
		return errors.New("the token doesn't say whose it is: configure the user")
	default:
		req.Header.Set("X-SLURM-USER-NAME", name)
		req.Header.Set("X-SLURM-USER-TOKEN", token)
	}
	return nil
}

// claims are what a token says, unverified: that is the controller's business.
type claims struct {
	User    string
	Expires time.Time // zero = never, or not said
}

func claimsOf(token string) (c claims) {
	parts := strings.Split(strings.TrimPrefix(token, "SLURM_JWT="), ".")
	if len(parts) != 3 {
		return c
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return c
	}
	var v struct {
		Sun      string  `json:"sun"`
		Username string  `json:"username"`
		Exp      float64 `json:"exp"`
	}
	if json.Unmarshal(text, &v) != nil {
		return c
	}
	if c.User = v.Sun; c.User == "" {
		c.User = v.Username
	}
	if v.Exp > 0 && v.Exp < 1e11 {
		c.Expires = time.Unix(int64(v.Exp), 0)
	}
	return c
}

// The versions of the API that this package was tested with.
const (
	oldestTested = 36
	newestTested = 38
)

func versionNumber(s string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(s, "v0.0."))
	if err != nil || n < 1 || n > 999 || s != fmt.Sprintf("v0.0.%d", n) {
		return 0
	}
	return n
}

func (c *Cluster) setVersion(n int) {
	c.mu.Lock()
	c.version = n
	c.mu.Unlock()
}

// api is the version to use: asked of the daemon once.
func (c *Cluster) api(ctx context.Context) (int, error) {
	c.mu.Lock()
	n := c.version
	c.mu.Unlock()
	if n > 0 {
		return n, nil
	}
	const op = "ask for the API's versions"
	_, err := c.ask(ctx, request{op: op, method: "GET", path: "/openapi/v3", limit: maxSpec, read: func(r io.Reader) (*answer, error) {
		var spec struct {
			Paths map[string]json.RawMessage `json:"paths"`
		}
		if err := json.NewDecoder(r).Decode(&spec); err != nil {
			return nil, err
		}
		var offered []int
		for path := range spec.Paths {
			v, ok := strings.CutPrefix(path, "/slurm/")
			if v, ok2 := strings.CutSuffix(v, "/job/submit"); ok && ok2 && versionNumber(v) > 0 {
				offered = append(offered, versionNumber(v))
			}
		}
		n = chooseVersion(offered)
		return &answer{}, nil
	}})
	switch {
	case err != nil:
		return 0, err
	case n == 0:
		return 0, &submit.Error{Outcome: submit.Unfit, Op: op, Detail: "slurmrestd offers no version of the Slurm API: was it started without its openapi plugin?"}
	}
	c.setVersion(n)
	return n, nil
}

// chooseVersion takes the newest tested version, or else the newest.
func chooseVersion(offered []int) (best int) {
	tested := func(n int) bool { return oldestTested <= n && n <= newestTested }
	for _, n := range offered {
		if tested(n) == tested(best) && n > best || tested(n) && !tested(best) {
			best = n
		}
	}
	return best
}
