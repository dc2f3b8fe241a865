package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"fencepost/cmd/fencepost/config"
	"fencepost/cmd/fencepost/ingest"
	"fencepost/cmd/fencepost/node"
	"fencepost/cmd/fencepost/secure"
	"fencepost/cmd/fencepost/web"
	"fencepost/lease"
	"fencepost/spool"
)

// webSite is what the status page shows: what the commands print, of the
// daemon's own view of the share.
type webSite struct {
	share  *share
	node   *node.Node
	id     lease.Identity
	ttl    time.Duration
	ingest func() *ingest.Stats
	digest func() string
	known  settled // of Look, which is never called twice at once
}

var _ web.Source = (*webSite)(nil)

// Self implements web.Source.
func (w *webSite) Self() web.Self {
	return web.Self{Host: w.id.Host, Version: w.id.Version, ConfigDigest: w.digest(), Spool: w.share.Dir, SpoolID: w.share.ID,
		TTL: w.ttl, Node: w.node.Stats(), Alarms: w.node.Alarms(), Ingest: w.ingest()}
}

// Look implements web.Source.
func (w *webSite) Look(ctx context.Context) (web.Picture, error) {
	st, err := takeStatusWith(ctx, w.share, w.hosts, &w.known)
	if err != nil {
		return web.Picture{}, err
	}
	foreign, err := foreignFiles(w.share)
	if err != nil {
		return web.Picture{}, err
	}
	standing := slices.DeleteFunc(slices.Clone(st.Alarms), func(a alarmDoc) bool { return a.Resolved })
	return web.Picture{Status: st, Hosts: map[string]any{"hosts": st.Hosts, "alarms": standing}, Depth: map[string]any{"stages": depthDocs(st.depths, w.share.Env.Wall())},
		Intruders: map[string]any{"intruders": st.intruders, "foreign_files": foreign, "alarms": st.Alarms}}, nil
}

// hosts is the view of this daemon's own watcher, which looks at every
// heartbeat. What it doesn't know is looked at as the commands do.
func (w *webSite) hosts(ctx context.Context, s *share, claims map[string]int) ([]hostDoc, error) {
	watched, ok := w.node.Hosts()
	if !ok {
		return glanceAtHosts(ctx, s, claims)
	}
	states, err := lease.Look(ctx, s.Env, time.Millisecond)
	if err != nil {
		return nil, err
	}
	own := w.node.Stats()
	for i := range states {
		st := &states[i]
		if st.State != lease.Silent || st.Measured {
			continue
		}
		if st.Host == w.id.Host && own.Epoch == st.Record.Epoch && own.Renewed {
			// One's own record and clock.
			*st = asSeen(*st, lease.Live, max(0, s.Env.Wall().Sub(st.Record.At)))
			continue
		}
		k := slices.IndexFunc(watched, func(h lease.HostState) bool { return h.Host == st.Host })
		if k >= 0 && watched[k].Seen {
			member, enrolled := st.Member, st.Enrolled
			*st = watched[k]
			st.Member, st.Enrolled = member, enrolled
		}
	}
	return hostDocs(s, states, claims)
}

// asSeen is a host whose heartbeat is known to be fresh.
func asSeen(st lease.HostState, state lease.State, age time.Duration) lease.HostState {
	st.State, st.Reason, st.Age, st.Measured = state, "", age, true
	if why := whyUnfit(st.Record); why != "" {
		st.State, st.Reason = lease.Unfit, why
	} else if st.Draining {
		st.Reason = "draining"
	}
	return st
}

// Audit implements web.Source.
func (w *webSite) Audit(ctx context.Context) (any, error) { return w.share.Audit(ctx, w.ttl) }

// Jobs implements web.Source.
func (w *webSite) Jobs(_ context.Context, q web.JobsQuery) (any, error) {
	all, err := listJobs(w.share, jobsFilter{stage: q.Stage, state: q.State, host: q.Host, prefix: q.Prefix})
	if err != nil {
		return nil, err
	}
	total := len(all)
	if q.Limit > 0 && total > q.Limit {
		all = all[:q.Limit]
	}
	return map[string]any{"jobs": all, "total": total}, nil
}

