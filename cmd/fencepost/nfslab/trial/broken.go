package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"fencepost/cmd/fencepost/nfslab"
)

// Broken are the deliberately broken builds, and the schedule that catches each.
func Broken() []BrokenBuild {
	return []BrokenBuild{
		{"move-directory", "fence by moving the directory of claims", "nowhere", LateClaim, false, 10 * time.Second},
		{"enoent-is-lost", "a claim that says ENOENT was somebody else's", "on the way [\"claims/", LostClaim, true, time.Minute},
		{"eexist-is-taken", "a link that says EEXIST is somebody else's", "nowhere", LostGate, true, time.Minute},
	}
}

// BrokenBuild is the program with a mistake on purpose.
type BrokenBuild struct {
	Name     string // of the patch
	What     string
	Sign     string // part of the violation that it must be caught by
	Play     Schedule
	Restarts bool          // the schedule restarts the server
	Lease    time.Duration // long where no host may be fenced: what is stuck would be found then
}

// Catch plays a broken build's schedule with it and with the program as it is,
// at the same time. The first must break a promise; it returns which. The
// second must not; good is that program, "" = play the broken one alone. dir
// gets what is kept of both.
func (b BrokenBuild) Catch(ctx context.Context, l *nfslab.Lab, good, dir string, say func(string, ...any)) (caught string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w; kept in %s", err, dir)
		}
	}()
	bad := filepath.Join(dir, "fencepost-"+b.Name)
	if err := BuildBroken(ctx, b.Name, bad); err != nil {
		return "", err
	}
	restart := l.RestartServer
	if b.Restarts && good != "" {
		restart = shared(ctx, 2, restart)
	}
	well, ill := make(chan error, 1), make(chan error, 1)
	play := func(to chan<- error, name, binary string) {
		to <- Provoke(ctx, l, SiteConfig{Name: name, Binary: binary, Keep: dir, Say: say, Lease: b.Lease}, restart, b.Play)
	}
	if good == "" {
		well <- nil
	} else {
		go play(well, b.Name+"-good", good)
	}
	go play(ill, b.Name+"-bad", bad)
	if err := <-well; err != nil {
		return "", fmt.Errorf("%s: the program as it is: %w", b.Name, err)
	}
	err = <-ill
	var v *Violation
	if errors.As(err, &v) && strings.Contains(v.What, b.Sign) {
		return v.What, errors.Join(os.RemoveAll(filepath.Join(dir, b.Name+"-good")), os.RemoveAll(filepath.Join(dir, b.Name+"-bad")))
	}
	if err == nil {
		err = errors.New("NOT CAUGHT")
	}
	return "", fmt.Errorf("%s (%s): %w", b.Name, b.What, err)
}

// shared is f done once for all of n that call, when the last of them does.
func shared(ctx context.Context, n int, f func() error) func() error {
	var mu sync.Mutex
	var err error
	done := make(chan struct{})
	return func() error {
		mu.Lock()
		n--
		if n == 0 {
			err = f()
			close(done)
		}
		mu.Unlock()
		select {
		case <-done:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(2 * takeTime):
			return errors.New("the others didn't get to the server's restart")
		}
	}
}

// Schedule provokes one order of events on a site of two hosts, a and b, of
// which only a translates. It returns nil if nothing can be held against the
// program, and a *Violation otherwise.
type Schedule func(ctx context.Context, s *Site, restart func() error) error

// endTime is how long a schedule's job may take, once nothing is in its way, on
// a machine that has other things to do; stuckTime is after how long one that
// is where it was is taken for stuck.
const (
	endTime   = 4 * time.Minute
	stuckTime = 2 * time.Minute
)

// Provoke builds a site and plays a schedule with a program.
func Provoke(ctx context.Context, l *nfslab.Lab, c SiteConfig, restart func() error, play Schedule) (err error) {
	c.Hosts, c.Lossy = []string{"a", "b"}, []string{"a", "b"}
	c.Slow = true
	s, err := NewSite(ctx, l, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Keep(context.WithoutCancel(ctx), c.Keep), s.Close()) }()
	s.Hosts[1].args = []string{"--stages", "ingest,submit"}
	for _, m := range s.Hosts {
		if err := m.Start(ctx); err != nil {
			return err
		}
	}
	return play(ctx, s, restart)
}

