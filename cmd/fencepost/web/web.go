package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"fencepost/cmd/fencepost/ingest"
	"fencepost/cmd/fencepost/node"
)

// Source is where the pages have it from. Its methods may be called by several
// goroutines at once; but for Self they read the share, and may hang with it.
// Documents are what the command of that name prints with --json.
type Source interface {
	Self() Self
	Look(ctx context.Context) (Picture, error)
	Audit(ctx context.Context) (any, error)
	Jobs(ctx context.Context, q JobsQuery) (any, error)
	// Job returns spool.ErrNotFound or spool.ErrAmbiguous for what is no job's id.
	Job(ctx context.Context, prefix string) (JobDocs, error)
}

// Picture is one look at the spool.
type Picture struct {
	Status    any // with all hosts
	Hosts     any
	Depth     any // of status' own listing: {"stages":[{"stage","state","count","oldest_seconds","oldest_job"}]}
	Intruders any
}

// JobDocs is what is known of a job.
type JobDocs struct{ Trace, Why any }

// JobsQuery says which jobs are wanted.
type JobsQuery struct {
	State, Stage string // "" = all
	Host         string // whose claims, or who did them; "" = all
	Prefix       string // of the id
	Limit        int    // the first by id
}

// Self is what this process knows of itself without the share.
type Self struct {
	Host, Version, ConfigDigest string
	Spool, SpoolID              string
	TTL                         time.Duration // of a lease
	Node                        node.Stats
	Alarms                      node.Alarms
	Ingest                      *ingest.Stats // nil without ingest
}

// Config is what a server needs.
type Config struct {
	Source Source
	Events *Events // which the journal's events go to; nil = none
	Files  *Files  // that measures the operations on the share; nil = nothing is measured
	// Token is asked of every viewer, but not by /healthz and /readyz; "" = none.
	Token string
	// TLS makes the page speak TLS; nil = plain HTTP.
	TLS *tls.Config
	// Certificates lets viewers in who have shown a certificate that TLS verified;
	// without a Token nobody else, but to /healthz and /readyz.
	Certificates bool
	// AnyHost answers under every name. Otherwise, and without a token, only
	// under addresses and names of this machine: a web page elsewhere could
	// make a browser read this one under a name of its own.
	AnyHost bool
	// Limit is how long a viewer waits for the share; default 5 s.
	Limit time.Duration
	// AuditEvery is the time between two audits while somebody looks; default 1 min.
	AuditEvery time.Duration
	Viewers    int // requests at once; default 64, half of them streams
	Log        zerolog.Logger
}

// Server serves the pages.
type Server struct {
	cfg      Config
	pictures *lookout[*view]
	audits   *lookout[any]
	lists    *shelf[JobsQuery, any]
	traces   *shelf[string, JobDocs]
	asked    chan struct{} // slots of reads for lists and jobs
	busy     chan struct{} // slots of viewers
	streams  chan struct{}
	pages    *template.Template
	csp      string
	handler  http.Handler
	stop     chan struct{} // closed when Serve's context ends
	stopOnce sync.Once
	rates    rates
}

// Bounds that no setting changes.
const (
	maxConns  = 256
	maxAsked  = 4  // reads of the share under way for lists and jobs
	maxKept   = 32 // lists, and jobs, that viewers share
	maxHeader = 16 << 10
)

