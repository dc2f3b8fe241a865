package ingest

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"fencepost/codec"
	"fencepost/spool"
)

// request is one SUBMIT or QUERY from its reading to its answer.
type request struct {
	c    *conn
	seq  uint64
	id   string
	done atomic.Bool // it was answered
}

// request takes a request in: it is answered at once, or by work on a goroutine
// of its own, which then owns the size bytes of its body. bad is why its message
// was refused, if it was.
func (c *conn) request(seq uint64, id string, bad error, work func(*request), size *int64) error {
	if seq != c.lastSeq+1 {
		return protocolError("request " + strconv.FormatUint(seq, 10) + " after " + strconv.FormatUint(c.lastSeq, 10))
	}
	c.lastSeq = seq
	select {
	case c.slots <- struct{}{}:
	default:
		return c.sendOwn(c.s.refused(seq, id, Refusal{Code: codec.CodeWindowExceeded,
			Reason: strconv.Itoa(c.s.cfg.Window) + " requests wait for their answers, which is the limit"}))
	}
	r := &request{c: c, seq: seq, id: id}
	if bad != nil {
		r.refuse(badRequest(bad))
		return nil
	}
	select {
	case c.s.pending <- struct{}{}:
	default:
		r.refuse(Refusal{Code: codec.CodeBusy, Reason: "too many requests wait on this host"})
		return nil
	}
	held := *size
	*size = 0
	c.s.count.do(func(st *Stats) { st.Pending++ })
	c.s.spawn(func() {
		defer func() {
			<-c.s.pending
			c.s.count.do(func(st *Stats) { st.Pending-- })
			c.memory.shrink(held)
		}()
		r.work(work)
	})
	return nil
}

// work runs the request's work; whatever it does, there will be an answer.
func (r *request) work(work func(*request)) {
	defer func() {
		if p := recover(); p != nil {
			r.c.panicked(p)
		}
		r.refuse(Refusal{Code: codec.CodeInternal, Reason: "not known to be accepted: internal error"}) // unless answered
	}()
	work(r)
}

// badRequest is the refusal of a request whose message breaks a rule.
func badRequest(err error) Refusal {
	var frame *codec.FrameError
	if errors.As(err, &frame) && frame.Layer == codec.LayerJob {
		return Refusal{Code: codec.CodeInvalidJob, Reason: frame.Reason}
	}
	if frame != nil {
		return Refusal{Code: codec.CodeMalformed, Reason: frame.Reason}
	}
	return Refusal{Code: codec.CodeMalformed, Reason: err.Error()}
}

// authenticate says whose request m is. The first that a connection proves itself
// with makes it one of its client's.
func (c *conn) authenticate(m codec.Message) (client string, err error) {
	who, err := c.s.cfg.Authenticate(c.peer, m)
	if err != nil {
		return "", err
	}
	if !c.peer.Unproven {
		return who.Name, nil
	}
	who.Unproven = false
	var away *goAway
	if err := c.s.introduce(c, who); errors.As(err, &away) {
		return "", &Refusal{Code: away.code, Reason: away.reason}
	}
	return who.Name, nil
}

