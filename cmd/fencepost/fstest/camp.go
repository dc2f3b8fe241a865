package fstest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
)

// camp is the directory where the two sides meet. In it are
//
//	offer~N         a side that is there, rewritten in place as long as it lives
//	accept~N~M      M would like to work with N
//	pair~N~M        N works with M: the two have met
//	N/              their session
//
// N and M are names that nobody else has. A side accepts only what is before
// its own name, so that two never wait for each other. Meeting rests on new
// names and listings alone, not on anything that is tested later.
const campDir = ".fencepost-fstest"

const protocol = 1

const (
	pulse     = 300 * time.Millisecond
	campPoll  = 50 * time.Millisecond
	answerIn  = 15 * time.Second // how long N may take to answer M
	offerSize = 2048
)

type camp struct {
	Config
	nonce string

	mu   sync.Mutex
	busy bool // it has met somebody
}

// offer is what a side says of itself.
type offer struct {
	Protocol int    `json:"protocol"`
	Key      string `json:"key"`
	Busy     bool   `json:"busy"`
	Beat     int    `json:"beat"`
	Who      Who    `json:"who"`
}

// newNonce begins with a digit that sorts a side that starts its own peer before
// that: so the one that a person looks at is the first.
func newNonce(alone bool) string {
	if alone {
		return "0" + uuid.NewString()
	}
	return "1" + uuid.NewString()
}

func (c *camp) path(parts ...string) string { return campDir + "/" + strings.Join(parts, "~") }

// pitch makes the camp and puts up this side's offer. stop takes it down.
func (c *camp) pitch(ctx context.Context) (stop func(), err error) {
	rec, err := c.openOffer()
	if err != nil {
		return nil, err
	}
	beats, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer rec.Close()
		for n := 2; ; n++ {
			select {
			case <-beats.Done():
				return
			case <-time.After(pulse):
			}
			_ = rec.Write(c.offerText(n)) // a share that takes nothing shows elsewhere
		}
	}()
	c.removeLeftovers()
	return func() {
		cancel()
		<-ended
		_ = c.FS.Remove(c.path("offer", c.nonce))
		_ = c.FS.Rmdir(campDir)
	}, nil
}

type recorder interface {
	Write([]byte) error
	Close() error
}

// openOffer: another run may remove the camp between the two steps.
func (c *camp) openOffer() (recorder, error) {
	var err error
	for range 5 {
		if err = c.FS.Mkdir(campDir); err != nil && !errors.Is(err, syscall.EEXIST) {
			return nil, err
		}
		r, oerr := c.FS.OpenRecord(c.path("offer", c.nonce))
		if err = oerr; err == nil {
			if err = r.Write(c.offerText(1)); err != nil {
				_ = r.Close()
				return nil, err
			}
			return r, nil
		}
		if !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ESTALE) {
			break
		}
	}
	return nil, err
}

func (c *camp) offerText(beat int) []byte {
	c.mu.Lock()
	o := offer{protocol, c.Key, c.busy, beat, c.Me}
	c.mu.Unlock()
	text, err := json.Marshal(o)
	if err != nil || len(text) > offerSize {
		text = nil // a name of absurd length: nobody will meet it
	}
	return append(text, bytes.Repeat([]byte{' '}, offerSize-len(text))...)
}

// meet waits for the other side.
func (c *camp) meet(ctx context.Context) (*pair, error) {
	if !c.Alone {
		c.Say("waiting up to %s for fencepost fstest --peer on another host", c.Wait)
	}
	seen := map[string][]byte{}
	for start := time.Now(); ; {
		if time.Since(start) > c.Wait {
			return nil, fmt.Errorf("%w within %s", ErrNoPeer, c.Wait)
		}
		names, err := c.FS.List(campDir)
		if err != nil {
			return nil, err
		}
		slices.Sort(names)
		for _, name := range names {
			kind, rest, _ := strings.Cut(name, "~")
			var p *pair
			switch {
			case kind == "accept" && strings.HasPrefix(rest, c.nonce+"~"):
				p, err = c.take(strings.TrimPrefix(rest, c.nonce+"~"))
			case kind == "offer" && rest < c.nonce && c.alive(seen, rest):
				p, err = c.accept(ctx, rest)
			}
			if err != nil || p != nil {
				return p, err
			}
		}
		if err := sleep(ctx, campPoll); err != nil {
			return nil, err
		}
	}
}

