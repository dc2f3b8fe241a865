package realrun

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"fencepost/cmd/fencepost/race"
	"fencepost/lease"
	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/vfs"
)

// run is one run.
type run struct {
	o     Options
	dir   string // the spool
	base  string // not on the share: the cluster, the hosts' logs
	sp    *spool.Spool
	hosts []*host
	spare chan struct{} // a host that is down alone holds one: there is one less than hosts

	made     time.Time
	began    time.Time // of the faults
	deadline time.Time // for all to be over
	stop     context.CancelCauseFunc

	mu        sync.Mutex // guards what follows
	sent      map[string]*sent
	faults    []done
	violation *race.Violation
	unknown   []string
	balance   spool.Balance
	audits    int
	lag       time.Duration // the longest that a sleep took too long
	stopping  time.Time     // when the hosts were told to stop
}

// ErrNoDir: there is no such directory to make a spool in.
var ErrNoDir = errors.New("no such directory")

// errJudged ends a run that has its verdict.
var errJudged = errors.New("a promise was broken")

// Run makes a run. An error means that it could not even begin.
func Run(ctx context.Context, o Options) (*Result, error) {
	r := &run{o: o, made: time.Now(), sent: map[string]*sent{}, spare: make(chan struct{}, max(o.Hosts-1, 1))}
	defer r.endHosts(0) // whatever happens below
	if err := r.prepare(ctx); err != nil {
		return nil, errors.Join(err, r.abandon())
	}
	body, stop := context.WithCancelCause(ctx)
	r.stop = stop
	defer stop(nil)
	if err := r.startAll(body); err != nil {
		return nil, errors.Join(err, r.abandon())
	}
	r.race(body)
	if ctx.Err() != nil {
		r.cannotTell("interrupted")
	}
	return r.conclude(), nil
}

// prepare makes the spool, the roster and the cluster.
func (r *run) prepare(ctx context.Context) (err error) {
	isDir, err := within(ctx, func() (bool, error) {
		st, err := os.Stat(r.o.Dir)
		return err == nil && st.IsDir(), err
	})
	switch {
	case errors.Is(err, os.ErrNotExist) || err == nil && !isDir:
		return fmt.Errorf("%s: %w", r.o.Dir, ErrNoDir)
	case err != nil:
		return err
	}
	if r.base, err = os.MkdirTemp("", "fencepost-race-"); err != nil {
		return fmt.Errorf("make a directory for the cluster: %w", err)
	}
	if r.dir, err = within(ctx, func() (string, error) { return os.MkdirTemp(r.o.Dir, "fencepost-race-") }); err != nil {
		return fmt.Errorf("make a spool: %w", err)
	}
	r.sp, err = within(ctx, func() (*spool.Spool, error) {
		fs, err := vfs.OpenOS(r.dir)
		if err != nil {
			return nil, err
		}
		f, err := spool.NewFormat()
		if err != nil {
			return nil, err
		}
		if _, _, err := spool.Init(fs, f); err != nil {
			return nil, fmt.Errorf("make spool: %w", err)
		}
		return spool.Open(env.NewReal(fs))
	})
	if err != nil {
		return err
	}
	for i := range r.o.Hosts {
		h := &host{name: string(rune('a' + i))}
		h.log = filepath.Join(r.base, h.name+".log")
		if h.addr, err = r.freeAddr(); err != nil {
			return err
		}
		r.hosts = append(r.hosts, h)
		_, err := within(ctx, func() (bool, error) {
			return lease.Enroll(ctx, r.sp.Env, lease.Member{Host: h.name, By: "fencepost race"})
		})
		if err != nil {
			return fmt.Errorf("enroll host %s: %w", h.name, err)
		}
	}
	return errors.Join(newBook(r.base), r.writeConfig())
}

