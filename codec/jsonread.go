package codec

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonReader reads what a job document is made of: objects, arrays, strings
// and whole numbers. encoding/json isn't used for reading: it matches keys
// regardless of case, lets the last of two equal keys win, turns what isn't
// text into U+FFFD, and has no positions.
type jsonReader struct {
	*document
	i     int // the next byte
	depth int
}

// space skips white space and returns where the next thing begins.
func (r *jsonReader) space() int {
	for r.i < len(r.src) && strings.IndexByte(" \t\r\n", r.src[r.i]) >= 0 {
		r.i++
	}
	return r.i
}

// what names the thing at the reader's place, for errors.
func (r *jsonReader) what() string {
	if r.i >= len(r.src) {
		return "the end"
	}
	switch b := r.src[r.i]; {
	case b == '{':
		return "an object"
	case b == '[':
		return "an array"
	case b == '"':
		return "a string"
	case b == '-' || b >= '0' && b <= '9':
		return "a number"
	case strings.HasPrefix(string(r.src[r.i:min(len(r.src), r.i+5)]), "null"):
		return "null"
	case b == 't' || b == 'f':
		return "a boolean"
	}
	c, _ := utf8.DecodeRune(r.src[r.i:])
	return strconv.QuoteRune(c)
}

func (r *jsonReader) expect(b byte, name string) error {
	at := r.space()
	if at >= len(r.src) || r.src[at] != b {
		return r.failAt(at, "%s where %s should be", r.what(), name)
	}
	r.i++
	return nil
}

// peek reports whether the next thing is b.
func (r *jsonReader) peek(b byte) bool {
	at := r.space()
	return at < len(r.src) && r.src[at] == b
}

func (r *jsonReader) enter(open byte, name string) error {
	if err := r.expect(open, name); err != nil {
		return err
	}
	if r.depth++; r.depth > MaxDepth {
		return r.failAt(r.i-1, "nested deeper than %d", MaxDepth)
	}
	return nil
}

// object calls each with every key, the reader at its value. path, with a dot,
// goes before the key where the values' places are noted; keys are unique.
func (r *jsonReader) object(path string, each func(key string, at int) error) error {
	if err := r.enter('{', "an object"); err != nil {
		return err
	}
	var seen keys
	for first := true; ; first = false {
		if first && r.peek('}') {
			break
		}
		at := r.space()
		key, err := r.str("a key in double quotes")
		if err != nil {
			return err
		}
		if !seen.add(key) {
			return r.failAt(at, "duplicate key %s", show(key))
		}
		if err := r.expect(':', "':'"); err != nil {
			return err
		}
		if start := r.space(); r.starts != nil {
			r.starts[path+key] = start
		}
		if err := each(key, at); err != nil {
			return err
		}
		if !r.peek(',') {
			break
		}
		r.i++
	}
	r.depth--
	return r.expect('}', "',' or '}'")
}

// keys are those of one object.
type keys struct {
	few  []string
	many map[string]bool
}

// fewKeys is how many are looked through one by one.
const fewKeys = 24

// add says whether the key is new.
func (k *keys) add(key string) bool {
	if k.many == nil && len(k.few) < fewKeys {
		if slices.Contains(k.few, key) {
			return false
		}
		k.few = append(k.few, key)
		return true
	}
	if k.many == nil {
		k.many = map[string]bool{}
		for _, f := range k.few {
			k.many[f] = true
		}
	}
	if k.many[key] {
		return false
	}
	k.many[key] = true
	return true
}

// array calls each for every element, the reader at it.
func (r *jsonReader) array(each func() error) error {
	if err := r.enter('[', "an array"); err != nil {
		return err
	}
	for first := true; ; first = false {
		if first && r.peek(']') {
			break
		}
		if err := each(); err != nil {
			return err
		}
		if !r.peek(',') {
			break
		}
		r.i++
	}
	r.depth--
	return r.expect(']', "',' or ']'")
}

