package spool

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// appendEvent appends an event as encoding/json writes it, to the byte, without
// reflection: a job has eight events, which cost more than any other work of this
// host's for it (BenchmarkJournal).
func appendEvent(b []byte, ev *Event) []byte {
	b = append(b, `{"time":"`...)
	b = append(ev.Time.AppendFormat(b, time.RFC3339Nano), `","n":`...)
	b = strconv.AppendUint(b, ev.N, 10)
	b = appendText(append(b, `,"host":`...), ev.Host)
	b = strconv.AppendUint(append(b, `,"epoch":`...), ev.Epoch, 10)
	b = appendText(append(b, `,"event":`...), ev.Event)
	b = appendField(b, `,"job":`, ev.Job)
	b = appendField(b, `,"stage":`, string(ev.Stage))
	b = appendField(b, `,"token":`, ev.Token)
	if ev.Gen != 0 {
		b = strconv.AppendInt(append(b, `,"gen":`...), int64(ev.Gen), 10)
	}
	if ev.Faults != 0 {
		b = strconv.AppendInt(append(b, `,"faults":`...), int64(ev.Faults), 10)
	}
	b = appendField(b, `,"cluster_id":`, ev.Cluster)
	b = appendField(b, `,"result":`, ev.Result)
	b = appendField(b, `,"detail":`, ev.Detail)
	if ev.Seconds != 0 {
		b = appendSeconds(append(b, `,"seconds":`...), ev.Seconds)
	}
	b = appendField(b, `,"version":`, ev.Version)
	b = appendField(b, `,"config":`, ev.Config)
	b = appendField(b, `,"prev":`, ev.Prev)
	b = appendField(b, `,"chain":`, ev.Chain)
	return append(b, '}')
}

// appendField appends a field that is left out when it is empty.
func appendField(b []byte, key, s string) []byte {
	if s == "" {
		return b
	}
	return appendText(append(b, key...), s)
}

// appendText appends a string; one that holds anything but plain ASCII is left to
// encoding/json.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			text, _ := json.Marshal(s) // of a string: it can't fail
			return append(b, text...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// appendSeconds appends a number; one that encoding/json writes with an exponent,
// or not at all, is left to it: no event takes so short, or so long.
func appendSeconds(b []byte, f float64) []byte {
	if abs := math.Abs(f); abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(b, f, 'f', -1, 64)
	}
	text, err := json.Marshal(f)
	if err != nil {
		return append(b, '0')
	}
	return append(b, text...)
}