// startAll starts all hosts: one that can't be started now says so before
// anything is raced.
func (r *run) startAll(ctx context.Context) error {
	errs := make([]error, len(r.hosts))
	var all sync.WaitGroup
	for i, h := range r.hosts {
		all.Go(func() { errs[i] = r.start(ctx, h) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// race sends jobs and does faults, and looks on until all is over.
func (r *run) race(ctx context.Context) {
	r.began = time.Now()
	end := r.began.Add(r.o.Time)
	r.deadline = end.Add(healing)
	var all, haunts sync.WaitGroup
	all.Go(func() {
		if err := r.send(ctx); err != nil {
			r.cannotTell(err.Error())
		}
	})
	all.Go(func() { r.measureLag(ctx) })
	for i := range r.hosts {
		haunts.Go(func() { r.haunt(ctx, i, end) })
	}
	calm := make(chan struct{})
	all.Go(func() {
		haunts.Wait()
		sleep(ctx, time.Until(end))
		close(calm)
	})
	r.watch(ctx, calm)
	r.stop(nil)
	all.Wait()
}

// watch looks at the book and audits, until all is over, judged, or too late.
func (r *run) watch(ctx context.Context, calm <-chan struct{}) {
	var audited time.Time
	for sleep(ctx, look) {
		open, job, err := r.look()
		if err != nil {
			r.cannotTell(err.Error())
			return
		}
		quiet := false
		select {
		case <-calm:
			quiet = true
		default:
		}
		r.tell(quiet, open)
		if time.Since(audited) < auditEvery && !(quiet && open == "") {
			continue
		}
		bal, err := r.audit(ctx)
		audited = time.Now()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			r.cannotTell(err.Error())
			return
		case quiet && open == "" && bal.Done == bal.Accepted:
			r.coolDown(ctx)
			return
		case quiet && time.Now().After(r.deadline):
			r.fail(race.Violation{Class: race.Liveness, Kind: "stuck", Job: job,
				Text: fmt.Sprintf("%s after the last fault not all is over: %s; %d of %d accepted jobs are done", healing, or(open, "nothing open at the cluster"), bal.Done, bal.Accepted)})
			return
		}
		if quiet {
			r.allUp()
		}
	}
}

// look lets the cluster go on, and judges its book.
func (r *run) look() (open, job string, err error) {
	b, err := openBook(r.base, r.o.Bug)
	if err != nil {
		return "", "", err
	}
	defer b.close()
	if err := b.tick(); err != nil {
		return "", "", err
	}
	if v := r.judgeBook(b); v != nil {
		r.fail(*v)
	}
	open, job = r.open(b)
	return open, job, nil
}

func (r *run) audit(ctx context.Context) (spool.Balance, error) {
	bal, err := within(ctx, func() (spool.Balance, error) { return r.sp.Audit(ctx, r.o.Lease) })
	if err != nil {
		return bal, fmt.Errorf("audit: %w", err)
	}
	r.mu.Lock()
	r.balance = bal
	r.audits++
	r.mu.Unlock()
	if v := r.judgeBalance(ctx, bal); v != nil {
		r.fail(*v)
	}
	return bal, nil
}

// allUp looks for hosts that ended by themselves, once nobody ends them.
func (r *run) allUp() {
	for _, h := range r.hosts {
		if p := h.process(); !p.running() {
			r.endedByItself(h, p)
		}
	}
}

// coolDown waits for late duplicates, and judges the end.
func (r *run) coolDown(ctx context.Context) {
	if !sleep(ctx, 2*r.o.Lease) {
		return
	}
	_, _, err := r.look()
	var bal spool.Balance
	if err == nil {
		bal, err = r.audit(ctx)
	}
	var b *book
	if err == nil {
		b, err = openBook(r.base, r.o.Bug)
	}
	switch {
	case err == nil:
		defer b.close()
		if v := r.judgeEnd(b, bal); v != nil {
			r.fail(*v)
		}
	case ctx.Err() == nil:
		r.cannotTell(err.Error())
	}
}

// measureLag notes how much longer than asked for this process sleeps: what
// happens to it happens to the hosts.
func (r *run) measureLag(ctx context.Context) {
	const nap = 100 * time.Millisecond
	for begun := time.Now(); sleep(ctx, nap); begun = time.Now() {
		late := time.Since(begun) - nap
		r.mu.Lock()
		r.lag = max(r.lag, late)
		r.mu.Unlock()
	}
}

// fail notes a broken promise, the first one, and ends the run.
func (r *run) fail(v race.Violation) {
	r.mu.Lock()
	if r.violation == nil {
		v.At = time.Since(r.began)
		r.violation = &v
	}
	r.mu.Unlock()
	r.stop(errJudged)
}

// cannotTell notes why there is no verdict.
func (r *run) cannotTell(why string) {
	r.mu.Lock()
	r.unknown = append(r.unknown, why)
	r.mu.Unlock()
	r.stop(nil)
}

func (r *run) tell(quiet bool, open string) {
	if r.o.Say == nil {
		return
	}
	r.mu.Lock()
	said := fmt.Sprintf("%d of %d jobs sent, %d faults", len(r.sent), r.o.Jobs, len(r.faults))
	r.mu.Unlock()
	if quiet {
		said += ", no more of them"
	}
	if open != "" {
		said += "; " + open
	}
	r.o.Say(said)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// conclude stops the hosts, reads what they noted, and clears up.
func (r *run) conclude() *Result {
	r.mu.Lock()
	r.stopping = time.Now()
	grace := stopLimit
	if len(r.unknown) > 0 {
		grace = 0
	}
	r.mu.Unlock()
	over, err := r.end(grace)
	defer over()
	if err != nil {
		r.cannotTell(err.Error())
	}
	events, err := within(context.Background(), func() (all []spool.Event, err error) {
		err = r.sp.Events(nil, func(e spool.Event) { all = append(all, e) })
		return all, err
	})
	if err != nil {
		r.cannotTell("read the journals: " + err.Error())
	}
	b, err := openBook(r.base, r.o.Bug)
	if err != nil {
		r.cannotTell(err.Error())
	} else {
		defer b.close()
		if v := r.judgeBook(b); v != nil {
			r.fail(*v)
		}
	}
	res := r.result(events, b)
	if r.o.Keep || res.Violation != nil {
		res.Spool, res.Base = r.dir, r.base
	} else if err := r.remove(); err != nil {
		res.Unknown = append(res.Unknown, err.Error())
	}
	return res
}

// end ends all that was started, the hosts' last programs of the cluster too,
// and keeps it so until the function returned is called.
func (r *run) end(grace time.Duration) (func(), error) {
	var err error
	if left := r.endHosts(grace); len(left) > 0 {
		err = fmt.Errorf("can't be ended, since they wait for the share: %s", strings.Join(left, ", "))
	}
	over, cerr := endCluster(r.base, stopLimit)
	return over, errors.Join(err, cerr)
}

// abandon ends and removes what there is of a run that could not begin.
func (r *run) abandon() error {
	if r.base == "" {
		return nil
	}
	over, err := r.end(0)
	defer over()
	if errors.Is(err, os.ErrNotExist) {
		err = nil // there was no cluster yet
	}
	return errors.Join(err, r.remove())
}

func (r *run) remove() error {
	_, err := within(context.Background(), func() (bool, error) {
		if r.dir == "" {
			return true, nil
		}
		return true, os.RemoveAll(r.dir)
	})
	return errors.Join(err, os.RemoveAll(r.base))
}