// integer reads a whole number without fraction and exponent.
func (r *jsonReader) integer() (int64, error) {
	at := r.space()
	for r.i < len(r.src) && strings.IndexByte("+-0123456789.eE", r.src[r.i]) >= 0 {
		r.i++
	}
	s := string(r.src[at:r.i])
	if s == "" {
		return 0, r.failAt(at, "%s where a whole number should be", r.what())
	}
	n, err := strconv.ParseInt(s, 10, 64)
	// One form a number: no leading zeros, plus signs, or minus zero.
	if err != nil || strconv.FormatInt(n, 10) != s {
		return 0, r.failAt(at, "%s is not a whole number in its plain form, or too large", show(s))
	}
	return n, nil
}

// rest is where the string that the reader is in ends, if it is one.
func (r *jsonReader) rest() int {
	i := r.i
	for i < len(r.src) && r.src[i] != '"' {
		if r.src[i] == '\\' {
			i++
		}
		i++
	}
	return min(i, len(r.src))
}

// str reads a string; name says what should be there.
func (r *jsonReader) str(name string) (string, error) {
	if err := r.expect('"', name); err != nil {
		return "", err
	}
	start := r.i
	for r.i < len(r.src) && r.src[r.i] != '"' && r.src[r.i] != '\\' && r.src[r.i] >= ' ' {
		r.i++
	}
	if r.i < len(r.src) && r.src[r.i] == '"' { // no escapes: most strings
		r.i++
		return string(r.src[start : r.i-1]), nil
	}
	text := append(make([]byte, 0, r.rest()-start), r.src[start:r.i]...)
	for r.i < len(r.src) {
		switch b := r.src[r.i]; {
		case b == '"':
			r.i++
			return string(text), nil
		case b < ' ':
			return "", r.failAt(r.i, "control character %#02x in a string", b)
		case b == '\\':
			var err error
			if text, err = r.escape(text); err != nil {
				return "", err
			}
		default:
			text = append(text, b)
			r.i++
		}
	}
	return "", r.failAt(start-1, "string without an end")
}

const jsonEscapes = "\"\"\\\\//b\bf\fn\nr\rt\t" // the letter, then what it means

// escape reads one escape sequence and appends what it means.
func (r *jsonReader) escape(text []byte) ([]byte, error) {
	at := r.i
	r.i++ // the backslash
	if r.i >= len(r.src) {
		return nil, r.failAt(at, "string without an end")
	}
	b := r.src[r.i]
	if b == 'u' {
		c, err := r.unicode(at)
		if err != nil {
			return nil, err
		}
		return utf8.AppendRune(text, c), nil
	}
	for i := 0; i < len(jsonEscapes); i += 2 {
		if jsonEscapes[i] == b {
			r.i++
			return append(text, jsonEscapes[i+1]), nil
		}
	}
	return nil, r.failAt(at, "unknown escape sequence")
}

// unicode reads \uXXXX, or two of them that make a pair. A lone half of a pair
// is no character: encoding/json would make it U+FFFD.
func (r *jsonReader) unicode(at int) (rune, error) {
	c, ok := r.hex4()
	if ok && utf16.IsSurrogate(c) {
		low, paired := rune(0), false
		if r.i+1 < len(r.src) && r.src[r.i] == '\\' && r.src[r.i+1] == 'u' {
			r.i++
			low, paired = r.hex4()
		}
		c = utf16.DecodeRune(c, low)
		ok = paired && c != utf8.RuneError
	}
	if !ok {
		return 0, r.failAt(at, "escape sequence is not four hex digits or not a character")
	}
	return c, nil
}

// hex4 reads four hex digits; the reader is at the u before them.
func (r *jsonReader) hex4() (rune, bool) {
	if r.i+5 > len(r.src) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(r.src[r.i+1:r.i+5]), 16, 16)
	r.i += 5
	return rune(n), err == nil
}
