package lease

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"fencepost/spool"
	"fencepost/spool/vfs"
)

// Record is a heartbeat: what an instance says of itself.
// docs/spec/lease.md#heartbeat describes the file.
type Record struct {
	Host         string
	Epoch        uint64
	Counter      uint64 // grows with each write, also with those that failed
	Nonce        string
	MachineID    string
	BootID       string
	PID          int
	Since        time.Time // start of this lease, by the host's wall clock: for people
	At           time.Time // of this write, the same
	Goodbye      bool
	Draining     bool
	Unfit        string // why the host as a whole takes no work
	Died         uint64 // the earlier epoch that ended without goodbye, if its process is gone
	Version      string
	ConfigDigest string
	Listen       string
	HTTP         string
	Stages       []StageState
	Claims       int
	Interval     time.Duration
	TTL          time.Duration
}

// StageState is what a host says of one of its stages.
type StageState struct {
	Stage  spool.Stage `json:"stage"`
	Fit    bool        `json:"fit"`
	Reason string      `json:"reason,omitempty"` // why not

	// Of the last few pieces of work, those that succeeded, and those that
	// failed for good or unclear: so that a host can see that it stands out.
	OK  int `json:"ok,omitempty"`
	Bad int `json:"bad,omitempty"`
}

// Takes says whether the host takes work of a stage.
func (r Record) Takes(stage spool.Stage) bool {
	return slices.ContainsFunc(r.Stages, func(s StageState) bool { return s.Stage == stage && s.Fit })
}

// wire is the JSON of a record; durations are written as Go does.
type wire struct {
	Host         string       `json:"host"`
	Epoch        uint64       `json:"epoch"`
	Counter      uint64       `json:"counter"`
	Nonce        string       `json:"nonce"`
	MachineID    string       `json:"machine_id"`
	BootID       string       `json:"boot_id"`
	PID          int          `json:"pid"`
	Since        time.Time    `json:"since"`
	At           time.Time    `json:"at"`
	Goodbye      bool         `json:"goodbye,omitempty"`
	Draining     bool         `json:"draining,omitempty"`
	Unfit        string       `json:"unfit,omitempty"`
	Died         uint64       `json:"died,omitempty"`
	Version      string       `json:"version"`
	ConfigDigest string       `json:"config_digest"`
	Listen       string       `json:"listen,omitempty"`
	HTTP         string       `json:"http,omitempty"`
	Stages       []StageState `json:"stages,omitempty"`
	Claims       int          `json:"claims"`
	Interval     string       `json:"interval"`
	TTL          string       `json:"ttl"`
}

// The file: a header line, the JSON, and blanks up to a newline at the end.
// One length for ever, so that a rewrite in place never shortens it.
const (
	// RecordSize is the length of every record, in bytes.
	RecordSize = 4096
	header     = "fencepost-heartbeat 1 %04d %08x\n" // length of the JSON, its CRC-32C
	headerSize = len("fencepost-heartbeat 1 0000 00000000\n")
	maxJSON    = RecordSize - headerSize - 1
)

// blank is a record without content.
var blank = strings.Repeat(" ", RecordSize-1) + "\n"

// Bounds of what goes into a record; longer texts are cut.
const (
	maxReason = 200
	maxText   = 100
	maxStages = 8
	maxTTL    = 24 * time.Hour // more is a mistake, and would hide a death for good
)

// ErrTorn: the bytes are no whole record: caught in the middle of a write, never
// written, or damaged.
var ErrTorn = errors.New("heartbeat record is torn")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// EncodeRecord gives RecordSize bytes. Texts that are too long are cut.
func EncodeRecord(r Record) ([]byte, error) {
	var data []byte
	// Reasons may grow when they are quoted, so they are cut to fit.
	for limit := maxReason; ; limit /= 2 {
		var err error
		if data, err = marshal(r, limit); err != nil {
			return nil, err
		}
		if len(data) <= maxJSON {
			break
		}
		if limit == 0 {
			return nil, fmt.Errorf("heartbeat record of host %s: %d bytes, want at most %d", r.Host, len(data), maxJSON)
		}
	}
	buf := bytes.NewBuffer(make([]byte, 0, RecordSize))
	fmt.Fprintf(buf, header, len(data), crc32.Checksum(data, castagnoli))
	buf.Write(data)
	buf.WriteString(blank[buf.Len():])
	return buf.Bytes(), nil
}

