package web

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"fencepost/cmd/fencepost/show"
	"fencepost/spool"
)

// listed is how many jobs a list holds, unless ?limit= says less.
const listed = 200

// trouble says, in words, why what is shown isn't fresher; "" = nothing.
func (s *Server) trouble(err error, since, at time.Time) string {
	if err == nil {
		return ""
	}
	text := "the last look at the spool failed: " + err.Error()
	if errors.Is(err, errSlow) {
		text = "the share does not answer since " + clock(since)
		if late, ok := s.cfg.Files.overdue(s.cfg.Limit / 2); ok {
			text = fmt.Sprintf("the share does not answer since %s (%s %s)", clock(late.since), late.what, late.name)
		}
	}
	if !at.IsZero() {
		text += "; what follows was seen at " + clock(at)
	}
	return show.Clean(text)
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// apiError is every refusal.
func (s *Server) apiError(w http.ResponseWriter, err error) {
	code := http.StatusServiceUnavailable
	switch {
	case errors.Is(err, spool.ErrNotFound):
		code = http.StatusNotFound
	case errors.Is(err, spool.ErrAmbiguous):
		code = http.StatusConflict
	}
	text := err.Error()
	if errors.Is(err, errSlow) {
		text = s.trouble(err, time.Now().Add(-s.cfg.Limit), time.Time{})
	}
	sendJSON(w, code, "error", map[string]any{"error": text, "status": code})
}

func sendJSON(w http.ResponseWriter, code int, name string, doc any) {
	var b bytes.Buffer
	if err := show.JSON(&b, name, doc); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes())
}

// apiPicture serves one document of the shared look. A machine that asks wants
// to know that the answer is old: it gets an error then.
func (s *Server) apiPicture(name string, of func(Picture) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p := s.pictures.get(r.Context(), s.cfg.Limit)
		if p.trouble != nil || !p.had {
			sendJSON(w, http.StatusServiceUnavailable, "error", map[string]any{"status": http.StatusServiceUnavailable,
				"error": s.trouble(p.trouble, p.since, time.Time{}), "last_seen": stamp(p.at)})
			return
		}
		w.Header().Set("Last-Modified", p.at.UTC().Format(http.TimeFormat))
		sendJSON(w, http.StatusOK, name, of(p.value.docs))
	}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Truncate(time.Millisecond).Format(time.RFC3339Nano)
}

// apiAudit serves the last audit with its time; the first one to ask gets an
// error until it is done.
func (s *Server) apiAudit(w http.ResponseWriter, r *http.Request) {
	a := s.audit(r)
	if !a.had {
		err := a.trouble
		if err == nil || errors.Is(err, errSlow) {
			err = errors.New("the audit is under way: ask again")
		}
		w.Header().Set("Retry-After", "5")
		sendJSON(w, http.StatusServiceUnavailable, "error", map[string]any{"error": err.Error(), "status": http.StatusServiceUnavailable})
		return
	}
	w.Header().Set("Last-Modified", a.at.UTC().Format(http.TimeFormat))
	sendJSON(w, http.StatusOK, "audit", a.value)
}

// audit waits a little for the first one only.
func (s *Server) audit(r *http.Request) seen[any] {
	return s.audits.get(r.Context(), s.cfg.Limit/5)
}

func query(r *http.Request) (JobsQuery, error) {
	v := r.URL.Query()
	q := JobsQuery{State: v.Get("state"), Stage: v.Get("stage"), Host: v.Get("host"), Prefix: v.Get("q"), Limit: listed}
	if text := v.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 10*listed {
			return q, fmt.Errorf("limit %q is not between 1 and %d", text, 10*listed)
		}
		q.Limit = n
	}
	if q.State != "" && !known(q.State, spool.Places()) {
		return q, fmt.Errorf("state %q is none", q.State)
	}
	if q.Stage != "" && !known(q.Stage, spool.Stages()) {
		return q, fmt.Errorf("stage %q is none", q.Stage)
	}
	return q, nil
}

func known[T ~string](text string, all []T) bool {
	for _, one := range all {
		if string(one) == text {
			return true
		}
	}
	return false
}

func (s *Server) apiJobs(w http.ResponseWriter, r *http.Request) {
	q, err := query(r)
	if err != nil {
		sendJSON(w, http.StatusBadRequest, "error", map[string]any{"error": err.Error(), "status": http.StatusBadRequest})
		return
	}
	doc, err := s.jobs(r, q)
	if err != nil {
		s.apiError(w, err)
		return
	}
	sendJSON(w, http.StatusOK, "jobs", doc)
}

func (s *Server) apiJob(name string, of func(JobDocs) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		d, err := s.job(r)
		if err != nil {
			s.apiError(w, err)
			return
		}
		sendJSON(w, http.StatusOK, name, of(d))
	}
}

func (s *Server) apiIndex(w http.ResponseWriter, _ *http.Request) {
	self := s.cfg.Source.Self()
	sendJSON(w, http.StatusOK, "api", map[string]any{"host": self.Host, "version": self.Version, "spool": self.Spool, "spool_id": self.SpoolID,
		"documents": []string{"/api/v1/status", "/api/v1/hosts", "/api/v1/depth", "/api/v1/jobs", "/api/v1/jobs/ID", "/api/v1/jobs/ID/why",
			"/api/v1/audit", "/api/v1/intruders"}})
}
