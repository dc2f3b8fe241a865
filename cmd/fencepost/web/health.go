package web

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// idleFor is how long a process may be without an instance, at least: it starts,
// waits for another's lease to end, or starts over.
const idleFor = time.Minute

// healthz says whether this process progresses: its heartbeats are written, or
// it is not long ago that it had an instance. A restart mends nothing else.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	self := s.cfg.Source.Self()
	st := self.Node
	switch idle := max(idleFor, 3*self.TTL); {
	case st.Epoch > 0 && st.Renewed:
		answer(w, http.StatusOK, fmt.Sprintf("ok: host %s epoch %d", self.Host, st.Epoch))
	case st.Since < idle:
		answer(w, http.StatusOK, "ok: "+st.Refuses)
	case st.Epoch > 0:
		answer(w, http.StatusServiceUnavailable, "the last heartbeat could not be written")
	default:
		answer(w, http.StatusServiceUnavailable, fmt.Sprintf("no instance for %s", st.Since.Round(time.Second)))
	}
}

// readyz says whether this host takes work.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	st := s.cfg.Source.Self().Node
	if st.Refuses != "" {
		answer(w, http.StatusServiceUnavailable, st.Refuses)
		return
	}
	var unfit []string
	for stage, fit := range st.Fit {
		if !fit {
			unfit = append(unfit, string(stage))
		}
	}
	text := fmt.Sprintf("ready: epoch %d", st.Epoch)
	if len(unfit) > 0 {
		text += ", unfit for " + strings.Join(unfit, ", ")
	}
	answer(w, http.StatusOK, text)
}

func answer(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = fmt.Fprintln(w, text)
}
