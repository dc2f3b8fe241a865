package word

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxID is the longest id, in bytes after percent-encoding.
const MaxID = 100

// ID takes a cluster id out of a program's standard output: one line, not
// empty, without control characters, at most MaxID bytes when encoded. Blanks
// around it are not part of it.
func ID(out []byte) (string, error) {
	text := bytes.TrimRight(out, "\r\n")
	if bytes.ContainsAny(text, "\r\n") {
		return "", errors.New("more than one line where the cluster's id was expected")
	}
	id := strings.Trim(string(text), " \t")
	return id, Check(id)
}

// Check checks an id, as ID does.
func Check(id string) error {
	switch {
	case id == "":
		return errors.New("no cluster id")
	case !utf8.ValidString(id):
		return errors.New("cluster id is not UTF-8")
	case EncodedLen(id) > MaxID:
		return fmt.Errorf("cluster id of over %d bytes (encoded)", MaxID)
	}
	for _, r := range id {
		if unicode.IsControl(r) {
			return errors.New("cluster id with a control character")
		}
	}
	return nil
}

// EncodedLen is the length of s once every byte but A-Z a-z 0-9 . _ - is
// percent-encoded.
func EncodedLen(s string) int {
	n := 0
	for i := range len(s) {
		if plain(s[i]) {
			n++
		} else {
			n += 3
		}
	}
	return n
}

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '.' || c == '_' || c == '-'
}

// Plain says whether s is not empty and has no other bytes than A-Z a-z 0-9 .
// _ - in it: such a word means the same to every scheduler and needs no quotes.
func Plain(s string) bool {
	for i := range len(s) {
		if !plain(s[i]) {
			return false
		}
	}
	return s != ""
}

// MaxMessage is the longest message, in bytes.
const MaxMessage = 400

// Message makes a program's words fit for a log line or an error: lines joined
// with "; ", no control characters, bounded.
func Message(out []byte) string {
	var parts []string
	for line := range bytes.SplitSeq(out, []byte("\n")) {
		s := strings.Map(func(r rune) rune {
			if r == '\t' {
				return ' '
			}
			if !unicode.IsPrint(r) || r == utf8.RuneError {
				return -1
			}
			return r
		}, string(line))
		if s = strings.TrimSpace(s); s != "" {
			parts = append(parts, s)
		}
	}
	s := strings.Join(parts, "; ")
	if len(s) <= MaxMessage {
		return s
	}
	s = s[:MaxMessage]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "..."
}