// LateClaim: host a's claim of a job is on its way to the server when a is cut
// off. Host b fences a. Then the claim reaches the server, and a is dead. The
// claim must fail, so that the job is still where everybody finds it.
func LateClaim(ctx context.Context, s *Site, _ func() error) error {
	a, b := s.Hosts[0], s.Hosts[1]
	epoch, err := s.epoch(a.Name)
	if err != nil {
		return err
	}
	ids, err := s.sendHeld(ctx, a, b, a.HoldCall)
	if err != nil {
		return err
	}
	if err := a.daemon.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	if _, err := s.takenOver(ctx, a.Name, epoch); err != nil {
		return err
	}
	if there, err := s.has("xml/" + ids[0] + ".xml"); err != nil || !there {
		return fmt.Errorf("the call that is held back isn't the claim: xml/%s.xml there: %t, %w", ids[0], there, err)
	}
	if err := a.Join(); err != nil {
		return err
	}
	// It lands, or fails, once the client has made its peace with the server.
	// Killed before, it might never be sent.
	if err := a.outOfKernel(ctx); err != nil {
		return err
	}
	if err := a.daemon.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-a.daemon.Ended()
	if err := a.Start(ctx); err != nil {
		return err
	}
	return s.ends(ctx, ids)
}

// outOfKernel waits until no thread of a stopped daemon waits for the server.
func (m *Member) outOfKernel(ctx context.Context) error {
	return await(ctx, takeTime, "the call that was held back has ended", func() (bool, error) {
		out, err := m.Command("sh", "-c", fmt.Sprintf("cat /proc/%d/task/*/stat", m.daemon.Pid())).Output(ctx)
		if err != nil {
			return false, err
		}
		for line := range strings.Lines(string(out)) {
			// proc(5): the state comes after the name in parentheses; a thread that
			// waits in the kernel for a server is in D, one that is stopped in T.
			if _, state, _ := strings.Cut(line, ") "); !strings.HasPrefix(state, "T") {
				return false, nil
			}
		}
		return true, nil
	})
}

// LostClaim: the reply to host a's claim is lost, and the server, restarted,
// has forgotten that it gave one. It answers ENOENT to a claim that was made.
func LostClaim(ctx context.Context, s *Site, restart func() error) error {
	a, b := s.Hosts[0], s.Hosts[1]
	ids, err := s.sendHeld(ctx, a, b, a.LoseReply)
	if err != nil {
		return err
	}
	if err := errors.Join(restart(), a.Join()); err != nil {
		return err
	}
	return s.ends(ctx, ids)
}

// LostGate: the same with the link that lets a job in. It answers EEXIST.
func LostGate(ctx context.Context, s *Site, restart func() error) error {
	b := s.Hosts[1]
	type sent struct {
		ids []string
		err error
	}
	if err := b.LoseReply("link"); err != nil {
		return err
	}
	jobs := make(chan sent, 1)
	go func() {
		ids, err := s.send(ctx, 1, 2*time.Minute, b)
		jobs <- sent{ids, err}
	}()
	lctx, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	if err := b.Lost(lctx); err != nil {
		return err
	}
	if err := errors.Join(restart(), b.Join()); err != nil {
		return err
	}
	got := <-jobs
	if got.err != nil {
		return got.err
	}
	return s.ends(ctx, got.ids)
}

// sendHeld sends a job to host b, and waits until host a's claim of it has met
// with what was ordered. Other renames don't count: an audit's record is one.
func (s *Site) sendHeld(ctx context.Context, a, b *Member, order func(string) error) ([]string, error) {
	if err := order("rename translate~"); err != nil {
		return nil, err
	}
	ids, err := s.send(ctx, 1, 2*time.Minute, b)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	return ids, a.Lost(ctx)
}

// ends wants the jobs to be done, each once, and in the balance. It waits no
// longer than it has to: what is nowhere, or moves no more, won't be done.
func (s *Site) ends(ctx context.Context, ids []string) error {
	var p Places
	var since time.Time
	last, nowhere := "", 0
	err := await(ctx, endTime, "the job is done", func() (bool, error) {
		var err error
		if p, err = s.places(ctx); err != nil {
			return false, err
		}
		if at := fmt.Sprint(p.OnTheWay); at != last {
			last, since = at, time.Now()
		}
		if nowhere++; len(p.OnTheWay) > 0 {
			nowhere = 0
		}
		return p.Done == len(ids) || nowhere > 20 || time.Since(since) > stuckTime, nil
	})
	if err != nil {
		return err
	}
	out, aerr := s.Command(ctx, "audit", "--json", "--wait", "1s")
	where := "somewhere"
	if nowhere > 0 {
		where = "nowhere"
	}
	if p.Done != len(ids) || aerr != nil {
		return violation("accepted %q, done %d, on the way %q, %s; audit: %v: %s", p.Accepted, p.Done, p.OnTheWay,
			where, aerr, oneLine(out))
	}
	if !slices.Equal(p.Accepted, ids) {
		return violation("accepted %q, sent %q", p.Accepted, ids)
	}
	log, err := s.cluster(ctx)
	if err != nil {
		return err
	}
	if v := Judge(log, ids); len(v.Wrong) > 0 {
		return violation("%s", strings.Join(v.Wrong, "\n"))
	}
	return nil
}