// alive: the offer has changed since it was first seen, and is for us.
func (c *camp) alive(seen map[string][]byte, nonce string) bool {
	o, text, ok := c.read(nonce)
	if !ok || o.Busy || o.Key != c.Key || o.Protocol != protocol {
		return false
	}
	if seen[nonce] == nil {
		seen[nonce] = text
	}
	return !bytes.Equal(seen[nonce], text)
}

func (c *camp) read(nonce string) (o offer, text []byte, ok bool) {
	text, _, err := c.FS.Read(c.path("offer", nonce), offerSize)
	return o, text, err == nil && json.Unmarshal(text, &o) == nil
}

// take is the first side's yes.
func (c *camp) take(other string) (*pair, error) {
	o, _, ok := c.read(other)
	if !ok || o.Key != c.Key {
		return nil, nil
	}
	c.setBusy()
	p := &pair{camp: c, role: first, session: c.path(c.nonce), them: o.Who, otherNonce: other}
	for _, dir := range []string{p.session, p.session + "/" + sayDir} {
		if err := c.FS.Mkdir(dir); err != nil {
			return nil, err
		}
	}
	_, err := c.FS.Create(c.path("pair", c.nonce, other), nil)
	return p, err
}

// accept offers to be the second side, and waits for the yes.
func (c *camp) accept(ctx context.Context, other string) (*pair, error) {
	o, _, ok := c.read(other)
	if !ok {
		return nil, nil
	}
	mine := c.path("accept", other, c.nonce)
	if _, err := c.FS.Create(mine, nil); err != nil && !errors.Is(err, syscall.EEXIST) {
		return nil, err
	}
	for start := time.Now(); time.Since(start) < min(answerIn, c.Wait); {
		names, err := c.FS.List(campDir)
		if err != nil {
			return nil, err
		}
		if slices.Contains(names, "pair~"+other+"~"+c.nonce) {
			c.setBusy()
			return &pair{camp: c, role: second, session: c.path(other), them: o.Who, otherNonce: other}, nil
		}
		if slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "pair~"+other+"~") }) {
			break // with somebody else
		}
		if err := sleep(ctx, campPoll); err != nil {
			return nil, err
		}
	}
	return nil, ignoreMissing(c.FS.Remove(mine))
}

func (c *camp) setBusy() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = true
}

func ignoreMissing(err error) error {
	if errors.Is(err, syscall.ENOENT) {
		return nil
	}
	return err
}

// leftoverAge: a run that lives rewrites its offer all the time.
const leftoverAge = 10 * time.Minute

// removeLeftovers removes what runs that were killed have left behind: what has
// one run's name in it and hasn't been touched for a while, by the server's
// clock. It is no reason to fail if it can't.
func (c *camp) removeLeftovers() {
	now, err := c.FS.Stat(c.path("offer", c.nonce))
	names, lerr := c.FS.List(campDir)
	if err != nil || lerr != nil {
		return
	}
	newest := map[string]time.Time{}
	for _, name := range names {
		st, err := c.FS.Stat(campDir + "/" + name)
		for _, run := range runsOf(name) {
			if err != nil {
				st.ModTime = now.ModTime // not known: let it be
			}
			if st.ModTime.After(newest[run]) {
				newest[run] = st.ModTime
			}
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(runsOf(name), func(run string) bool { return now.ModTime.Sub(newest[run]) < leftoverAge }) {
			c.remove(campDir + "/" + name)
		}
	}
}

// runsOf are the names of runs in a name in the camp.
func runsOf(name string) []string {
	parts := strings.Split(name, "~")
	return parts[min(1, len(parts)-1):]
}

// removeTries: the file of a process that dies just now is kept by the client
// under another name until it is closed.
const removeTries = 20

// remove removes a file, or a directory with all that is in it.
func (c *camp) remove(name string) {
	for i := range removeTries {
		if i > 0 {
			time.Sleep(campPoll)
		}
		if c.removeOnce(name) {
			return
		}
	}
}

// removeOnce says whether there is no reason to try again.
func (c *camp) removeOnce(name string) bool {
	err := c.FS.Remove(name)
	if !errors.Is(err, syscall.EISDIR) && !errors.Is(err, syscall.EPERM) {
		return true
	}
	inside, err := c.FS.List(name)
	if err != nil {
		return true
	}
	for _, base := range inside {
		c.removeOnce(name + "/" + base)
	}
	return !errors.Is(c.FS.Rmdir(name), syscall.ENOTEMPTY)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
