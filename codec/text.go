package codec

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// legalRune reports whether XML 1.0 can carry r. What one form can't carry is
// refused in all of them, at the door: a job must never fail half-way.
func legalRune(r rune) bool {
	switch {
	case r < 0x20:
		return r == '\t' || r == '\n' || r == '\r'
	case r < 0xD800:
		return true
	case r < 0xE000:
		return false // surrogates
	case r < 0x10000:
		return r < 0xFFFE
	}
	return r <= utf8.MaxRune
}

// checkText says why s isn't text that every form can carry, or "".
func checkText(s string) string {
	if plainText(s) {
		return "" // most
	}
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return fmt.Sprintf("byte %d is not UTF-8", i)
			}
		}
		if !legalRune(r) {
			return fmt.Sprintf("character U+%04X at byte %d can't be carried by XML", r, i)
		}
	}
	return ""
}

// plainText reports whether s is ASCII that people write.
func plainText[T string | []byte](s T) bool {
	for i := range len(s) {
		if !written[s[i]] {
			return false
		}
	}
	return true
}

// written are the bytes of plainText.
var written = func() (is [256]bool) {
	for c := range is {
		is[c] = c >= ' ' && c <= '~' || c == '\n' || c == '\t' || c == '\r'
	}
	return is
}()

// breaksLine reports whether r breaks a line or moves a cursor.
func breaksLine(r rune) bool {
	return r < 0x20 || r >= 0x7F && r < 0xA0 || r == 0x2028 || r == 0x2029
}

// checkLine is checkText for text of one line that is shown to people.
func checkLine(s string) string {
	for i, r := range s {
		if breaksLine(r) {
			return fmt.Sprintf("control character U+%04X at byte %d", r, i)
		}
	}
	return checkText(s)
}

// Reason makes any text, a system's error for one, fit for the reason or
// detail of a message: one line, at most MaxReason bytes. What doesn't fit
// becomes a space, and the end is cut.
func Reason(s string) string {
	s = strings.Map(func(r rune) rune { // bytes that aren't UTF-8 come as U+FFFD
		if breaksLine(r) || !legalRune(r) {
			return ' '
		}
		return r
	}, s)
	return cut(s, MaxReason)
}

// cut shortens s to at most n bytes without cutting a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// A charset is a set of ASCII characters for names: which may stand first and
// which may follow. None of them lets a name begin with '-' or '.', so that no
// name is an option, a hidden file or a way up.
type charset struct {
	first, rest string // beside letters; digits are in rest, and in first where listed
	words       string
}

const digits = "0123456789"

var (
	nameChars  = charset{digits, "._-", "letters, digits, '.', '_' and '-', beginning with a letter or digit"}
	wordChars  = charset{digits + "_", "._@-", "letters, digits, '.', '_', '@' and '-', beginning with a letter, digit or '_'"}
	envChars   = charset{"_", "_", "letters, digits and '_', not beginning with a digit"}
	labelChars = charset{digits, "._/-", "letters, digits, '.', '_', '/' and '-', beginning with a letter or digit"}
)

// check says why s isn't a name of 1 to limit characters from the set, or "".
func (c charset) check(s string, limit int) string {
	switch {
	case s == "":
		return "is empty"
	case len(s) > limit:
		return fmt.Sprintf("has %d bytes, more than %d", len(s), limit)
	}
	for i := range len(s) {
		b := s[i]
		letter := b|0x20 >= 'a' && b|0x20 <= 'z'
		ok := letter || strings.IndexByte(c.first, b) >= 0
		if i > 0 {
			ok = letter || b >= '0' && b <= '9' || strings.IndexByte(c.rest, b) >= 0
		}
		if !ok {
			return fmt.Sprintf("%s is not made of %s", show(s), c.words)
		}
	}
	return ""
}

// show quotes s for an error, shortened: a reason must not carry a megabyte,
// nor a character that moves a cursor.
func show(s string) string {
	const most = 40
	if len(s) <= most {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q...", cut(s, most))
}
