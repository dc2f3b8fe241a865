package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"
)

// maxJournal bounds one journal that is read, bytes.
const maxJournal = 1 << 30

// Events reads all journals, each in its own order, and gives each event that
// keep lets pass to visit. A torn last line, or one that is none of ours, is
// skipped: a journal explains, it never proves. keep sees the raw line first, so
// that most lines need not be parsed; nil keeps all.
func (s *Spool) Events(keep func(line []byte) bool, visit func(Event)) error {
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
		files, err := s.FS.List(JournalDir(host))
		if err != nil && !isErr(err, syscall.ENOENT) {
			failed = errors.Join(failed, fmt.Errorf("read journals: %w", err))
		}
		slices.SortFunc(files, compareEpochFiles)
		for _, f := range files {
			if strings.HasSuffix(f, ".jsonl") {
				failed = errors.Join(failed, s.readJournal(path.Join(JournalDir(host), f), keep, visit))
			}
		}
	}
	return failed
}

// compareEpochFiles orders 9.jsonl before 10.jsonl and 10.1.jsonl.
func compareEpochFiles(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

func (s *Spool) readJournal(name string, keep func([]byte) bool, visit func(Event)) error {
	data, _, err := s.FS.Read(name, maxJournal)
	if err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	for len(data) > 0 {
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
// hours, so the order rests on the job's own numbers: stage, then generation,
// then the step within a try, then the host's own count. A job moves through
// them in this order and no other.
func (s *Spool) Trace(id string) ([]Event, error) {
	var out []Event
	err := s.Events(func(line []byte) bool { return bytes.Contains(line, []byte(id)) },
		func(e Event) {
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
			return int(a.Epoch) - int(b.Epoch)
		}
		return int(a.N) - int(b.N)
	})
}

// causal is the position of an event in its job's life: stage, generation,
// step. What ends a try bears the generation that the job has from then on, so
// it stands before the claim of that generation.
func causal(e Event) [3]int {
	stage := map[Stage]int{Ingest: 0, Translate: 1, Submit: 2}[e.Stage]
	switch e.Event {
	case EvReturned, EvReclaimed, EvRetried, EvUnheld, EvUnparked, EvFailed:
		return [3]int{stage, e.Gen, 0}
	}
	step := map[string]int{EvAccepted: 1, EvRolled: 1, EvDuplicate: 2, EvClaimed: 3, EvSubmitted: 4, EvSealed: 5,
		EvUnclear: 6, EvLost: 6, EvPublished: 7, EvReleased: 7, EvConfirmed: 8, EvRejected: 9, EvHeld: 9,
		EvParked: 9, EvCancelled: 9, EvDone: 10}[e.Event]
	if step == 0 {
		step = 6
	}
	return [3]int{stage, e.Gen, step}
}