// Job implements web.Source.
func (w *webSite) Job(ctx context.Context, prefix string) (web.JobDocs, error) {
	t, err := takeTrace(ctx, w.share, prefix)
	if err != nil {
		return web.JobDocs{}, err
	}
	if t.State == stateRemoved {
		return web.JobDocs{Trace: t, Why: &whyDoc{Job: t.Job, State: t.State, Verdict: t.sentence(), Gates: []gateDoc{}, Reasons: []whyReason{}}}, nil
	}
	y, err := takeWhyWith(ctx, w.share, t.Job, w.hosts)
	if err != nil {
		return web.JobDocs{}, err
	}
	return web.JobDocs{Trace: t, Why: y}, nil
}

// listenHTTP opens the status page's socket, before anything is taken.
func (d *daemon) listenHTTP() error {
	if d.cfg.HTTP == "" {
		return nil
	}
	var err error
	if d.token, err = readToken(d.cfg.HTTPToken); err != nil {
		return &exitError{code: exitUsage, err: err, next: "put one line of 16 characters or more into it, readable by this user alone"}
	}
	if err := d.pageTLS(); err != nil {
		return &exitError{code: exitUsage, err: err, next: "docs/ops/metrics.md has the settings of the page"}
	}
	if d.httpLn != nil {
		return nil
	}
	if d.httpLn, err = net.Listen("tcp", d.cfg.HTTP); err != nil {
		return &exitError{code: exitFailed, err: fmt.Errorf("listen for the status page: %w", err),
			next: "choose another --http ADDR:PORT (port 0 picks a free one), or stop what has it"}
	}
	return nil
}

// pageTLS reads what the page needs to speak TLS. Whether a viewer has to show a
// certificate the page decides: who only asks whether this host lives needs none.
func (d *daemon) pageTLS() (err error) {
	c := d.cfg
	if !c.PageTLS() {
		return nil
	}
	d.httpTLS, err = secure.Server(secure.Files{Cert: c.TLS.Cert, Key: c.TLS.Key, CA: c.HTTPClientCA, Protocol: "http/1.1",
		Reload: c.TLS.Reload.Duration, Warn: func(err error) {
			d.log.Warn().Err(err).Str("event", "door-files").Msg("trouble with the files of http_tls or http_client_ca")
		}})
	if err != nil {
		return fmt.Errorf("http_tls: %w", err)
	}
	return nil
}

// readToken reads the one line of a token file; "" without a file.
func readToken(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	info, err := os.Stat(file)
	if err != nil {
		return "", fmt.Errorf("http_token_file: %w", err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return "", fmt.Errorf("http_token_file: %s: everybody on this machine may use it (mode %04o, want 0600 or 0640)", file, info.Mode().Perm())
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("http_token_file: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if len(token) < 16 || strings.ContainsAny(token, " \t\r\n") {
		return "", fmt.Errorf("http_token_file: %s: not one line of 16 characters or more", file)
	}
	return token, nil
}

// newWeb makes the status page, which is served from before the lease is taken
// to the end: a host that waits, or was refused, says so.
func (d *daemon) newWeb(sp *spool.Spool, dir string) (*web.Server, error) {
	site := &webSite{share: &share{Spool: sp, Dir: absolute(dir)}, node: d.node, id: d.id, ttl: d.cfg.Lease.Duration, ingest: d.ingestStats, digest: d.configDigest}
	local, err := config.Loopback(d.httpLn.Addr().String())
	if err != nil {
		return nil, err
	}
	return web.New(web.Config{Source: site, Events: d.events, Files: d.files, Token: d.token, AnyHost: !local, TLS: d.httpTLS, Certificates: len(d.cfg.HTTPClientCA) > 0,
		Limit: min(d.cfg.Timeout.Duration, 5*time.Second), Log: d.log})
}

// serveWeb serves it beside run; the func returned ends it.
func (d *daemon) serveWeb(sp *spool.Spool, dir string) (stop func(), err error) {
	if d.httpLn == nil {
		return func() {}, nil
	}
	srv, err := d.newWeb(sp, dir)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		// A page less is no reason to stop working.
		if err := srv.Serve(ctx, d.httpLn); err != nil && !errors.Is(err, context.Canceled) {
			d.log.Error().Err(err).Str("event", "status-page").Msg("the status page ended")
		}
	}()
	return func() { cancel(); <-done }, nil
}

func (d *daemon) ingestStats() *ingest.Stats {
	srv := d.server.Load()
	if srv == nil {
		return nil
	}
	st := srv.Stats()
	return &st
}
