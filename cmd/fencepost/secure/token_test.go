package secure_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fencepost/cmd/fencepost/secure"
	"fencepost/codec"
)

const (
	spoolID = "0190aaaa-0000-7000-8000-000000000000"
	jobID   = "01902d5a-7b3c-7def-8123-456789abcdef"
	secret1 = "11111111111111111111111111111111"
	secret2 = "22222222222222222222222222222222"
)

func tokenFile(t *testing.T, text string) string {
	t.Helper()
	f := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// hosts of one spool, with a clock.
type clock struct{ now time.Time }

func (c *clock) tokens(t *testing.T, file, spool string) *secure.Tokens {
	t.Helper()
	tk, err := secure.NewTokens(secure.TokenConfig{File: file, Spool: spool, Skew: time.Minute, Now: func() time.Time { return c.now }})
	if err != nil {
		t.Fatal(err)
	}
	return tk
}

func verify(tk *secure.Tokens, m codec.Message) (string, error) {
	return tk.Verify(m, *codec.AuthOf(m))
}

func TestTokens(t *testing.T) {
	c := &clock{time.UnixMilli(1_800_000_000_000)}
	file := tokenFile(t, "# clients\nnightly "+secret1+"\n\nother "+secret2+"\n")
	a, b, elsewhere := c.tokens(t, file, spoolID), c.tokens(t, file, spoolID), c.tokens(t, file, "another")
	tok := secure.Token{Name: "nightly", Secret: secret1}
	submit := codec.Submit{Seq: 7, ID: jobID, Job: codec.Job{Name: "x", Command: []string{"true"}}}
	sign := func() codec.Submit { return tok.Sign(submit, spoolID, c.now).(codec.Submit) }

	m := sign()
	if m.Auth == nil || submit.Auth != nil {
		t.Fatal("the original was signed, or nothing was")
	}
	if _, _, err := codec.Marshal(m); err != nil {
		t.Fatal(err)
	}
	if name, err := verify(a, m); name != "nightly" || err != nil {
		t.Errorf("got %q, %v", name, err)
	}
	if _, err := verify(a, m); !errors.Is(err, secure.ErrReplay) {
		t.Errorf("again: got %v", err)
	}
	// At another host it passes: the job's id makes it harmless there.
	if name, err := verify(b, m); name != "nightly" || err != nil {
		t.Errorf("another host: got %q, %v", name, err)
	}
	if _, err := verify(elsewhere, sign()); !errors.Is(err, secure.ErrToken) {
		t.Errorf("another spool: got %v", err)
	}
	for what, change := range map[string]func(*codec.Submit, *codec.Auth){
		"seq":    func(m *codec.Submit, _ *codec.Auth) { m.Seq++ },
		"id":     func(m *codec.Submit, _ *codec.Auth) { m.ID = strings.Replace(m.ID, "0", "1", 1) },
		"job":    func(m *codec.Submit, _ *codec.Auth) { m.Job.Name = "y" },
		"digest": func(m *codec.Submit, _ *codec.Auth) { m.Digest = strings.Repeat("0", 64) },
		"key":    func(_ *codec.Submit, a *codec.Auth) { a.Key = "other" },
		"nobody": func(_ *codec.Submit, a *codec.Auth) { a.Key = "nobody" },
		"time":   func(_ *codec.Submit, a *codec.Auth) { a.Time++ },
		"nonce":  func(_ *codec.Submit, a *codec.Auth) { a.Nonce = strings.Repeat("0", 32) },
		"mac":    func(_ *codec.Submit, a *codec.Auth) { a.MAC = strings.Repeat("0", 64) },
		"no mac": func(_ *codec.Submit, a *codec.Auth) { a.MAC = "" },
	} {
		m := sign()
		auth := *m.Auth
		change(&m, &auth)
		m.Auth = &auth
		if _, err := verify(a, m); !errors.Is(err, secure.ErrToken) {
			t.Errorf("%s changed: got %v", what, err)
		}
	}
	// A query signed as such isn't a submission, and the other way round.
	q := tok.Sign(codec.Query{Seq: 1, ID: jobID}, spoolID, c.now)
	if name, err := verify(a, q); name != "nightly" || err != nil {
		t.Errorf("query: got %q, %v", name, err)
	}
}

func TestTokenTime(t *testing.T) {
	c := &clock{time.UnixMilli(1_800_000_000_000)}
	tk := c.tokens(t, tokenFile(t, "n "+secret1), spoolID)
	tok := secure.Token{Name: "n", Secret: secret1}
	var last codec.Message
	for _, d := range []time.Duration{-time.Minute, 0, time.Minute, -time.Minute - 1e6, time.Minute + 1e6} {
		m := tok.Sign(codec.Query{Seq: 1, ID: jobID}, spoolID, c.now.Add(d))
		_, err := verify(tk, m)
		if late := d > time.Minute || d < -time.Minute; late != errors.Is(err, secure.ErrSkew) || !late && err != nil {
			t.Errorf("%v: got %v", d, err)
		}
		if d == time.Minute {
			last = m
		}
	}
	// As long as its time lets it pass it is remembered.
	for range 125 {
		if _, err := verify(tk, last); err == nil {
			t.Fatalf("a replay passed at %v", c.now)
		}
		c.now = c.now.Add(time.Second)
	}
	if _, err := verify(tk, last); !errors.Is(err, secure.ErrSkew) {
		t.Errorf("at the end: got %v", err)
	}
}

// One client's flood fills the memory of what was seen for itself, not for others;
// and after a while for nobody.
func TestTokenFlood(t *testing.T) {
	c := &clock{time.UnixMilli(1_800_000_000_000)}
	tk := c.tokens(t, tokenFile(t, "greedy "+secret1+"\nother "+secret2), spoolID)
	try := func(name, secret string) error {
		_, err := verify(tk, secure.Token{Name: name, Secret: secret}.Sign(codec.Query{Seq: 1, ID: jobID}, spoolID, c.now))
		return err
	}
	const most = 1000
	tk.Remember(most)
	n := 0
	for ; n < 2*most; n++ {
		if err := try("greedy", secret1); err != nil {
			if !errors.Is(err, secure.ErrFull) {
				t.Fatal(err)
			}
			break
		}
	}
	if n != most/2 {
		t.Fatalf("a client may sign %d requests, want half of %d", n, most)
	}
	for range 100 {
		if err := try("other", secret2); err != nil {
			t.Fatalf("another client: %v", err)
		}
	}
	c.now = c.now.Add(2*time.Minute + time.Second)
	if err := try("greedy", secret1); err != nil {
		t.Errorf("later: %v", err)
	}
}

func TestTokenRotation(t *testing.T) {
	c := &clock{time.UnixMilli(1_800_000_000_000)}
	file := tokenFile(t, "n "+secret1)
	tk := c.tokens(t, file, spoolID)
	try := func(secret string) error {
		_, err := verify(tk, secure.Token{Name: "n", Secret: secret}.Sign(codec.Query{Seq: 1, ID: jobID}, spoolID, c.now))
		return err
	}
	for _, step := range []struct {
		text          string
		first, second bool
	}{{"n " + secret1, true, false}, {"n " + secret1 + "\nn " + secret2, true, true}, {"nonsense", true, true}, {"n " + secret2, false, true}, {"", false, false}} {
		if err := os.WriteFile(file, []byte(step.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if a, b := try(secret1), try(secret2); (a == nil) != step.first || (b == nil) != step.second {
			t.Errorf("%q: got %v and %v", step.text, a, b)
		}
	}
}

func TestReadToken(t *testing.T) {
	for _, c := range []struct {
		text string
		mode os.FileMode
		want string
	}{
		{"n " + secret1 + "\n", 0o600, ""},
		{"n " + secret1 + "\n", 0o644, "chmod 600"},
		{"n " + secret1[1:], 0o600, "fewer than 32"},
		{"127.0.0.1 " + secret1, 0o600, "can't be a client's"},
		{"n", 0o600, "NAME SECRET"},
		{"", 0o600, "holds 0 tokens"},
		{"n " + secret1 + "\nm " + secret2, 0o600, "holds 2 tokens"},
	} {
		f := tokenFile(t, c.text)
		if err := os.Chmod(f, c.mode); err != nil {
			t.Fatal(err)
		}
		tok, err := secure.ReadToken(f)
		if c.want == "" && (err != nil || tok != secure.Token{Name: "n", Secret: secret1}) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q: got %v, %v", c.text, tok, err)
		}
		if err != nil && strings.Contains(err.Error(), "1111") {
			t.Errorf("%q: the error holds the secret: %v", c.text, err)
		}
	}
}
