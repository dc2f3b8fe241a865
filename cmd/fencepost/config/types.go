package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Duration is written "7s", "1m30s", "2h" or "30d".
type Duration struct{ time.Duration }

// UnmarshalText parses a duration; it is never negative.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	v, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok && err != nil {
		var n float64
		n, err = strconv.ParseFloat(days, 64)
		ok = err == nil && math.Abs(n) < 100*366
		v = time.Duration(n * 24 * float64(time.Hour))
		if !ok {
			err = errors.New("out of range")
		}
	}
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a duration such as 500ms, 7s, 5m, 2h or 30d", s)
	}
	d.Duration = v
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String prefers days and leaves out zero parts.
func (d Duration) String() string {
	if day := 24 * time.Hour; d.Duration >= day && d.Duration%day == 0 {
		return strconv.Itoa(int(d.Duration/day)) + "d"
	}
	s := d.Duration.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// Size is a number of bytes, written 4096 or "64KiB", "16MiB", "1GiB".
type Size int64

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"", 1}}

// UnmarshalText parses a size.
func (z *Size) UnmarshalText(text []byte) error {
	s := string(text)
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err == nil && n >= 0 && n <= math.MaxInt64/u.bytes {
			*z = Size(n * u.bytes)
			return nil
		}
		break
	}
	return fmt.Errorf("%q is not a size such as 4096, 64KiB or 16MiB", s)
}

// MarshalText writes what UnmarshalText reads.
func (z Size) MarshalText() ([]byte, error) { return []byte(z.String()), nil }

func (z Size) String() string {
	for _, u := range slices.Backward(sizeUnits[:3]) {
		if z > 0 && int64(z)%u.bytes == 0 {
			return strconv.FormatInt(int64(z)/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(z), 10)
}

// List is a list of words: an array in a file, separated by commas elsewhere.
type List []string

func (l List) String() string { return strings.Join(l, ",") }

func (l *List) set(s string) {
	*l = List{}
	for _, w := range strings.Split(s, ",") {
		if w = strings.TrimSpace(w); w != "" {
			*l = append(*l, w)
		}
	}
}

// Argv is a program and its arguments: an array in a file; elsewhere a JSON
// array, or the program alone. It is never split at blanks, and no shell sees it.
type Argv []string

func (a Argv) String() string {
	if len(a) == 0 {
		return ""
	}
	if len(a) == 1 && !strings.HasPrefix(a[0], "[") {
		return a[0]
	}
	text, _ := json.Marshal([]string(a))
	return string(text)
}

func (a *Argv) set(s string) error {
	if !strings.HasPrefix(s, "[") {
		*a = Argv{s}
		return nil
	}
	var argv []string
	if err := json.Unmarshal([]byte(s), &argv); err != nil {
		return fmt.Errorf("%q is neither a program nor a JSON array of strings", s)
	}
	*a = argv
	return nil
}

// Table is a table of texts; only a file can hold one.
type Table map[string]string

func (t Table) String() string {
	if len(t) == 0 {
		return ""
	}
	text, _ := json.Marshal(map[string]string(t))
	return string(text)
}
