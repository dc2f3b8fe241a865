package spool_test

import (
	"context"
	"errors"
	"fmt"
	"path"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/vfs"
)

// realInstance is an instance on real files, on an FS of its own as a process
// has.
func realInstance(t *testing.T, dir, host string) *spool.Instance {
	t.Helper()
	fs := must(vfs.OpenOS(dir))
	t.Cleanup(func() { fs.Close() })
	mkdirs(fs, spool.HostDir(host), spool.JournalDir(host))
	for _, base := range []string{spool.DirClaims, spool.DirSealed, spool.DirDrafts} {
		mkdirs(fs, path.Join(base, host), spool.EpochDir(base, host, 1))
	}
	s := must(spool.Open(env.NewReal(fs)))
	in := must(spool.NewInstance(s, spool.Stamp{Host: host, Epoch: 1, Version: "test"}, nil))
	t.Cleanup(func() {
		if err := in.Journal.Close(); err != nil {
			t.Error(err)
		}
	})
	return in
}

// TestRealInstances: several instances on one directory take jobs in, pass them
// on and end them, with sweeps beside and one of them reclaimed alive by the
// others: each job ends once.
func TestRealInstances(t *testing.T) {
	const hosts, jobs = 4, 1000
	dir := t.TempDir()
	fs := must(vfs.OpenOS(dir))
	defer fs.Close()
	if _, made, err := spool.Init(fs, must(spool.NewFormat())); err != nil || !made {
		t.Fatal(made, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var ended atomic.Int64
	var wg, clients sync.WaitGroup
	var takers []*spool.Taker
	for h := range hosts {
		in := realInstance(t, dir, fmt.Sprintf("h%d", h))
		submit := func(_ context.Context, c *spool.Claim) {
			if err := submitted(c); err == nil {
				ended.Add(1)
			} else if !errors.Is(err, spool.ErrLost) && !errors.Is(err, spool.ErrUnclear) && !errors.Is(err, spool.ErrFenced) {
				t.Error(err)
			}
		}
		tr := spool.Translator{Convert: func(data []byte) ([]byte, error) { return translate(data), nil }}
		own := takersWith(t, 4, &spool.Taker{In: in, Stage: spool.Translate, Work: tr.Work}, &spool.Taker{In: in, Stage: spool.Submit, Work: submit})
		in.Births = own
		for _, tk := range own {
			takers = append(takers, tk)
			wg.Go(func() { tk.Run(ctx, ctx) })
		}
		clients.Go(func() {
			for i := h; i < jobs && in.Fenced() == nil; i += hosts {
				id := realID(i)
				_, err := in.Accept(id, payload(id), same(id))
				if err != nil && in.Fenced() == nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() { // sweep beside the tasks; the first instance is taken for dead by the last
			sweep := spool.NewSweep(in, finish)
			for ctx.Err() == nil {
				if _, err := sweep.Pass(); err != nil && !errors.Is(err, spool.ErrFenced) {
					t.Error(err)
				}
				if h == hosts-1 && ended.Load() > jobs/4 {
					_, _ = in.Reclaim(spool.Over{Host: "h0", Epoch: 1, Why: "test"}, finish)
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	last := realInstance(t, dir, "last")
	clients.Wait()
	for i := range jobs { // h0's clients weren't all answered: they ask again, elsewhere
		id := realID(i)
		must(last.Accept(id, payload(id), same(id)))
	}
	b := balanceAt(ctx, t, last, jobs)
	cancel()
	wg.Wait()
	won, lost := 0, 0
	for _, tk := range takers {
		w, l := tk.Claims()
		won, lost = won+w, lost+l
	}
	t.Logf("%d claims, %d wasted; %+v", won, lost, b)
	if lost > won {
		t.Errorf("%d claims wasted for %d won", lost, won)
	}
}

// takersOf are an instance's takers, which take at birth, too.
type takersOf map[spool.Stage]*spool.Taker

// takersWith lets each have room for so many claims, and no more.
func takersWith(t *testing.T, room int, all ...*spool.Taker) takersOf {
	own := takersOf{}
	for _, tk := range all {
		work := tk.Work
		tk.Work = func(ctx context.Context, c *spool.Claim) {
			if busy := tk.Busy(); busy > room {
				t.Errorf("%d claims at a time, with room for %d", busy, room)
			}
			work(ctx, c)
		}
		tk.Poll, tk.MaxPoll = time.Millisecond, 5*time.Millisecond
		tk.Room = func() int { return room - tk.Busy() }
		own[tk.Stage] = tk.Init()
	}
	return own
}

func (t takersOf) Reserve(s spool.Stage) bool          { return t[s].Reserve() }
func (t takersOf) Begin(s spool.Stage, c *spool.Claim) { t[s].Begin(c) }

func realID(i int) string { return fmt.Sprintf("01890a5d-%04x-7000-8000-%012x", i%16, i) }

// balanceAt waits until all jobs are done, and checks on the way that none
// vanished or is there twice.
func balanceAt(ctx context.Context, t *testing.T, in *spool.Instance, jobs int) spool.Balance {
	t.Helper()
	for {
		b, err := in.Audit(ctx, 20*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Vanished)+len(b.Duplicated)+len(b.Ungated) > 0 || b.Accepted != jobs {
			t.Fatalf("%+v", b)
		}
		if b.Done == jobs {
			return b
		}
		time.Sleep(20 * time.Millisecond)
	}
}
