package web

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"fencepost/spool"
)

// overviewBody is all that there is at a glance.
type overviewBody struct {
	Verdict             string // ok, degraded or unsafe
	Words               string
	Problems            []problem
	Status              status
	Flow                []tile
	Aside               []tile
	Chart               chart
	Rates               string
	Audit               *balance
	AuditAt, AuditWords string
	Canaries            int
}

type tile struct {
	Name, Link, Class string
	Jobs              int
	Oldest            string
}

func (s *Server) overview(w http.ResponseWriter, r *http.Request) {
	p := page{Title: "Overview", Tab: "overview", Refresh: 10}
	v, ok := s.picture(w, r, &p)
	if !ok {
		return
	}
	b := overviewBody{Status: v.status, Problems: v.status.Problems, Chart: newChart(s.cfg.Events.hour(time.Now()))}
	b.Verdict, b.Words = verdict(v.status, p.Trouble)
	b.Flow, b.Aside = tiles(v)
	if accepted, done, over := s.rates.perMinute(); over > 0 {
		b.Rates = fmt.Sprintf("The whole spool over the last %s: %.0f jobs a minute accepted, %.0f done.", short(over), accepted, done)
	}
	for _, a := range v.status.Alarms {
		if a.Kind == spool.AlarmCanary && !a.Resolved {
			b.Canaries++
		}
	}
	s.audited(r, &b)
	p.Body = b
	s.show(w, http.StatusOK, "overview", p)
}

// audited adds the balance that there is.
func (s *Server) audited(r *http.Request, b *overviewBody) {
	a := s.audit(r)
	if a.trouble != nil && !errors.Is(a.trouble, errSlow) {
		b.AuditWords = "The last audit failed: " + a.trouble.Error()
	}
	if !a.had {
		if b.AuditWords == "" {
			b.AuditWords = "The first audit of this page is under way."
		}
		return
	}
	if doc, err := as[balance](a.value); err == nil {
		b.Audit, b.AuditAt = &doc, clock(a.at)
	}
}

// verdict is the banner, in words.
func verdict(st status, trouble string) (class, words string) {
	worst, n := 0, 0
	for _, p := range st.Problems {
		worst = max(worst, p.Exit)
		if p.Exit > 0 {
			n++
		}
	}
	switch {
	case worst >= 5:
		return "unsafe", fmt.Sprintf("Unsafe: %s a person now", needs(n))
	case trouble != "":
		return "degraded", "Not known: the share does not answer, or could not be read"
	case worst > 0:
		return "degraded", fmt.Sprintf("Degraded: %s a person", needs(n))
	}
	if set := st.Parked + st.Failed; set > 0 {
		return "ok", fmt.Sprintf("All is well; %d set aside wait for a decision", set)
	}
	return "ok", "All is well: nothing is lost, nothing waits for a person"
}

func needs(n int) string {
	if n == 1 {
		return "1 thing needs"
	}
	return fmt.Sprintf("%d things need", n)
}

// tiles are the stages in the order of the flow, and what was set aside.
func tiles(v *view) (flow, aside []tile) {
	oldest := func(t *tile, stage, state string) {
		most := -1.0
		for _, d := range v.depths {
			if d.State == state && (stage == "" || d.Stage == stage) && d.Oldest != nil && *d.Oldest > most {
				most = *d.Oldest
				t.Oldest = short(time.Duration(most * float64(time.Second)))
			}
		}
	}
	st := v.status
	for _, stage := range spool.Stages() {
		t := tile{Name: "wait for " + string(stage), Link: "/jobs?state=waiting&stage=" + string(stage), Jobs: st.Waiting[string(stage)]}
		oldest(&t, string(stage), "waiting")
		flow = append(flow, t)
	}
	for _, one := range []struct {
		state string
		n     int
	}{{"claimed", st.Claimed}, {"sealed", st.Sealed}, {"done", st.Done}} {
		t := tile{Name: one.state, Link: "/jobs?state=" + one.state, Jobs: one.n, Class: one.state}
		oldest(&t, "", one.state)
		flow = append(flow, t)
	}
	for _, one := range []struct {
		state, class string
		n            int
	}{{"held", "warn", st.Held}, {"parked", "warn", st.Parked}, {"failed", "bad", st.Failed}} {
		t := tile{Name: one.state, Link: "/jobs?state=" + one.state, Jobs: one.n}
		if one.n > 0 {
			t.Class = one.class
		}
		oldest(&t, "", one.state)
		aside = append(aside, t)
	}
	return flow, aside
}

// chart is an hour of this host in bars.
type chart struct {
	Bars     []chartBar
	Most     int
	Accepted int
	Done     int
}

type chartBar struct {
	X, Accepted, Done int // heights, of 60
	YA, YD            int
	Title             string
}

func newChart(hour []minute) chart {
	var c chart
	for _, m := range hour {
		c.Most = max(c.Most, m.Accepted, m.Done)
		c.Accepted += m.Accepted
		c.Done += m.Done
	}
	for i, m := range hour {
		b := chartBar{X: 10 * i, Title: fmt.Sprintf("%s: %d accepted, %d done", time.Unix(m.at*60, 0).UTC().Format("15:04"), m.Accepted, m.Done)}
		if c.Most > 0 {
			b.Accepted, b.Done = (60*m.Accepted+c.Most-1)/c.Most, (60*m.Done+c.Most-1)/c.Most
		}
		b.YA, b.YD = 62-b.Accepted, 62-b.Done
		c.Bars = append(c.Bars, b)
	}
	return c
}
