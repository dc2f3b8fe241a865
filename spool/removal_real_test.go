package spool_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"fencepost/spool"
	"fencepost/spool/vfs"
)

// TestRealRemoval: on real files two hosts remove old records at once, while clients
// send the jobs again to both, all the time: not one comes in a second time.
func TestRealRemoval(t *testing.T) {
	const jobs = 60
	dir := t.TempDir()
	fs := must(vfs.OpenOS(dir))
	defer fs.Close()
	must2(spool.Init(fs, must(spool.NewFormat())))
	ins := []*spool.Instance{realInstance(t, dir, "a"), realInstance(t, dir, "b")}
	id := func(i int) string { return fmt.Sprintf("0189%04x-ac96-7000-8000-%012d", i, i) }
	for i := range jobs {
		must(ins[0].Accept(id(i), payload(id(i)), same(id(i))))
		mustDo(advance(must(claimIn(ins[0], spool.Translate, id(i)))))
		mustDo(submitted(must(claimIn(ins[0], spool.Submit, id(i)))))
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for k, in := range ins {
		a := spool.NewAuditor(in, 5*time.Millisecond, time.Millisecond)
		r := spool.NewRemover(a, 24*time.Hour, time.Millisecond)
		wg.Go(func() {
			for !stopped(stop) {
				if err := errors.Join(a.Pass(t.Context()), second(r.Turn())); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for n := k; !stopped(stop); n += 7 {
				i := n % jobs
				got, err := in.Accept(id(i), payload(id(i)), same(id(i)))
				if err == nil && !got.Duplicate {
					t.Errorf("job %d came in again", i)
				}
				if err != nil && !errors.Is(err, spool.ErrTooOld) {
					t.Error(err)
				}
			}
		})
	}
	left := func() (n int) {
		for _, base := range []string{spool.DirGate, spool.DirOnce, spool.DirDone} {
			n += len(must(fs.List(base)))
		}
		return n
	}
	for end := time.Now().Add(2 * time.Minute); left() > 0 && time.Now().Before(end) && !t.Failed(); {
		time.Sleep(10 * time.Millisecond)
	}
	close(stop)
	wg.Wait()
	if n := left(); n > 0 {
		t.Errorf("%d buckets are left", n)
	}
}

func stopped(stop chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}

func second[T any](_ T, err error) error { return err }

func must2[A, B any](_ A, _ B, err error) { mustDo(err) }
