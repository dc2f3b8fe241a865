package web

import (
	"context"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"fencepost/spool"
)

// metrics is a registry of its own: docs/ops/metrics.md lists what is in it.
func (s *Server) metrics() (http.Handler, error) {
	reg := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		s.cfg.Files.seconds, s.cfg.Events.count, s.cfg.Events.seconds, &gauges{s: s, of: descriptions()},
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{Timeout: 25 * time.Second, MaxRequestsInFlight: 4}), nil
}

// metricDoc is a metric as it is made at a scrape.
type metricDoc struct {
	name, help string
	kind       prometheus.ValueType
	labels     []string
}

// descriptions are all metrics that are made from documents and counters.
func descriptions() map[string]metricDoc {
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	out := map[string]metricDoc{}
	for _, m := range []metricDoc{
		{"build_info", "Always 1; the labels say what runs.", gauge, []string{"host", "version", "config_digest", "go_version", "spool_id"}},
		{"share_up", "1 if the last look at the spool worked and is fresh.", gauge, nil},
		{"look_seconds", "Duration of the last look at the spool.", gauge, nil},
		{"look_age_seconds", "Age of what this scrape says of the spool.", gauge, nil},
		{"jobs", "Jobs of the whole spool on their way or set aside, by stage and place.", gauge, []string{"stage", "place"}},
		{"jobs_oldest_seconds", "Age of the oldest of them, by the time in its id.", gauge, []string{"stage", "place"}},
		{"jobs_accepted", "Jobs that passed the gate and are kept, done ones included.", gauge, nil},
		{"jobs_done", "Final records that are kept.", gauge, nil},
		{"host_up", "1 if a host's heartbeat changes.", gauge, []string{"host"}},
		{"host_state", "1 for the state that a host is in.", gauge, []string{"host", "state"}},
		{"host_fit", "1 if a host takes work of a stage, 0 if it says that it can't.", gauge, []string{"host", "stage"}},
		{"host_epoch", "The epoch of a host's last heartbeat.", gauge, []string{"host"}},
		{"host_claims", "Claims and sealed files of a host, on disk.", gauge, []string{"host"}},
		{"lease_age_seconds", "Age of a host's heartbeat, as this host sees it.", gauge, []string{"host"}},
		{"intruders", "Machines that were refused and are not enrolled since, and canaries' alarms.", gauge, nil},
		{"foreign_files", "Files of others that were in the way.", gauge, nil},
		{"vanished_jobs", "Accepted jobs that are nowhere.", gauge, nil},
		{"duplicated_jobs", "Jobs that are in two places.", gauge, nil},
		{"canary_alarms", "Canaries that were taken, and nobody has said why.", gauge, nil},
		{"audit_difference", "Accepted minus all places, by the last audit of this page.", gauge, nil},
		{"audit_age_seconds", "Time since that audit.", gauge, nil},
		{"audits_total", "Audits that this host made beside its work.", counter, nil},
		{"removed_buckets_total", "Buckets of old records that this host removed.", counter, nil},
		{"removed_names_total", "Names of old records that this host removed.", counter, nil},
		{"canaries_taken_total", "Times that a canary of this host was taken.", counter, nil},
		{"epoch", "This host's epoch, 0 without an instance.", gauge, nil},
		{"lease_renewed", "1 if the last heartbeat could be written.", gauge, nil},
		{"ready", "1 if this host takes work.", gauge, nil},
		{"busy", "Claims that this host works on.", gauge, nil},
		{"claims_total", "Claims, by stage and result: won or lost by this instance, or reclaimed from another by this host.", counter, []string{"stage", "result"}},
		{"submissions_total", "Submissions by this instance, by result.", counter, []string{"result"}},
		{"submit_steps_total", "What this instance did after a submission.", counter, []string{"step"}},
		{"ingest_connections_total", "Connections that were accepted.", counter, nil},
		{"ingest_connections", "Connections that are open.", gauge, nil},
		{"ingest_requests_total", "Requests, by result: accepted, duplicate, query or refused.", counter, []string{"result"}},
		{"ingest_refused_total", "Requests that were refused, by code.", counter, []string{"code"}},
		{"ingest_goaway_total", "Connections that were ended, by code.", counter, []string{"code"}},
		{"ingest_tls_failures_total", "Connections whose TLS handshake failed.", counter, nil},
		{"ingest_dropped_total", "Connections that were closed without GOAWAY, while too many were being refused.", counter, nil},
		{"ingest_panics_total", "Panics that ended a connection or a request.", counter, nil},
	} {
		out[m.name] = m
	}
	return out
}

// gauges makes its metrics at each scrape.
type gauges struct {
	s  *Server
	of map[string]metricDoc
}

// Describe sends nothing: what is there depends on the spool.
func (g *gauges) Describe(chan<- *prometheus.Desc) {}

// put sends one metric; a word that isn't described is a mistake of this file's.
type put func(name string, value float64, labels ...string)

