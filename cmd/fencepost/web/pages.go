package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"fencepost/cmd/fencepost/show"
	"fencepost/spool"
)

//go:embed static
var static embed.FS

// parsePages parses the templates, with the style and the script in them, and
// makes the policy that lets browsers run these two and no others.
func parsePages() (*template.Template, string, error) {
	style, err := static.ReadFile("static/style.css")
	if err != nil {
		return nil, "", err
	}
	script, err := static.ReadFile("static/page.js")
	if err != nil {
		return nil, "", err
	}
	t, err := template.New("").Funcs(template.FuncMap{
		"clean":   show.Clean,
		"css":     func() template.CSS { return template.CSS(style) }, //nolint:gosec // embedded
		"js":      func() template.JS { return template.JS(script) },  //nolint:gosec // embedded
		"span":    func(secs float64) string { return short(time.Duration(secs * float64(time.Second))) },
		"when":    func(text string) string { return when(text, "2006-01-02 15:04:05") },
		"exactly": func(text string) string { return when(text, "2006-01-02 15:04:05.000") },
		"has":     contains,
		"plural": func(n int, one, many string) string {
			if n == 1 {
				return "1 " + one
			}
			return fmt.Sprintf("%d %s", n, many)
		},
		"add": func(a, b int) int { return a + b },
	}).ParseFS(static, "static/*.html")
	hash := func(text []byte) string {
		sum := sha256.Sum256(text)
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	csp := "default-src 'none'; style-src " + hash(style) + "; script-src " + hash(script) +
		"; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	return t, csp, err
}

// when is a time as people read it, by the clock of who wrote it.
func when(text, layout string) string {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return text
	}
	return t.UTC().Format(layout)
}

// page is what every page has.
type page struct {
	Title   string
	Tab     string
	Self    Self
	Now     string
	Trouble string // why it isn't fresher
	Refresh int    // seconds, for browsers that run no script; 0 = never
	Query   string // in the search box
	Body    any
}

