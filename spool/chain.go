package spool

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
)

// A chain links the lines of a log: each bears a digest of itself and of the one
// before, so that none can be changed, left out or put in without a trace
// (docs/spec/journal.md, Chain). With a key nobody else can make links at all.
type chain struct {
	key  []byte
	last string

	text []byte // what was digested last, to be used again
}

const (
	chainField = `,"chain":"`
	// linkSize is the length of a link in hex: 128 bits of SHA-256. What has to be
	// hard is to find another line for a link that is there.
	linkSize = 32
	// keyedMark begins the links that were made with a key.
	keyedMark = "k:"
)

func newChain(key []byte, first string) chain {
	return chain{key: key, last: "fencepost journal 1 " + first}
}

// next is the link of a line without one.
func (c *chain) next(line []byte) string {
	c.text = append(append(append(c.text[:0], c.last...), '\n'), line...)
	var sum []byte
	if c.key == nil {
		digest := sha256.Sum256(c.text)
		sum = digest[:]
	} else {
		h := hmac.New(sha256.New, c.key)
		h.Write(c.text)
		sum = h.Sum(nil)
	}
	link := make([]byte, 0, len(keyedMark)+linkSize)
	if c.key != nil {
		link = append(link, keyedMark...)
	}
	return string(hex.AppendEncode(link, sum[:linkSize/2]))
}

// link gives the line that begins at begin, at the end of b, its link, as the last
// field.
func (c *chain) link(b []byte, begin int) []byte {
	c.last = c.next(b[begin:])
	b = append(b[:len(b)-1], chainField...)
	return append(append(b, c.last...), `"}`...)
}

// cutLink is a line's link and the line without it; ok is false if it has none.
func cutLink(line []byte) (bare []byte, link string, ok bool) {
	i := bytes.LastIndex(line, []byte(chainField))
	if i < 0 || !bytes.HasSuffix(line, []byte(`"}`)) {
		return line, "", false
	}
	link = string(line[i+len(chainField) : len(line)-2])
	return append(line[:i:i], '}'), link, len(strings.TrimPrefix(link, keyedMark)) == linkSize
}

// LastLink is the last link of a host's last log, as that log's name, a space and
// the link; "" if there is none, or it can't be read: a host starts all the same.
func (s *Spool) LastLink(host string) string {
	segments, err := s.segments(host)
	if err != nil {
		return ""
	}
	for _, g := range slices.Backward(segments) {
		data, _, err := s.FS.Read(path.Join(JournalDir(host), g.file), maxRead)
		if isStrange(err) {
			continue // else who puts it there cuts the chain
		}
		if err != nil {
			return ""
		}
		data = data[:bytes.LastIndexByte(data, '\n')+1] // what is torn never was
		for _, line := range slices.Backward(bytes.Split(data, []byte{'\n'})) {
			if _, link, ok := cutLink(line); ok {
				return g.log + " " + link
			}
		}
	}
	return ""
}

// Broken is a place where a journal isn't as it was written.
type Broken struct {
	File string `json:"file"`
	Line int    `json:"line"` // 0 = the file as a whole
	Why  string `json:"why"`
}

// LogHead is the end of a log's chain: who keeps it elsewhere can tell later
// whether the log was cut.
type LogHead struct {
	Log    string `json:"log"` // first segment
	Events uint64 `json:"events"`
	Link   string `json:"link"`
	Keyed  bool   `json:"keyed"`
}

// ChainReport is what VerifyJournals found.
type ChainReport struct {
	Heads   []LogHead `json:"heads"`
	Broken  []Broken  `json:"broken"`
	Unknown int       `json:"unkeyed"` // lines whose links need a key that wasn't given
	Bare    int       `json:"bare"`    // lines of logs from before there were links
	Plain   int       `json:"plain"`   // lines whose links anybody could make, although there is a key
	Lines   int       `json:"lines"`
}

// VerifyJournals checks the chains of all logs. key is that of the hosts, or nil;
// known are ends that were noted earlier, and have to be there still.
func (s *Spool) VerifyJournals(key []byte, known []LogHead) (ChainReport, error) {
	r := ChainReport{Heads: []LogHead{}, Broken: []Broken{}}
	hosts, err := s.FS.List(DirHosts)
	if err != nil {
		return r, fmt.Errorf("verify journals: %w", err)
	}
	slices.Sort(hosts)
	for _, host := range hosts {
		if !validOwner(host) {
			continue
		}
		segments, err := s.segments(host)
		if isStrange(err) {
			r.Broken = append(r.Broken, Broken{JournalDir(host), 0, err.Error()})
			continue
		}
		if err != nil {
			return r, err
		}
		v := &verifier{s: s, r: &r, host: host, key: key, links: map[string]map[string]bool{}}
		for len(segments) > 0 {
			n := 1
			for n < len(segments) && segments[n].log == segments[0].log {
				n++
			}
			if err := v.log(segments[:n]); err != nil {
				return r, err
			}
			segments = segments[n:]
		}
		known = v.noted(known)
	}
	for _, h := range known {
		r.Broken = append(r.Broken, Broken{h.Log, 0, "the log is missing, with " + fmt.Sprint(h.Events) + " events that were noted earlier"})
	}
	return r, nil
}

