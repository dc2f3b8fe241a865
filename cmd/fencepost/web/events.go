package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fencepost/cmd/fencepost/show"
	"fencepost/spool"
)

const (
	keptEvents  = 200 // that a new viewer sees
	keptMinutes = 60
	streamSlack = 128 // events that a viewer may lag behind
)

// Events keeps the newest events of this instance's journal, and tells them to
// who watches. Add never waits for anybody.
type Events struct {
	count   *prometheus.CounterVec
	seconds *prometheus.HistogramVec

	mu      sync.Mutex
	newest  []spool.Event       // oldest first
	taken   map[spool.Stage]int // claims that were taken back from others
	streams map[chan spool.Event]bool
	minutes [keptMinutes]minute
}

// minute counts what this host did in one.
type minute struct {
	at                        int64 // minutes since 1970
	Accepted, Published, Done int
}

// NewEvents has seen nothing yet.
func NewEvents() *Events {
	return &Events{
		taken:   map[spool.Stage]int{},
		streams: map[chan spool.Event]bool{},
		count: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fencepost_events_total",
			Help: "Events of this host's journal, by event and stage."}, []string{"event", "stage"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "fencepost_submission_seconds",
			Help:    "Duration of submissions to the cluster, by what the journal says of them.",
			Buckets: []float64{.01, .05, .2, 1, 5, 15, 60}}, []string{"event"}),
	}
}

// Add takes an event.
func (h *Events) Add(e spool.Event) {
	h.count.WithLabelValues(e.Event, string(e.Stage)).Inc()
	if e.Stage == spool.Submit && e.Seconds > 0 {
		h.seconds.WithLabelValues(e.Event).Observe(e.Seconds)
	}
	now := time.Now().Unix() / 60
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.newest) == keptEvents {
		h.newest = slices.Delete(h.newest, 0, 1)
	}
	h.newest = append(h.newest, e)
	m := &h.minutes[now%keptMinutes]
	if m.at != now {
		*m = minute{at: now}
	}
	switch e.Event {
	case spool.EvAccepted:
		m.Accepted++
	case spool.EvPublished:
		m.Published++
	case spool.EvDone:
		m.Done++
	case spool.EvReclaimed:
		h.taken[e.Stage]++
	}
	for ch := range h.streams {
		select {
		case ch <- e:
		default: // who can't follow misses some
		}
	}
}

// reclaimed counts the claims that this host took back from others.
func (h *Events) reclaimed(stage spool.Stage) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.taken[stage]
}

// last are the newest events, newest first.
func (h *Events) last() []spool.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := slices.Clone(h.newest)
	slices.Reverse(out)
	return out
}

// hour is what was done in the last minutes, oldest first.
func (h *Events) hour(now time.Time) []minute {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []minute
	for at := now.Unix()/60 - keptMinutes + 1; at <= now.Unix()/60; at++ {
		if m := h.minutes[at%keptMinutes]; m.at == at {
			out = append(out, m)
		} else {
			out = append(out, minute{at: at})
		}
	}
	return out
}

func (h *Events) follow() (ch chan spool.Event, end func()) {
	ch = make(chan spool.Event, streamSlack)
	h.mu.Lock()
	h.streams[ch] = true
	h.mu.Unlock()
	return ch, func() {
		h.mu.Lock()
		delete(h.streams, ch)
		h.mu.Unlock()
	}
}

// events is the stream: one journal event a message, and a comment now and then
// so that a dead connection is noticed.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		return
	}
	rc := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	ch, end := s.cfg.Events.follow()
	defer end()
	alive := time.NewTicker(15 * time.Second)
	defer alive.Stop()
	write := func(text string) bool {
		_ = rc.SetWriteDeadline(time.Now().Add(10 * time.Second))
		_, err := fmt.Fprint(w, text)
		return err == nil && rc.Flush() == nil
	}
	if !write("retry: 3000\n\n") {
		return
	}
	for {
		select {
		case e := <-ch:
			if !write(message(e)) {
				return
			}
		case <-alive.C:
			if !write(": alive\n\n") {
				return
			}
		case <-r.Context().Done():
			return
		case <-s.stop:
			return
		}
	}
}

// message is an event as a stream has it: JSON never holds a line break.
func message(e spool.Event) string {
	e.Detail, e.Result = show.Clean(e.Detail), show.Clean(e.Result)
	data, err := json.Marshal(e)
	if err != nil {
		return ""
	}
	return "data: " + string(data) + "\n\n"
}