func (s *Server) show(w http.ResponseWriter, code int, name string, p page) {
	p.Self, p.Now = s.cfg.Source.Self(), clock(time.Now())
	var b bytes.Buffer
	if err := s.pages.ExecuteTemplate(&b, name+".html", p); err != nil {
		s.cfg.Log.Error().Err(err).Str("event", "page").Str("page", name).Msg("make page")
		http.Error(w, "this page could not be made; the log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes())
}

// sorry is a page that says why there is no other.
func (s *Server) sorry(w http.ResponseWriter, err error) {
	code, title := http.StatusServiceUnavailable, "No answer"
	text := err.Error()
	switch {
	case errors.Is(err, spool.ErrNotFound):
		code, title = http.StatusNotFound, "Not found"
	case errors.Is(err, spool.ErrAmbiguous):
		code, title = http.StatusConflict, "Several jobs"
	case errors.Is(err, errSlow):
		text = s.trouble(err, time.Now().Add(-s.cfg.Limit), time.Time{})
	}
	s.show(w, code, "sorry", page{Title: title, Body: text})
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/api/") {
		sendJSON(w, http.StatusNotFound, "error", map[string]any{"error": "no such document: see /api/v1/", "status": http.StatusNotFound})
		return
	}
	s.sorry(w, fmt.Errorf("%w: there is no such page", spool.ErrNotFound))
}

// picture is the shared look, for a page; ok is false if there never was one,
// and the page is answered.
func (s *Server) picture(w http.ResponseWriter, r *http.Request, p *page) (*view, bool) {
	got := s.pictures.get(r.Context(), s.cfg.Limit)
	p.Trouble = s.trouble(got.trouble, got.since, got.at)
	if !got.had {
		p.Title = "No answer"
		p.Body = "Nothing is known of the spool yet: " + p.Trouble
		s.show(w, http.StatusServiceUnavailable, "sorry", *p)
		return nil, false
	}
	return got.value, true
}

func (s *Server) hostPage(w http.ResponseWriter, r *http.Request) {
	p := page{Tab: "overview", Refresh: 10}
	v, ok := s.picture(w, r, &p)
	if !ok {
		return
	}
	name := r.PathValue("host")
	i := slices.IndexFunc(v.status.Hosts, func(h host) bool { return h.Host == name })
	if i < 0 {
		s.sorry(w, fmt.Errorf("%w: no host %s", spool.ErrNotFound, show.Clean(name)))
		return
	}
	list, err := s.jobs(r, JobsQuery{Host: name, Limit: 50})
	var its jobs
	if err == nil {
		its, err = as[jobs](list)
	}
	if err != nil && p.Trouble == "" {
		p.Trouble = "its jobs could not be read: " + show.Clean(err.Error())
	}
	p.Title = "Host " + name
	p.Body = struct {
		Host host
		Jobs jobs
	}{v.status.Hosts[i], its}
	s.show(w, http.StatusOK, "host", p)
}

func (s *Server) jobs(r *http.Request, q JobsQuery) (any, error) {
	return s.lists.get(r.Context(), q)
}

func (s *Server) job(r *http.Request) (JobDocs, error) {
	return s.traces.get(r.Context(), strings.ToLower(strings.TrimSpace(r.PathValue("id"))))
}

// jobsPage is a list, or the search: the one job that a prefix names is shown.
func (s *Server) jobsPage(w http.ResponseWriter, r *http.Request) {
	q, err := query(r)
	if err != nil {
		s.show(w, http.StatusBadRequest, "sorry", page{Title: "No such list", Tab: "jobs", Body: err.Error()})
		return
	}
	q.Prefix = strings.ToLower(strings.TrimSpace(q.Prefix))
	if spool.ValidID(q.Prefix) {
		http.Redirect(w, r, "/jobs/"+q.Prefix, http.StatusSeeOther)
		return
	}
	doc, err := s.jobs(r, q)
	if err != nil {
		s.sorry(w, err)
		return
	}
	list, err := as[jobs](doc)
	if err != nil {
		s.sorry(w, err)
		return
	}
	if q.Prefix != "" && list.Total == 1 {
		http.Redirect(w, r, "/jobs/"+list.Jobs[0].Job, http.StatusSeeOther)
		return
	}
	var places []string
	for _, one := range spool.Places() {
		places = append(places, string(one))
	}
	s.show(w, http.StatusOK, "jobs", page{Title: "Jobs", Tab: "jobs", Query: q.Prefix, Refresh: 30, Body: struct {
		Q      JobsQuery
		List   jobs
		Places []string
	}{q, list, places}})
}

func (s *Server) jobPage(w http.ResponseWriter, r *http.Request) {
	docs, err := s.job(r)
	if err != nil {
		s.sorry(w, err)
		return
	}
	t, err := as[trace](docs.Trace)
	if err != nil {
		s.sorry(w, err)
		return
	}
	y, err := as[why](docs.Why)
	if err != nil {
		s.sorry(w, err)
		return
	}
	p := page{Title: "Job " + t.Job, Tab: "jobs", Refresh: 10, Body: struct {
		Trace trace
		Why   why
		Lanes lanes
	}{t, y, newLanes(t, time.Now())}}
	if t.State == string(spool.PlaceDone) {
		p.Refresh = 0
	}
	s.show(w, http.StatusOK, "job", p)
}

// auditPage is the last audit's balance, as an equation.
func (s *Server) auditPage(w http.ResponseWriter, r *http.Request) {
	p := page{Title: "Audit", Tab: "audit", Refresh: 30}
	b := auditBody{Every: short(s.cfg.AuditEvery)}
	a := s.audit(r)
	if a.trouble != nil && !errors.Is(a.trouble, errSlow) {
		b.Words = "The last audit failed: " + a.trouble.Error()
	}
	if a.had {
		doc, err := as[balance](a.value)
		if err != nil {
			s.sorry(w, err)
			return
		}
		b.Balance, b.At, b.Rows = &doc, clock(a.at), doc.rows()
	}
	p.Body = b
	s.show(w, http.StatusOK, "audit", p)
}

func (s *Server) livePage(w http.ResponseWriter, _ *http.Request) {
	s.show(w, http.StatusOK, "live", page{Title: "Live", Tab: "live", Refresh: 5, Body: s.cfg.Events.last()})
}

func (s *Server) intrudersPage(w http.ResponseWriter, r *http.Request) {
	p := page{Title: "Intruders and alarms", Tab: "intruders", Refresh: 30}
	v, ok := s.picture(w, r, &p)
	if !ok {
		return
	}
	p.Body = struct {
		intruders
		Lost []lost
	}{v.intruders, v.status.Lost}
	s.show(w, http.StatusOK, "intruders", p)
}