// noted looks for ends that were noted earlier; those of other logs are returned.
func (v *verifier) noted(known []LogHead) (others []LogHead) {
	for _, h := range known {
		dir, file := path.Split(h.Log)
		links := v.links[strings.TrimSuffix(file, logExt)]
		switch {
		case path.Clean(dir) != JournalDir(v.host) || links == nil:
			others = append(others, h)
		case !links[h.Link]:
			v.broken(h.Log, 0, "event %d, noted earlier, is missing or was changed", h.Events)
		}
	}
	return others
}

// verifier checks the logs of one host, in their order.
type verifier struct {
	s    *Spool
	r    *ChainReport
	host string
	key  []byte

	links map[string]map[string]bool // of the logs so far

	// Of the log at hand.
	chain chain
	byN   map[uint64]string // links by event
	n     uint64
	bare  bool
	keyed bool // a log of this host has keyed links
}

func (v *verifier) log(segments []segment) error {
	first := path.Join(JournalDir(v.host), segments[0].log+logExt)
	v.byN, v.n, v.bare = map[uint64]string{}, 0, false
	v.chain = newChain(nil, first)
	v.links[segments[0].log] = map[string]bool{}
	// Segments' numbers may be left out (an open that failed burns one), events'
	// numbers may not.
	for _, g := range segments {
		if err := v.segment(path.Join(JournalDir(v.host), g.file), g.log); err != nil {
			return err
		}
	}
	if v.n > 0 {
		v.r.Heads = append(v.r.Heads, LogHead{Log: first, Events: v.n, Link: v.chain.last, Keyed: strings.HasPrefix(v.chain.last, keyedMark)})
	}
	return nil
}

func (v *verifier) broken(file string, line int, format string, args ...any) {
	v.r.Broken = append(v.r.Broken, Broken{file, line, fmt.Sprintf(format, args...)})
}

func (v *verifier) segment(file, log string) error {
	data, _, err := v.s.FS.Read(file, maxRead)
	if isStrange(err) {
		v.broken(file, 0, "%v", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("verify journals: %w", err)
	}
	for k := 1; len(data) > 0; k++ {
		line, rest, whole := bytes.Cut(data, []byte{'\n'})
		data = rest
		if !whole {
			break // torn: it was written again, or never told of
		}
		v.r.Lines++
		v.line(file, log, k, line)
	}
	return nil
}

func (v *verifier) line(file, log string, k int, line []byte) {
	var e Event
	if json.Unmarshal(line, &e) != nil || e.Host != v.host {
		v.broken(file, k, "no event of this host")
		return
	}
	bare, link, ok := cutLink(line)
	switch {
	case !ok && v.n > 0 && !v.bare || ok && v.bare:
		v.broken(file, k, "some events of this log have links and others not")
		return
	case !ok:
		v.bare, v.n = true, e.N
		v.r.Bare++
		return
	}
	if was, again := v.byN[e.N]; again {
		// What wasn't proven durable is written again, the same to the byte.
		if was != link {
			v.broken(file, k, "event %d is there twice, and differs", e.N)
		}
		return
	}
	if e.N != v.n+1 {
		v.broken(file, k, "event %d follows event %d: what was between is missing", e.N, v.n)
	}
	keyed := strings.HasPrefix(link, keyedMark)
	v.keyed = v.keyed || keyed
	if keyed && v.key == nil {
		v.r.Unknown++
	} else {
		if v.chain.key = nil; keyed {
			v.chain.key = v.key
		} else if v.key != nil {
			v.r.Plain++
		}
		if v.keyed && !keyed && v.n == 0 {
			v.broken(file, k, "the links of this log were made without the key, those of an earlier one with it")
		}
		if v.n == 0 && e.Prev != "" {
			v.prev(file, k, e.Prev)
		}
		if want := v.chain.next(bare); want != link && e.N == v.n+1 {
			v.broken(file, k, "event %d, or the one before, is not as it was written", e.N)
		}
	}
	v.n, v.chain.last, v.byN[e.N] = e.N, link, link
	v.links[log][link] = true
}

// prev checks that the log before still has the event that was its last.
func (v *verifier) prev(file string, k int, prev string) {
	log, link, _ := strings.Cut(prev, " ")
	if links := v.links[log]; links == nil {
		v.broken(file, k, "the log before, %s, is missing", path.Join(JournalDir(v.host), log+logExt))
	} else if !links[link] {
		v.broken(file, k, "the end of the log before, %s, is missing", path.Join(JournalDir(v.host), log+logExt))
	}
}
