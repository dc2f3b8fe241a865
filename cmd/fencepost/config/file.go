package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// maxFile bounds a configuration file, bytes.
const maxFile = 1 << 20

// parseFile reads TOML over c and returns the keys that it set.
func (c *Config) parseFile(name string, data []byte) (keys []string, err error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, maxFile)
	}
	if err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(c); err != nil {
		return nil, fileError(name, data, err)
	}
	var all map[string]any
	if err := toml.Unmarshal(data, &all); err != nil {
		return nil, fileError(name, data, err)
	}
	return flatten(all, ""), nil
}

func flatten(t map[string]any, prefix string) []string {
	var keys []string
	for k, v := range t {
		key := prefix + k
		if _, leaf := settingOf(key); !leaf {
			if sub, ok := v.(map[string]any); ok {
				keys = append(keys, flatten(sub, key+".")...)
				continue
			}
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// fileError gives each mistake a line with its place and what was meant.
func fileError(name string, data []byte, err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) {
		var all []error
		for i := range strict.Errors {
			e := &strict.Errors[i]
			row, col := e.Position()
			key := strings.Join(e.Key(), ".")
			known := fileKeys()
			if k := e.Key(); len(k) > 2 && len(subKeys(k[0])) > 0 {
				known = nil
				for _, sub := range subKeys(k[0]) {
					known = append(known, strings.Join(k[:2], ".")+"."+sub)
				}
			}
			all = append(all, fmt.Errorf("%s:%d:%d: unknown key %s%s", name, row, col, quoteKey(key), didYouMean(key, known)))
		}
		return errors.Join(all...)
	}
	var bad *toml.DecodeError
	if !errors.As(err, &bad) {
		if e := wrongKind(name, data); e != nil {
			return e
		}
		return fmt.Errorf("%s: %w", name, err)
	}
	row, col := bad.Position()
	key := strings.Join(bad.Key(), ".")
	text := strings.TrimPrefix(bad.Error(), "toml: ")
	s, known := settingOf(key)
	switch {
	case key == "cluster":
		text = `the backend's name is the key name in [cluster]: write [cluster] and name = "slurm", or give --cluster`
	case known && strings.Contains(text, "cannot"):
		text = key + " wants " + s.wants()
	case known:
		text = key + ": " + text
	}
	return fmt.Errorf("%s:%d:%d: %s", name, row, col, text)
}

// wrongKind finds the value that a text was wanted for: of a number where a
// duration belongs, the library tells neither key nor place.
func wrongKind(name string, data []byte) error {
	var all map[string]any
	if toml.Unmarshal(data, &all) != nil {
		return nil
	}
	for _, s := range Settings() {
		v, ok := dig(all, s.Key)
		if _, text := v.(string); !ok || text || !strings.Contains(s.wants(), "duration") {
			continue
		}
		place := ""
		if row, col := position(data, s.Key); row > 0 {
			place = fmt.Sprintf(":%d:%d", row, col)
		}
		return fmt.Errorf("%s%s: %s wants %s", name, place, s.Key, s.wants())
	}
	return nil
}

func dig(t map[string]any, key string) (any, bool) {
	head, rest, more := strings.Cut(key, ".")
	v, ok := t[head]
	if sub, table := v.(map[string]any); more && table {
		return dig(sub, rest)
	}
	return v, ok && !more
}

// position finds where a key's value begins, in a file that writes one key a
// line; 0 if it is written in another way.
func position(data []byte, key string) (row, col int) {
	table := ""
	for i, line := range strings.Split(string(data), "\n") {
		left, right, isKey := strings.Cut(line, "=")
		if t := strings.TrimSpace(line); strings.HasPrefix(t, "[") {
			table = strings.Trim(t, "[] ") + "."
		} else if isKey && table+strings.TrimSpace(left) == key {
			return i + 1, len(line) - len(strings.TrimLeft(right, " \t")) + 1
		}
	}
	return 0, 0
}

// quoteKey keeps control characters of a quoted key out of the message.
func quoteKey(key string) string {
	if strings.ContainsFunc(key, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
		return fmt.Sprintf("%q", key)
	}
	return key
}

// fileKeys are the keys and tables that a file may have.
func fileKeys() []string {
	var out []string
	for _, s := range Settings() {
		out = append(out, s.Key)
		for i, c := range s.Key {
			if table := s.Key[:i]; c == '.' && !slices.Contains(out, table) {
				out = append(out, table)
			}
		}
	}
	return out
}
