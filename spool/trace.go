package spool

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"
)

// maxRead bounds a segment that is read, bytes: those that are written end well
// below, and one is held in memory at a time.
const maxRead = 64 << 20

// segment is a part of a journal.
type segment struct {
	file, log string
	k         int
}

// Events reads all journals, each in its own order, and gives each event that
// keep lets pass to visit, once. A torn last line, or one that is none of ours,
// is skipped: a journal explains, it never proves. keep sees the raw line first,
// so that most lines need not be parsed; nil keeps all.
func (s *Spool) Events(keep func(line []byte) bool, visit func(Event)) error {
	return s.events(nil, keep, visit)
}

// events reads only the lines that find stands in, unless it is nil: to search a
// file for a word is much quicker than to take it apart into lines.
func (s *Spool) events(find []byte, keep func(line []byte) bool, visit func(Event)) error {
	hosts, err := s.FS.List(DirHosts)
	if err != nil {
		return fmt.Errorf("read journals: %w", err)
	}
	slices.Sort(hosts)
	var failed error
	for _, host := range hosts {
		if !validOwner(host) {
			continue
		}
		segments, err := s.segments(host)
		failed = errors.Join(failed, unlessStrange(err))
		var seen numbers // of the log at hand
		for i, g := range segments {
			if i == 0 || g.log != segments[i-1].log {
				seen = numbers{}
			}
			failed = errors.Join(failed, unlessStrange(s.readJournal(path.Join(JournalDir(host), g.file), find, keep, func(e Event) {
				// What wasn't proven durable is written again, in the next segment.
				if e.Host == host && seen.add(e.N) {
					visit(e)
				}
			})))
		}
	}
	return failed
}

// isStrange says that something under a journal's name is none, and never was: it
// must not keep the others from being read. VerifyJournals reports it.
func isStrange(err error) bool {
	return errors.Is(err, errNotRegular) || errors.Is(err, errTooLarge) || isErr(err, syscall.ENOTDIR, syscall.ELOOP)
}

func unlessStrange(err error) error {
	if isStrange(err) {
		return nil
	}
	return err
}

// segments lists a host's journals in the order in which they were written.
func (s *Spool) segments(host string) ([]segment, error) {
	files, err := s.FS.List(JournalDir(host))
	if err != nil && !isErr(err, syscall.ENOENT) {
		return nil, fmt.Errorf("read journals: %w", err)
	}
	var out []segment
	for _, f := range files {
		if log, k, ok := parseSegment(f); ok {
			out = append(out, segment{f, log, k})
		}
	}
	slices.SortFunc(out, func(a, b segment) int {
		// 9 before 10, and a log's segments together.
		return cmp.Or(len(a.log)-len(b.log), strings.Compare(a.log, b.log), a.k-b.k)
	})
	return out, nil
}

// numbers is a set of numbers that mostly come one after the other.
type numbers struct{ runs [][2]uint64 } // first and last, ascending

// add says whether n is new.
func (s *numbers) add(n uint64) bool {
	i, found := slices.BinarySearchFunc(s.runs, n, func(r [2]uint64, n uint64) int {
		switch {
		case r[1] < n:
			return -1
		case r[0] > n:
			return 1
		}
		return 0
	})
	switch {
	case found:
		return false
	case i > 0 && s.runs[i-1][1]+1 == n:
		s.runs[i-1][1] = n
	default:
		s.runs = slices.Insert(s.runs, i, [2]uint64{n, n})
	}
	return true
}

func (s *Spool) readJournal(name string, find []byte, keep func([]byte) bool, visit func(Event)) error {
	data, _, err := s.FS.Read(name, maxRead)
	if err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	for len(data) > 0 {
		if find != nil {
			i := bytes.Index(data, find)
			if i < 0 {
				return nil
			}
			data = data[bytes.LastIndexByte(data[:i], '\n')+1:]
		}
		line, rest, _ := bytes.Cut(data, []byte{'\n'})
		data = rest
		if len(line) == 0 || keep != nil && !keep(line) {
			continue
		}
		var e Event
		if json.Unmarshal(line, &e) == nil {
			visit(e)
		}
	}
	return nil
}

// Trace returns a job's events in causal order. Hosts' clocks may differ by
// hours, so the order rests on the job's own numbers: generation, which never
// falls, then stage, then the step within a try, then the host's own count. A
// job moves through them in this order and no other, also one that was recovered
// and begins again at its first stage.
func (s *Spool) Trace(id string) ([]Event, error) {
	var out []Event
	err := s.events([]byte(id), nil, func(e Event) {
		if e.Job == id {
			out = append(out, e)
		}
	})
	SortEvents(out)
	return out, err
}

// SortEvents puts one job's events into causal order.
func SortEvents(events []Event) {
	slices.SortStableFunc(events, func(a, b Event) int {
		ka, kb := causal(a), causal(b)
		for i := range ka {
			if ka[i] != kb[i] {
				return ka[i] - kb[i]
			}
		}
		if a.Host != b.Host {
			return strings.Compare(a.Host, b.Host)
		}
		if a.Epoch != b.Epoch {
			return cmp.Compare(a.Epoch, b.Epoch)
		}
		if a.Epoch == 0 {
			// Commands without an epoch count from 1 each; they are of one host.
			if c := a.Time.Compare(b.Time); c != 0 {
				return c
			}
		}
		return cmp.Compare(a.N, b.N)
	})
}

// causal is the position of an event in its job's life: generation, stage,
// step. What ends a try bears the generation that the job has from then on, so
// it stands before the claim of that generation.
func causal(e Event) [3]int {
	stage := map[Stage]int{Ingest: 0, Translate: 1, Submit: 2}[e.Stage]
	switch e.Event {
	case EvReturned, EvReclaimed, EvRetried, EvUnheld, EvUnparked, EvFailed, EvRecovered:
		return [3]int{e.Gen, stage, 0}
	}
	step := map[string]int{EvAccepted: 1, EvRolled: 1, EvDuplicate: 2, EvClaimed: 3, EvSubmitted: 4, EvSealed: 4,
		EvUnclear: 6, EvLost: 6, EvPublished: 7, EvHandedOver: 7, EvReleased: 7, EvConfirmed: 8, EvRejected: 9, EvHeld: 9,
		EvParked: 9, EvCancelled: 10, EvDone: 11, EvVanished: 12, EvFound: 13}[e.Event]
	if step == 0 {
		step = 6
	}
	return [3]int{e.Gen, stage, step}
}
