package trial

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"fencepost/cmd/fencepost/nfslab"
)

// takeTime bounds how long a takeover may take: the lease, half of it again,
// the server's, and a machine that is busy with other things.
const takeTime = 2 * time.Minute

// takenOver waits until a host's epoch is fenced: its claim directory is gone,
// so that nothing can be claimed or sealed under it any more, and what it had
// claimed is back in its stage. It returns how long that took.
func (s *Site) takenOver(ctx context.Context, host string, epoch uint64) (time.Duration, error) {
	began := time.Now()
	dir := fmt.Sprintf("claims/%s/%d", host, epoch)
	err := await(ctx, takeTime, dir+" is taken over", func() (bool, error) {
		there, err := s.has(dir)
		return !there, err
	})
	return time.Since(began), err
}

// anew waits until a host works under a higher epoch than before.
func (s *Site) anew(ctx context.Context, host string, than uint64) error {
	return await(ctx, takeTime, fmt.Sprintf("host %s has a higher epoch than %d", host, than), func() (bool, error) {
		e, err := s.epoch(host)
		if err != nil || e <= than {
			return false, err
		}
		return s.has(fmt.Sprintf("drafts/%s/%d", host, e)) // made last
	})
}

// kill kills a host's daemon, waits until others have its work, and starts it
// again.
func (t *Trial) kill(ctx context.Context, m *Member) error {
	epoch, err := t.site.epoch(m.Name)
	if err != nil {
		return err
	}
	if err := m.daemon.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	took, err := t.site.takenOver(ctx, m.Name, epoch)
	if err != nil {
		return fmt.Errorf("after kill -9: %w", err)
	}
	t.took("killed (-9)", took)
	select {
	case <-m.daemon.Ended():
	default:
		return errors.New("killed, and it still runs")
	}
	t.did("kill -9", fmt.Sprintf("%s, epoch %d", m.Name, epoch))
	return m.Start(ctx)
}

// stop stops a host's daemon until its epoch is over, and longer, and has it go
// on. It must notice, and start over.
func (t *Trial) stop(ctx context.Context, m *Member) error {
	epoch, err := t.site.epoch(m.Name)
	if err != nil {
		return err
	}
	if err := m.daemon.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	took, err := t.site.takenOver(ctx, m.Name, epoch)
	if err != nil {
		return fmt.Errorf("after SIGSTOP: %w", errors.Join(err, m.daemon.Signal(syscall.SIGCONT)))
	}
	t.took("stopped (SIGSTOP)", took)
	t.did("SIGSTOP for longer than the lease", fmt.Sprintf("%s, epoch %d, %.0f s", m.Name, epoch, took.Seconds()))
	if err := m.daemon.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	return t.site.anew(ctx, m.Name, epoch)
}

// partition cuts a host off until its epoch is over and the server has ended
// its lease, and joins it again.
func (t *Trial) partition(ctx context.Context, m *Member) error {
	epoch, err := t.site.epoch(m.Name)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := m.Cut(); err != nil {
		return err
	}
	took, err := t.site.takenOver(ctx, m.Name, epoch)
	if err != nil {
		return fmt.Errorf("after a partition: %w", errors.Join(err, m.Join()))
	}
	t.took("partitioned", took)
	// The server looks after leases now and then: once in half a lease.
	if left := nfslab.Lease*3/2 - time.Since(began); left > 0 {
		time.Sleep(left)
	}
	t.did("partition for longer than the server's lease", fmt.Sprintf("%s, epoch %d, %.0f s", m.Name, epoch, time.Since(began).Seconds()))
	if err := m.Join(); err != nil {
		return err
	}
	return t.site.anew(ctx, m.Name, epoch)
}

