package codec

import (
	"fmt"
	"strings"
)

// Auth is a token's part of a request: who signs, when, and the signature
// (docs/spec/wire.md, Tokens).
type Auth struct {
	Key   string `cbor:"key"`           // the client's name
	MAC   string `cbor:"mac,omitempty"` // HMAC-SHA256 of AuthText in lower-case hex; empty only inside AuthText
	Time  int64  `cbor:"time"`          // of the signing, milliseconds since 1970 by the client's clock
	Nonce string `cbor:"nonce"`         // drawn for each try, so that no two signatures are equal
}

const (
	minNonce = 16
	maxNonce = 64
	maxKey   = 128
)

func (a *Auth) check() error {
	if a == nil {
		return nil
	}
	if err := fieldErr("auth.key", wordChars.check(a.Key, maxKey)); err != nil {
		return err
	}
	if err := fieldErr("auth.mac", checkDigest(a.MAC)); err != nil {
		return err
	}
	if a.Time <= 0 {
		return fieldErr("auth.time", fmt.Sprintf("is %d, not a time in milliseconds", a.Time))
	}
	if n := len(a.Nonce); n < minNonce || n > maxNonce || strings.Trim(a.Nonce, "0123456789abcdef") != "" {
		return fieldErr("auth.nonce", fmt.Sprintf("is not %d to %d lower-case hex digits", minNonce, maxNonce))
	}
	return nil
}

// WithAuth is m, a Submit or Query, with a token's part; other messages have none.
func WithAuth(m Message, a Auth) Message {
	switch m := m.(type) {
	case Submit:
		m.Auth = &a
		return m
	case Query:
		m.Auth = &a
		return m
	}
	return m
}

// AuthOf is the token's part of a request, nil if it has none.
func AuthOf(m Message) *Auth {
	switch m := m.(type) {
	case Submit:
		return m.Auth
	case Query:
		return m.Auth
	}
	return nil
}

// AuthText is what a token signs: a line that says what it is for, the spool's
// id, the message's name, and the body as it would be sent but for auth.mac. The
// auth of m is without its MAC.
func AuthText(m Message, spool string) []byte {
	head := "fencepost token 1\n" + spool + "\n" + m.FrameType().String() + "\n"
	return append([]byte(head), encodeMessage(m)...)
}