// Collect implements prometheus.Collector.
func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	put := func(name string, value float64, labels ...string) {
		m := g.of[name]
		desc := prometheus.NewDesc("fencepost_"+m.name, m.help, m.labels, nil)
		metric, err := prometheus.NewConstMetric(desc, m.kind, value, labels...)
		if err != nil {
			metric = prometheus.NewInvalidMetric(desc, err)
		}
		ch <- metric
	}
	self := g.s.cfg.Source.Self()
	put("build_info", 1, self.Host, self.Version, self.ConfigDigest, runtime.Version(), self.SpoolID)
	own(put, self)
	for _, stage := range spool.Stages() {
		put("claims_total", float64(g.s.cfg.Events.reclaimed(stage)), string(stage), "reclaimed")
	}
	p := g.s.pictures.get(context.Background(), g.s.cfg.Limit)
	up := p.had && p.trouble == nil
	put("share_up", one(up))
	if p.had {
		put("look_age_seconds", time.Since(p.at).Seconds())
	}
	if up {
		// Old numbers would hide that nobody counts any more.
		ofSpool(put, p.value)
		put("look_seconds", g.s.pictures.took().Seconds())
	}
	a := g.s.audits.get(context.Background(), 0)
	if b, err := as[balance](a.value); a.had && err == nil {
		put("audit_difference", float64(b.Difference))
		put("audit_age_seconds", time.Since(a.at).Seconds())
	}
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func ofSpool(put put, v *view) {
	st := v.status
	for _, d := range v.depths {
		put("jobs", float64(d.Count), d.Stage, d.State)
		if d.Oldest != nil {
			put("jobs_oldest_seconds", *d.Oldest, d.Stage, d.State)
		}
	}
	put("jobs_accepted", float64(st.Accepted))
	put("jobs_done", float64(st.Done))
	put("intruders", float64(st.Intruders))
	put("foreign_files", float64(st.Foreign))
	put("vanished_jobs", float64(st.Vanished))
	put("duplicated_jobs", float64(st.Duplicated))
	canaries := 0
	for _, a := range st.Alarms {
		if a.Kind == spool.AlarmCanary && !a.Resolved {
			canaries++
		}
	}
	put("canary_alarms", float64(canaries))
	for _, h := range st.Hosts {
		put("host_up", one(h.alive()), h.Host)
		for _, state := range states() {
			put("host_state", one(h.State == state), h.Host, state)
		}
		for _, stage := range h.Stages {
			put("host_fit", one(h.alive() && !contains(h.Unfit, stage)), h.Host, stage)
		}
		put("host_epoch", float64(h.Epoch), h.Host)
		put("host_claims", float64(h.Claims), h.Host)
		if h.Age != nil && !h.Estimated {
			put("lease_age_seconds", *h.Age, h.Host)
		}
	}
}

func own(put put, self Self) {
	st := self.Node
	put("epoch", float64(st.Epoch))
	put("ready", one(st.Refuses == ""))
	put("lease_renewed", one(st.Renewed))
	put("busy", float64(st.Busy))
	put("audits_total", float64(self.Alarms.Audits))
	put("removed_buckets_total", float64(self.Alarms.Removed.Buckets))
	put("removed_names_total", float64(self.Alarms.Removed.Names))
	put("canaries_taken_total", float64(self.Alarms.Canaries))
	for stage, c := range st.Claims {
		put("claims_total", float64(c.Won), string(stage), "won")
		put("claims_total", float64(c.Lost), string(stage), "lost")
	}
	if _, submits := st.Claims[spool.Submit]; submits {
		for result, n := range map[string]int{"submitted": st.Submit.Submitted, "rejected": st.Submit.Rejected,
			"unavailable": st.Submit.Unavailable, "unfit": st.Submit.Unfit, "unknown": st.Submit.Unknown} {
			put("submissions_total", float64(n), result)
		}
		for step, n := range map[string]int{"released": st.Submit.Released, "confirmed": st.Submit.Confirmed,
			"parked": st.Submit.Parked, "ghost_cancelled": st.Submit.Ghosts} {
			put("submit_steps_total", float64(n), step)
		}
	}
	in := self.Ingest
	if in == nil {
		return
	}
	put("ingest_connections_total", float64(in.Connections))
	put("ingest_connections", float64(in.Open))
	refused := uint64(0)
	for code, n := range in.Refused {
		put("ingest_refused_total", float64(n), string(code))
		refused += n
	}
	for code, n := range in.GoneAway {
		put("ingest_goaway_total", float64(n), string(code))
	}
	for result, n := range map[string]uint64{"accepted": in.Accepted, "duplicate": in.Duplicates, "query": in.Queries, "refused": refused} {
		put("ingest_requests_total", float64(n), result)
	}
	put("ingest_tls_failures_total", float64(in.NoTLS))
	put("ingest_dropped_total", float64(in.Dropped))
	put("ingest_panics_total", float64(in.Panics))
}
