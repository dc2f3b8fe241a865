package secure

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"fencepost/codec"
)

// minSecret is the least length of a secret, in characters: 128 bits in hex.
const minSecret = 32

// Token is a client's name and its secret.
type Token struct {
	Name   string
	Secret string
}

// ReadToken reads a client's token: a file with one line, NAME SECRET.
func ReadToken(file string) (Token, error) {
	if err := checkSecret(file); err != nil {
		return Token{}, fmt.Errorf("read token: %w", err)
	}
	data, err := readSmall(file)
	if err != nil {
		return Token{}, fmt.Errorf("read token: %w", err)
	}
	all, err := parseTokens(file, data)
	if err == nil && len(all) != 1 {
		err = fmt.Errorf("read token: %s holds %d tokens, not one", file, len(all))
	}
	if err != nil {
		return Token{}, err
	}
	return all[0], nil
}

// parseTokens reads lines of NAME SECRET; empty lines and those that begin with
// # are left out. An error never quotes a line: it may hold a secret.
func parseTokens(file string, data []byte) ([]Token, error) {
	var all []Token
	for i, line := range strings.Split(string(data), "\n") {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		switch {
		case len(f) != 2:
			return nil, fmt.Errorf("read tokens: %s:%d: not of the form NAME SECRET", file, i+1)
		case !ValidName(f[0]):
			return nil, fmt.Errorf("read tokens: %s:%d: the name can't be a client's", file, i+1)
		case len(f[1]) < minSecret:
			return nil, fmt.Errorf("read tokens: %s:%d: the secret has fewer than %d characters (openssl rand -hex 32 makes one)", file, i+1, minSecret)
		}
		all = append(all, Token{f[0], f[1]})
	}
	return all, nil
}

func mac(secret string, text []byte) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write(text)
	return h.Sum(nil)
}

// Sign signs a request for a spool's hosts. Each try is signed anew.
func (t Token) Sign(m codec.Message, spool string, now time.Time) codec.Message {
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce) // never fails
	auth := codec.Auth{Key: t.Name, Nonce: hex.EncodeToString(nonce), Time: now.UnixMilli()}
	m = codec.WithAuth(m, auth)
	auth.MAC = hex.EncodeToString(mac(t.Secret, codec.AuthText(m, spool)))
	return codec.WithAuth(m, auth)
}

// Errors of Verify. They are told to the client: none says whether the key or
// the secret was wrong.
var (
	ErrToken  = errors.New("the token is not known here, or its signature is wrong")
	ErrSkew   = errors.New("the token's time differs too much from this host's clock")
	ErrReplay = errors.New("this signed request was seen before")
	ErrFull   = errors.New("this client has signed too many requests in a short time")
)

// Tokens are the tokens that a host takes.
type Tokens struct {
	file  *watched[map[string][]string]
	spool string
	skew  time.Duration
	now   func() time.Time
	seen  seen
}

// TokenConfig says which tokens are taken, and when.
type TokenConfig struct {
	File   string // lines of NAME SECRET; several for a name overlap
	Spool  string // the spool's id, which is signed, too
	Skew   time.Duration
	Reload time.Duration
	Now    func() time.Time
	Warn   func(error)
}

// NewTokens reads the file.
func NewTokens(c TokenConfig) (*Tokens, error) {
	t := &Tokens{spool: c.Spool, skew: c.Skew, now: c.Now}
	t.seen.life, t.seen.most = 2*c.Skew, maxSeen
	t.file = &watched[map[string][]string]{files: []string{c.File}, every: c.Reload, warn: c.Warn,
		parse: func(contents [][]byte) (map[string][]string, error) {
			if err := checkSecret(c.File); err != nil {
				return nil, err
			}
			all, err := parseTokens(c.File, contents[0])
			byName := map[string][]string{}
			for _, tok := range all {
				byName[tok.Name] = append(byName[tok.Name], tok.Secret)
			}
			return byName, err
		}}
	if err := t.file.start(); err != nil {
		return nil, err
	}
	return t, nil
}

// Verify says who signed a request. It is taken once: the same bytes again are
// a replay.
func (t *Tokens) Verify(m codec.Message, auth codec.Auth) (client string, err error) {
	got, err := hex.DecodeString(auth.MAC)
	if err != nil {
		return "", ErrToken
	}
	bare := auth
	bare.MAC = ""
	text := codec.AuthText(codec.WithAuth(m, bare), t.spool)
	ok := false
	for _, secret := range t.file.get()[auth.Key] {
		ok = hmac.Equal(got, mac(secret, text)) || ok
	}
	if !ok {
		return "", ErrToken
	}
	// Only who has a secret gets this far, and can fill the memory of what was seen.
	if d := t.now().Sub(time.UnixMilli(auth.Time)); d > t.skew || d < -t.skew {
		return "", ErrSkew
	}
	if err := t.seen.add(auth.Key, [16]byte(got), t.now()); err != nil {
		return "", err
	}
	return auth.Key, nil
}

// maxSeen bounds each of the two halves of what was seen; 16 bytes each, about
// 40 MB of memory when full.
const maxSeen = 1 << 19

// seen remembers signatures for at least life. It is two sets: the older one is
// forgotten when the newer one is a life old.
type seen struct {
	life time.Duration
	most int // in each set

	mu       sync.Mutex
	began    time.Time
	now, old map[[16]byte]struct{}
	by       map[string]int // of now, by client
}

// add refuses a client that would have more of the memory than is left of it: so
// one may have half, and whoever else comes finds room.
func (s *seen) add(client string, sig [16]byte, at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil || at.Sub(s.began) >= s.life || at.Before(s.began.Add(-s.life)) {
		s.old, s.now, s.by, s.began = s.now, map[[16]byte]struct{}{}, map[string]int{}, at
	}
	_, a := s.now[sig]
	_, b := s.old[sig]
	switch {
	case a || b:
		return ErrReplay
	case len(s.now)+s.by[client] >= s.most:
		return ErrFull
	}
	s.now[sig] = struct{}{}
	s.by[client]++
	return nil
}