// submit gets a job accepted.
func (c *conn) submit(r *request, m codec.Submit) {
	cfg, job := &c.s.cfg, m.Job
	client, err := c.authenticate(m)
	if err != nil {
		r.failed(err)
		return
	}
	if n := job.Size(); n > cfg.MaxJob {
		r.refuse(Refusal{Code: codec.CodeTooLarge,
			Reason: "the job has " + strconv.Itoa(n) + " bytes, more than " + strconv.Itoa(cfg.MaxJob)})
		return
	}
	now := cfg.Now()
	if t, ok := idTime(r.id); ok && cfg.Retention > 0 && t.Before(now.Add(-cfg.Retention)) {
		r.refuse(Refusal{Code: codec.CodeTooOld, Reason: "the id was made at " + t.UTC().Format(time.RFC3339) +
			", and this spool remembers jobs for " + cfg.Retention.String() + " only"})
		return
	}
	digest := codec.Digest(job) // of the job as it was sent: Admit may change it
	if job, err = cfg.Admit(client, job, now); err != nil {
		r.failed(err)
		return
	}
	ctx, cancel := r.enter(c.s.accepts)
	defer cancel()
	if ctx.Err() != nil {
		return
	}
	c.s.count.do(func(st *Stats) { st.Accepting++ })
	defer func() {
		c.s.count.do(func(st *Stats) { st.Accepting-- })
		<-c.s.accepts
	}()
	duplicate, err := cfg.Backend.Accept(ctx, codec.Record{
		ID: r.id, Job: job, Client: client, Digest: digest,
		ReceivedAt: now.UTC().Truncate(time.Millisecond), ReceivedBy: cfg.Host,
	})
	if err != nil {
		r.failed(err)
		return
	}
	r.answer(codec.Accepted{Seq: r.seq, ID: r.id, Duplicate: duplicate, Host: cfg.Host})
}

// query says where a job is.
func (c *conn) query(r *request, m codec.Query) {
	if _, err := c.authenticate(m); err != nil {
		r.failed(err)
		return
	}
	ctx, cancel := r.enter(c.s.queries)
	defer cancel()
	if ctx.Err() != nil {
		return
	}
	defer func() { <-c.s.queries }()
	st, err := c.s.cfg.Backend.State(ctx, r.id)
	switch {
	case errors.Is(err, spool.ErrNotFound):
		st = codec.State{State: codec.StateUnknown}
	case err != nil:
		r.failed(err)
		return
	}
	st.Seq, st.ID, st.Detail = r.seq, r.id, oneLine(st.Detail)
	r.answer(st)
}

// enter waits for one of tokens, which the caller gives back unless the
// context that is returned has ended. When it ends, the client is told: it
// can ask elsewhere, while the backend may take for ever.
func (r *request) enter(tokens chan struct{}) (context.Context, context.CancelFunc) {
	s := r.c.s
	ctx, cancel := context.WithTimeout(s.base, s.cfg.Answer)
	late := func() {
		r.refuse(Refusal{Code: codec.CodeUnavailable, Reason: "the share did not answer in time: not known to be accepted"})
	}
	stop := context.AfterFunc(ctx, late)
	select {
	case tokens <- struct{}{}:
		if ctx.Err() != nil { // both were ready
			<-tokens
			late()
		}
	case <-ctx.Done():
		late()
	}
	return ctx, func() { stop(); cancel() }
}

// failed answers for an error of the backend.
func (r *request) failed(err error) {
	refusal := refusalOf(err)
	e := r.c.log.Debug()
	if refusal.Code == codec.CodeInternal || refusal.Code == codec.CodeUnavailable || refusal.Code == codec.CodeNoSpace {
		e = r.c.log.Warn()
	}
	e.Err(err).Str("event", "refused").Str("job", r.id).Str("code", string(refusal.Code)).Msg("request refused")
	r.refuse(refusal)
}

func (r *request) refuse(why Refusal) { r.answer(r.c.s.refused(r.seq, r.id, why)) }

// answer sends the answer, if none was sent.
func (r *request) answer(m codec.Message) {
	if r.done.CompareAndSwap(false, true) {
		r.c.out <- answer{m: m, done: r.c.slots}
	}
}

// refused is a REFUSED, with a time to come back that spreads those who were
// refused together.
func (s *Server) refused(seq uint64, id string, why Refusal) codec.Refused {
	after := s.cfg.RetryAfter
	return why.message(seq, id, after+rand.N(after/2+1))
}

// idTime is the time inside a UUIDv7; ok is false for any other id. The digit is
// what spool.Bucket goes by, too.
func idTime(id string) (t time.Time, ok bool) {
	if len(id) != 36 || id[14] != '7' {
		return t, false
	}
	ms, err := strconv.ParseInt(id[:8]+id[9:13], 16, 64)
	return time.UnixMilli(ms), err == nil
}