func marshal(r Record, limit int) ([]byte, error) {
	w := wire{Host: r.Host, Epoch: r.Epoch, Counter: r.Counter, Nonce: cut(r.Nonce, maxText),
		MachineID: cut(r.MachineID, maxText), BootID: cut(r.BootID, maxText), PID: r.PID,
		Since: r.Since.UTC().Round(0), At: r.At.UTC().Round(0), Goodbye: r.Goodbye, Draining: r.Draining,
		Unfit: cut(r.Unfit, limit), Died: r.Died, Version: cut(r.Version, maxText),
		ConfigDigest: cut(r.ConfigDigest, maxText), Listen: cut(r.Listen, maxText), HTTP: cut(r.HTTP, maxText),
		Claims: r.Claims, Interval: r.Interval.String(), TTL: r.TTL.String()}
	for _, s := range r.Stages[:min(len(r.Stages), maxStages)] {
		s.Reason = cut(s.Reason, limit)
		w.Stages = append(w.Stages, s)
	}
	if err := w.check(); err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false) // it would blow up texts, and people read this
	if err := e.Encode(w); err != nil {
		return nil, fmt.Errorf("heartbeat record of host %s: %w", r.Host, err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// cut makes a text fit: no control characters, at most n bytes, whole runes.
func cut(s string, n int) string {
	s = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || c == utf8.RuneError || c == '\u2028' || c == '\u2029' {
			return ' '
		}
		return c
	}, s)
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// DecodeRecord reverses EncodeRecord. ErrTorn: what a reader may see for a
// moment. Any other error: a whole record that this version doesn't understand.
func DecodeRecord(data []byte) (Record, error) {
	if len(data) != RecordSize {
		return Record{}, fmt.Errorf("%w: %d bytes", ErrTorn, len(data))
	}
	head := string(data[:headerSize])
	size, sum, ok := parseHeader(head)
	if !ok {
		if strings.HasPrefix(head, "fencepost-heartbeat ") && !strings.HasPrefix(head, header[:22]) {
			return Record{}, fmt.Errorf("heartbeat record of an unknown version: %q", head)
		}
		return Record{}, fmt.Errorf("%w: header %q", ErrTorn, head)
	}
	if int(size) > maxJSON {
		return Record{}, fmt.Errorf("%w: length %d", ErrTorn, size)
	}
	body, rest := data[headerSize:headerSize+int(size)], data[headerSize+int(size):]
	if crc32.Checksum(body, castagnoli) != sum {
		return Record{}, fmt.Errorf("%w: checksum", ErrTorn)
	}
	if string(rest) != blank[RecordSize-len(rest):] {
		return Record{}, fmt.Errorf("%w: padding", ErrTorn)
	}
	var w wire
	if err := decodeStrict(body, &w); err != nil {
		return Record{}, fmt.Errorf("heartbeat record: %w", err)
	}
	return w.record()
}

// parseHeader reads what header writes, and nothing else.
func parseHeader(head string) (size, sum uint32, ok bool) {
	n, err1 := strconv.ParseUint(head[headerSize-14:headerSize-10], 10, 32)
	c, err2 := strconv.ParseUint(head[headerSize-9:headerSize-1], 16, 32)
	size, sum = uint32(n), uint32(c)
	return size, sum, err1 == nil && err2 == nil && fmt.Sprintf(header, size, sum) == head
}

func (w wire) check() error {
	switch {
	case !spool.ValidHost(w.Host):
		return fmt.Errorf("heartbeat record: invalid host name %q", w.Host)
	case w.Epoch == 0:
		return fmt.Errorf("heartbeat record of host %s: no epoch", w.Host)
	case w.Claims < 0 || w.PID < 0 || slices.ContainsFunc(w.Stages, func(s StageState) bool { return s.OK < 0 || s.Bad < 0 }):
		return fmt.Errorf("heartbeat record of host %s: negative number", w.Host)
	case len(w.Stages) > maxStages:
		return fmt.Errorf("heartbeat record of host %s: %d stages", w.Host, len(w.Stages))
	}
	if _, err := positive(w.Interval); err != nil {
		return fmt.Errorf("heartbeat record of host %s: interval: %w", w.Host, err)
	}
	if _, err := positive(w.TTL); err != nil {
		return fmt.Errorf("heartbeat record of host %s: ttl: %w", w.Host, err)
	}
	return nil
}

func (w wire) record() (Record, error) {
	if err := w.check(); err != nil {
		return Record{}, err
	}
	interval, _ := positive(w.Interval) // checked
	ttl, _ := positive(w.TTL)
	return Record{Host: w.Host, Epoch: w.Epoch, Counter: w.Counter, Nonce: w.Nonce, MachineID: w.MachineID,
		BootID: w.BootID, PID: w.PID, Since: w.Since.UTC(), At: w.At.UTC(), Goodbye: w.Goodbye, Draining: w.Draining,
		Unfit: w.Unfit, Died: w.Died, Version: w.Version, ConfigDigest: w.ConfigDigest, Listen: w.Listen,
		HTTP: w.HTTP, Stages: w.Stages, Claims: w.Claims, Interval: interval, TTL: ttl}, nil
}

func positive(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err == nil && (d <= 0 || d > maxTTL) {
		err = fmt.Errorf("%s is not between 0 and %s", s, maxTTL)
	}
	return d, err
}

// ReadRecord reads a host's heartbeat: open, read, close, every time, since a
// descriptor that is held can hide changes.
func ReadRecord(fs vfs.FS, host string) (Record, error) {
	data, err := readRaw(fs, host)
	if err != nil {
		return Record{}, err
	}
	r, err := DecodeRecord(data)
	if err == nil && r.Host != host {
		err = fmt.Errorf("it is about host %q", r.Host)
	}
	if err != nil {
		return Record{}, fmt.Errorf("read %s: %w", spool.HeartbeatPath(host), err)
	}
	return r, nil
}

func readRaw(fs vfs.FS, host string) ([]byte, error) {
	data, _, err := fs.Read(spool.HeartbeatPath(host), RecordSize)
	return data, err
}
