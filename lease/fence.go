package lease

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fencepost/spool"
)

// fence is hosts/HOST/fenced/N: why an epoch was declared over. It is
// informative: nothing rests on it but that the instance stops sooner.
type fence struct {
	By      string    `json:"by"` // HOST/EPOCH of the fencer
	Why     string    `json:"why"`
	Counter uint64    `json:"counter"` // the last one that the fencer saw of this epoch, or 0
	At      time.Time `json:"at"`      // by its wall clock
}

func fencePath(host string, epoch uint64) string {
	return path.Join(spool.FencedDir(host), strconv.FormatUint(epoch, 10))
}

// fenceEpoch writes it. There already, from another watcher: fine.
func (f files) fenceEpoch(host string, epoch uint64, fc fence) error {
	name := fencePath(host, epoch)
	_, err := f.fs.Create(name, encode(fc))
	if err == nil || isErr(err, syscall.EEXIST) {
		return nil
	}
	there, lerr := has(f.fs, name)
	if lerr == nil && there {
		return nil
	}
	if notThere(err) && isErr(lerr, syscall.ENOENT) {
		return nil // no instance has ever got as far as to look there
	}
	return fmt.Errorf("fence host %s epoch %d: %w", host, epoch, err)
}

// readFence reads what can be read of a fence that a listing showed.
func (f files) readFence(host string, epoch uint64) fence {
	var fc fence
	if readJSON(f.fs, fencePath(host, epoch), &fc) != nil {
		return fence{}
	}
	return fc
}

// blame tells a fencer that its fence was false: an empty file whose name says
// which, in the fencer's own directory, where its watcher looks.
func (f files) blame(ctx context.Context, by string, host string, epoch uint64) error {
	fencer, _, ok := strings.Cut(by, "/")
	if !ok || !spool.ValidHost(fencer) {
		return fmt.Errorf("fencer %q is unknown", by)
	}
	if err := f.ensureDir(ctx, blameDir(fencer)); err != nil {
		return err
	}
	name := path.Join(blameDir(fencer), host+"~"+strconv.FormatUint(epoch, 10))
	_, err := f.fs.Create(name, nil)
	if isErr(err, syscall.EEXIST) {
		return nil
	}
	return err
}

// beats remembers when renewals succeeded: what tells a false fence.
type beats struct {
	keep time.Duration
	done []beat // oldest first
}

type beat struct {
	counter uint64
	at      time.Duration
}

func (b *beats) add(counter uint64, at time.Duration) {
	b.done = append(b.done, beat{counter, at})
	// Everything older than keep but the newest of it.
	for len(b.done) > 1 && at-b.done[1].at >= b.keep {
		b.done = b.done[1:]
	}
}

// beyond is for how long renewals after counter had succeeded.
func (b *beats) beyond(counter uint64) time.Duration {
	if len(b.done) == 0 {
		return 0
	}
	last := b.done[len(b.done)-1].at
	for _, one := range b.done {
		if one.counter > counter {
			return last - one.at
		}
	}
	return 0
}

// restartWindow is how far back restarts and blames count.
const restartWindow = time.Hour

// countSince counts the moments within a window before now.
func countSince(moments []time.Duration, now, window time.Duration) int {
	n := 0
	for _, at := range moments {
		if now-at < window {
			n++
		}
	}
	return n
}