// New prepares a server.
func New(cfg Config) (*Server, error) {
	if cfg.Limit == 0 {
		cfg.Limit = 5 * time.Second
	}
	if cfg.AuditEvery == 0 {
		cfg.AuditEvery = time.Minute
	}
	if cfg.Viewers == 0 {
		cfg.Viewers = 64
	}
	if cfg.Events == nil {
		cfg.Events = NewEvents()
	}
	if cfg.Files == nil {
		cfg.Files = NewFiles()
	}
	s := &Server{cfg: cfg, asked: make(chan struct{}, maxAsked), busy: make(chan struct{}, cfg.Viewers),
		streams: make(chan struct{}, max(1, cfg.Viewers/2)), stop: make(chan struct{})}
	s.pictures = &lookout[*view]{every: time.Second, part: 10, limit: cfg.Limit, look: s.look}
	s.audits = &lookout[any]{every: cfg.AuditEvery, part: 20, limit: 10 * time.Minute, look: cfg.Source.Audit}
	s.lists = &shelf[JobsQuery, any]{most: maxKept, every: time.Second, limit: cfg.Limit, look: func(ctx context.Context, q JobsQuery) (any, error) {
		return ask(ctx, s, func(ctx context.Context) (any, error) { return cfg.Source.Jobs(ctx, q) })
	}}
	s.traces = &shelf[string, JobDocs]{most: maxKept, every: time.Second, limit: cfg.Limit, look: func(ctx context.Context, id string) (JobDocs, error) {
		return ask(ctx, s, func(ctx context.Context) (JobDocs, error) { return cfg.Source.Job(ctx, id) })
	}}
	var err error
	if s.pages, s.csp, err = parsePages(); err != nil {
		return nil, fmt.Errorf("parse pages: %w", err)
	}
	mux, err := s.routes()
	if err != nil {
		return nil, err
	}
	s.handler = s.guarded(mux)
	return s, nil
}

// Handler is what Serve serves.
func (s *Server) Handler() http.Handler { return s.handler }

func (s *Server) routes() (*http.ServeMux, error) {
	metrics, err := s.metrics()
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	mux := http.NewServeMux()
	for pattern, h := range map[string]http.HandlerFunc{
		"/{$}":                  s.overview,
		"/hosts/{host}":         s.hostPage,
		"/jobs":                 s.jobsPage,
		"/jobs/{id}":            s.jobPage,
		"/live":                 s.livePage,
		"/intruders":            s.intrudersPage,
		"/audit":                s.auditPage,
		"/events":               s.streamed(s.events),
		"/api/v1/events":        s.streamed(s.events),
		"/api/v1/{$}":           s.apiIndex,
		"/api/v1/status":        s.apiPicture("status", func(p Picture) any { return p.Status }),
		"/api/v1/hosts":         s.apiPicture("hosts", func(p Picture) any { return p.Hosts }),
		"/api/v1/depth":         s.apiPicture("depth", func(p Picture) any { return p.Depth }),
		"/api/v1/intruders":     s.apiPicture("intruders", func(p Picture) any { return p.Intruders }),
		"/api/v1/audit":         s.apiAudit,
		"/api/v1/jobs":          s.apiJobs,
		"/api/v1/jobs/{id}":     s.apiJob("trace", func(d JobDocs) any { return d.Trace }),
		"/api/v1/jobs/{id}/why": s.apiJob("why", func(d JobDocs) any { return d.Why }),
		"/metrics":              metrics.ServeHTTP,
		"/healthz":              s.healthz,
		"/readyz":               s.readyz,
		"/":                     s.notFound,
	} {
		mux.HandleFunc(pattern, h)
	}
	return mux, nil
}

// Serve serves ln until ctx ends, then ends what is under way.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	hs := &http.Server{Handler: s.handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: maxHeader}
	served := make(chan error, 1)
	bounded := net.Listener(&boundedListener{Listener: ln, slots: make(chan struct{}, maxConns)})
	if s.cfg.TLS != nil {
		bounded = tls.NewListener(bounded, s.cfg.TLS)
	}
	go func() { served <- hs.Serve(bounded) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	s.stopOnce.Do(func() { close(s.stop) })
	end, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err := hs.Shutdown(end)
	if err != nil {
		err = hs.Close()
	}
	if serr := <-served; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	return err
}

// boundedListener holds back connections beyond its slots.
type boundedListener struct {
	net.Listener
	slots chan struct{}
}

// Accept waits for a slot: the kernel's backlog holds who comes meanwhile.
func (l *boundedListener) Accept() (net.Conn, error) {
	l.slots <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &boundedConn{Conn: c, free: sync.OnceFunc(func() { <-l.slots })}, nil
}

type boundedConn struct {
	net.Conn
	free func()
}

func (c *boundedConn) Close() error {
	defer c.free()
	return c.Conn.Close()
}