// restart restarts the NFS server. A stall isn't a death: epochs should stay.
func (t *Trial) restart(ctx context.Context) error {
	before := map[string]uint64{}
	for _, m := range t.site.Hosts {
		e, err := t.site.epoch(m.Name)
		if err != nil {
			return err
		}
		before[m.Name] = e
	}
	began := time.Now()
	if err := t.lab.RestartServer(); err != nil {
		return err
	}
	// A create waits for the end of grace: so this is how long all stall.
	if _, err := t.site.Office.Command("sh", "-c", ": >"+nfslab.Mount+"/after-grace").Output(ctx); err != nil {
		return err
	}
	t.did("server restart with grace", fmt.Sprintf("%.0f s until files could be made", time.Since(began).Seconds()))
	time.Sleep(2 * time.Second)
	for _, m := range t.site.Hosts {
		e, err := t.site.epoch(m.Name)
		if err != nil {
			return err
		}
		if e != before[m.Name] {
			t.say("  host %s began epoch %d in the server's grace", m.Name, e)
		}
	}
	return nil
}

// lostReply is one call whose reply gets lost.
type lostReply struct {
	op string
	m  *Member
}

// loseReplies loses one reply to each of some hosts, restarts the server if
// asked to, so that it has forgotten what it answered, and joins the hosts.
func (t *Trial) loseReplies(ctx context.Context, restart bool, lost ...lostReply) error {
	errs := make(chan error, 100)
	waits := 0
	later := func(f func() error) {
		waits++
		go func() { errs <- f() }()
	}
	err := t.untilLost(ctx, lost, later)
	how := "connection cut"
	if restart && err == nil {
		how = "server restarted"
		err = t.lab.RestartServer()
	}
	for _, l := range lost {
		err = errors.Join(err, l.m.Join())
		if err == nil {
			t.did("lost reply: "+l.op, l.m.Name+", "+how)
		}
	}
	for range waits {
		err = errors.Join(err, <-errs)
	}
	return err
}

// untilLost waits until all replies are lost. If there is too little to do for
// that, it sends more jobs.
func (t *Trial) untilLost(ctx context.Context, lost []lostReply, later func(func() error)) error {
	end := time.Now().Add(takeTime)
	for _, l := range lost {
		if l.op == "mkdir" {
			// A host makes its directories when it starts.
			if err := l.m.Stop(ctx); err != nil {
				return err
			}
		}
		if err := l.m.LoseReply(l.op); err != nil {
			return err
		}
		if l.op == "mkdir" {
			later(func() error { return l.m.Start(ctx) })
		}
	}
	for _, l := range lost {
		for {
			short, cancel := context.WithTimeout(ctx, 5*time.Second)
			err := l.m.Lost(short)
			cancel()
			if err == nil {
				break
			}
			if ctx.Err() != nil || time.Now().After(end) {
				return fmt.Errorf("reply to %s at %s: %w", l.op, l.m.Name, err)
			}
			if l.op != "mkdir" {
				later(func() error { return t.sendMore(ctx, 1, l.m) })
			}
		}
	}
	return nil
}

// sendMore sends more jobs than a phase has.
func (t *Trial) sendMore(ctx context.Context, n int, to ...*Member) error {
	ids, err := t.site.send(ctx, n, takeTime, to...)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.answered = append(t.answered, ids...)
	return err
}

// full has the server run out of space for a while.
func (t *Trial) full(ctx context.Context, for_ time.Duration) error {
	const fill = `cd %s && set -- $(stat -f -c '%%a %%S' .) && fallocate -l $(($1 * $2 - 1048576)) ../%s/.filler && dd if=/dev/zero of=.filler2 bs=4k 2>/dev/null; stat -f -c '%%a' .`
	out, err := t.site.sh(ctx, fmt.Sprintf(fill, exportDir, exportBase))
	if err != nil {
		return err
	}
	time.Sleep(for_)
	if _, err := t.site.sh(ctx, "rm -f "+exportDir+"/.filler "+exportDir+"/.filler2"); err != nil {
		return err
	}
	seen, err := t.site.sh(ctx, "cat "+nfslab.Shared+"/"+t.site.Name+"/*.log | grep -c -i 'no space'; true")
	if err != nil {
		return err
	}
	t.did("server out of space", fmt.Sprintf("%.0f s, %s blocks left, %s lines of the daemons' logs say so",
		for_.Seconds(), oneLine(out), oneLine(seen)))
	if oneLine(seen) == "0" {
		return errors.New("the server was full, and no host noticed")
	}
	return nil
}
