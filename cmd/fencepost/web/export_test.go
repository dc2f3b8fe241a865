package web

import (
	"context"
	"strings"
	"time"
)

// MetricNames are all that package web makes itself, as docs/ops/metrics.md
// must have them.
func MetricNames() (names []string) {
	for name := range descriptions() {
		names = append(names, "fencepost_"+name)
	}
	return append(names, "fencepost_events_total", "fencepost_submission_seconds", "fencepost_file_operation_seconds")
}

// Lane draws a trace and says, for each bar, its class, lane and label.
func Lane(t Trace) (bars []string) {
	l := newLanes(t.trace, t.Now)
	for _, b := range l.Bars {
		name := ""
		for _, r := range l.Rows {
			if b.Y == r.Y-barHeight/2 {
				name = r.Name
			}
		}
		bars = append(bars, strings.Join([]string{b.Class, name, b.Label}, " "))
	}
	return bars
}

// Trace is a trace with the time at which it is drawn.
type Trace struct {
	trace
	Now time.Time
}

// ReadTrace reads a trace document.
func ReadTrace(doc any, now time.Time) (Trace, error) {
	t, err := as[trace](doc)
	return Trace{t, now}, err
}

// Shelved asks n questions of a shelf that keeps most, and says how many it keeps,
// and whether the last one is among them.
func Shelved(n, most int) (kept int, last bool) {
	s := &shelf[int, int]{most: most, every: time.Second, limit: time.Minute, look: func(_ context.Context, k int) (int, error) { return k, nil }}
	for k := range n {
		if v, err := s.get(context.Background(), k); v != k || err != nil {
			return -1, false
		}
	}
	_, last = s.kept[n-1]
	return len(s.kept), last
}
