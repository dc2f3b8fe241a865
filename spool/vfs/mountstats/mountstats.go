package mountstats

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// File is where Linux has the statistics, for the mounts that a process sees.
const File = "/proc/self/mountstats"

// Mount is one NFS mount.
type Mount struct {
	Source string // SERVER:EXPORT
	Point  string
	Type   string        // "nfs" or "nfs4"
	Ops    map[string]Op // by the protocol's name: "RENAME", "GETATTR"
}

// Op is what is known of one operation since the mount was made.
type Op struct {
	Calls    uint64
	Sends    uint64 // more than Calls: requests were sent again
	Timeouts uint64
	Sent     uint64 // bytes
	Received uint64 // bytes
	Queued   time.Duration
	RTT      time.Duration // waited for the server
	Total    time.Duration // from the call to its end; milliseconds
	Errors   uint64        // answers that were errors; 0 with statistics of version 1.0
}

// Parse returns the NFS mounts of a mountstats file, in its order. What did
// parse comes with the error.
func Parse(data []byte) ([]Mount, error) {
	var mounts []Mount
	var failed []error
	inOps, ours := false, false
	for i, line := range strings.Split(string(data), "\n") {
		if rest, ok := strings.CutPrefix(line, "device "); ok {
			m, isNFS := header(rest)
			if inOps, ours = false, isNFS; isNFS {
				mounts = append(mounts, m)
			}
			continue
		}
		text := strings.TrimSpace(line)
		switch {
		case !ours || text == "":
		case text == "per-op statistics":
			inOps = true
		case inOps:
			name, op, err := parseOp(text)
			if err != nil {
				failed = append(failed, fmt.Errorf("mountstats line %d: %w", i+1, err))
				continue
			}
			mounts[len(mounts)-1].Ops[name] = op
		}
	}
	return mounts, errors.Join(failed...)
}

// header parses "SOURCE mounted on POINT with fstype TYPE statvers=1.1". Blanks
// in names are escaped by the kernel.
func header(text string) (Mount, bool) {
	f := strings.Fields(text)
	if len(f) < 7 || f[1] != "mounted" || f[2] != "on" || f[4] != "with" || f[5] != "fstype" || f[6] != "nfs" && f[6] != "nfs4" {
		return Mount{}, false
	}
	return Mount{Source: unescape(f[0]), Point: unescape(f[3]), Type: f[6], Ops: map[string]Op{}}, true
}

// opFields are the numbers of an operation; version 1.0 lacks the last.
const opFields = 9

func parseOp(text string) (string, Op, error) {
	name, rest, ok := strings.Cut(text, ":")
	if !ok {
		return "", Op{}, fmt.Errorf("%q is no operation", text)
	}
	var n [opFields]uint64
	fields := strings.Fields(rest)
	if len(fields) < opFields-1 {
		return "", Op{}, fmt.Errorf("%s has %d numbers, want %d or more", name, len(fields), opFields-1)
	}
	for i, f := range fields[:min(len(fields), opFields)] {
		var err error
		if n[i], err = strconv.ParseUint(f, 10, 64); err != nil {
			return "", Op{}, fmt.Errorf("%s: %q is no count", name, f)
		}
	}
	ms := func(n uint64) time.Duration { return time.Duration(n) * time.Millisecond }
	return name, Op{Calls: n[0], Sends: n[1], Timeouts: n[2], Sent: n[3], Received: n[4],
		Queued: ms(n[5]), RTT: ms(n[6]), Total: ms(n[7]), Errors: n[8]}, nil
}

// unescape undoes the kernel's \ooo.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// At returns the mount at a mount point. Of several the last covers the others.
func At(mounts []Mount, point string) (Mount, bool) {
	for _, m := range slices.Backward(mounts) {
		if m.Point == point {
			return m, true
		}
	}
	return Mount{}, false
}

// Counts are numbers of calls by operation, those that are not zero.
type Counts map[string]uint64

// Counts are the calls of a mount so far.
func (m Mount) Counts() Counts {
	c := Counts{}
	for name, op := range m.Ops {
		if op.Calls > 0 {
			c[name] = op.Calls
		}
	}
	return c
}

// Since is what was called between before and c.
func (c Counts) Since(before Counts) Counts {
	d := Counts{}
	for name, n := range c {
		if n > before[name] {
			d[name] = n - before[name]
		}
	}
	return d
}

// Total is the number of all calls.
func (c Counts) Total() (n uint64) {
	for _, v := range c {
		n += v
	}
	return n
}

// String is "47 (GETATTR 8, OPEN 3, ...)", the most frequent first.
func (c Counts) String() string {
	names := slices.SortedFunc(maps.Keys(c), func(a, b string) int {
		return cmp.Or(cmp.Compare(c[b], c[a]), cmp.Compare(a, b))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, c[name])
	}
	if len(names) == 0 {
		return "0"
	}
	return fmt.Sprintf("%d (%s)", c.Total(), strings.Join(names, ", "))
}
