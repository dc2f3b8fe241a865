package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"

	"fencepost/cmd/fencepost/config"
	"fencepost/cmd/fencepost/show"
	"fencepost/spool"
)

// logSink is where a daemon logs to: its level can change, and its file can be
// opened again, after a rotation, while others write.
type logSink struct {
	file  string // "" = standard error
	level atomic.Int32

	mu  sync.Mutex
	out io.Writer
	f   *os.File // nil without a file
}

// newLogger logs as the configuration says: readable on a terminal, else JSON
// lines.
func newLogger(stderr io.Writer, c config.Config) (zerolog.Logger, *logSink, error) {
	s := &logSink{file: c.Log.File, out: stderr}
	if err := s.setLevel(c.Log.Level); err != nil {
		return zerolog.Nop(), nil, err
	}
	if s.file != "" {
		if err := s.reopen(); err != nil {
			return zerolog.Nop(), nil, err
		}
	}
	var out io.Writer = s
	if f, ok := s.out.(*os.File); c.Log.Format == "text" || c.Log.Format == "auto" && ok && term.IsTerminal(int(f.Fd())) {
		out = zerolog.ConsoleWriter{Out: s, TimeFormat: time.TimeOnly, NoColor: os.Getenv("NO_COLOR") != ""}
	}
	return zerolog.New(out).Hook(s).With().Timestamp().Logger(), s, nil
}

func (s *logSink) setLevel(name string) error {
	level, err := zerolog.ParseLevel(name)
	if err != nil {
		return fmt.Errorf("log level: %w", err)
	}
	s.level.Store(int32(level))
	return nil
}

// Run implements zerolog.Hook: a logger's own level can't change any more.
func (s *logSink) Run(e *zerolog.Event, level zerolog.Level, _ string) {
	if level < zerolog.Level(s.level.Load()) {
		e.Discard()
	}
}

// Write implements io.Writer, a line at a time.
func (s *logSink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(p)
}

// reopen opens the file by its name. If that fails the old one is written on.
func (s *logSink) reopen() error {
	f, err := os.OpenFile(s.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	s.mu.Lock()
	old := s.f
	s.out, s.f = f, f
	s.mu.Unlock()
	if old != nil {
		_ = old.Close() // its lines are written: nothing is buffered
	}
	return nil
}

func (s *logSink) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f != nil {
		_ = s.f.Close()
		s.out, s.f = io.Discard, nil
	}
}

// tee logs each event of the journal under the same name, so that a grep in one
// host's log and trace agree.
func (d *daemon) tee(e spool.Event) {
	if d.events != nil {
		d.events.Add(e)
	}
	ev := d.log.WithLevel(eventLevel(e.Event)).Uint64("epoch", e.Epoch).Str("event", e.Event)
	for _, f := range []struct{ key, value string }{{"job", e.Job}, {"stage", string(e.Stage)}, {"token", e.Token},
		{"cluster_id", e.Cluster}, {"result", e.Result}, {"detail", e.Detail}} {
		if f.value != "" {
			ev = ev.Str(f.key, show.Clean(f.value))
		}
	}
	if e.Gen > 0 {
		ev = ev.Int("gen", e.Gen).Int("faults", e.Faults)
	}
	if e.Seconds > 0 {
		ev = ev.Float64("seconds", e.Seconds)
	}
	ev.Send()
}

// eventLevel: what each job goes through is for debugging; what only some do
// is worth a line. A lost race is normal.
func eventLevel(event string) zerolog.Level {
	switch event {
	case spool.EvClaimed, spool.EvSubmitted, spool.EvSealed, spool.EvPublished, spool.EvReleased, spool.EvConfirmed,
		spool.EvLost, spool.EvDuplicate:
		return zerolog.DebugLevel
	case spool.EvTrouble, spool.EvFailed, spool.EvParked, spool.EvForeign, spool.EvQuarantine, spool.EvUnclear:
		return zerolog.WarnLevel
	}
	return zerolog.InfoLevel
}

// warn logs what package lease or node says. The line's host is this one: which
// other host it is about has a key of its own.
func (d *daemon) warn(event string, kv ...any) {
	ev := d.log.Warn().Str("event", event)
	for i := 0; i+1 < len(kv); i += 2 {
		key, value := fmt.Sprint(kv[i]), kv[i+1]
		switch {
		case key == "host" && value == d.id.Host:
			continue
		case key == "host":
			key = "other_host"
		}
		if text, ok := value.(string); ok {
			value = show.Clean(text)
		}
		ev = ev.Fields([]any{key, value})
	}
	ev.Send()
}
