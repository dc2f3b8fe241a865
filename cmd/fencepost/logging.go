package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"

	"fencepost/cmd/fencepost/config"
	"fencepost/cmd/fencepost/show"
	"fencepost/spool"
)

// newLogger logs as the configuration says: readable on a terminal, else JSON
// lines.
func newLogger(stderr io.Writer, c config.Config) (zerolog.Logger, func(), error) {
	out, closeLog := stderr, func() {}
	if c.Log.File != "" {
		f, err := os.OpenFile(c.Log.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
		if err != nil {
			return zerolog.Nop(), nil, fmt.Errorf("open log: %w", err)
		}
		out, closeLog = f, func() { _ = f.Close() }
	}
	level, err := zerolog.ParseLevel(c.Log.Level)
	if err != nil {
		return zerolog.Nop(), nil, fmt.Errorf("log level: %w", err)
	}
	if f, ok := out.(*os.File); c.Log.Format == "text" || c.Log.Format == "auto" && ok && term.IsTerminal(int(f.Fd())) {
		out = zerolog.ConsoleWriter{Out: out, TimeFormat: time.TimeOnly, NoColor: os.Getenv("NO_COLOR") != ""}
	}
	return zerolog.New(zerolog.SyncWriter(out)).Level(level).With().Timestamp().Logger(), closeLog, nil
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
