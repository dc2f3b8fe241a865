package fstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// The sides of a pair.
const (
	first  = 0
	second = 1
)

// pair is a side's view of a session.
type pair struct {
	*camp
	role       int
	session    string // directory
	them       Who
	otherNonce string

	phaseName string
	dir       string // of the phase
}

const (
	sayDir  = "say" // of a session: messages
	stepEnd = "end"
	ended   = "over" // of the whole session
)

func (p *pair) other() int { return 1 - p.role }

// ordered puts what both sides have in the order of the sides.
func ordered[T any](p *pair, mine, theirs T) (sides [2]T) {
	sides[p.role], sides[p.other()] = mine, theirs
	return sides
}

// name is what a person calls a side.
func (p *pair) name(role int) string {
	me, them := p.Me.Host, p.them.Host
	if me == them {
		return fmt.Sprintf("%s (process %d)", me, role+1)
	}
	if role == p.role {
		return me
	}
	return them
}

// at is a name in the phase's directory.
func (p *pair) at(format string, args ...any) string {
	return p.dir + "/" + fmt.Sprintf(format, args...)
}

// errEnded: the other side has ended the phase; it says why at its end.
var errEnded = errors.New("the other side ended the phase")

func (p *pair) message(step string, role int) string {
	return p.phaseName + "~" + step + "~" + strconv.Itoa(role)
}

// say leaves a message for the other side.
func (p *pair) say(step string, msg any) error {
	text, err := json.Marshal(msg)
	if err == nil {
		_, err = p.FS.Create(p.session+"/"+sayDir+"/"+p.message(step, p.role), text)
	}
	if err != nil && !errors.Is(err, syscall.EEXIST) {
		return fmt.Errorf("%w: leave a message: %w", ErrPeerLost, err)
	}
	return nil
}

const (
	maxMessage = 1 << 20
	sayPoll    = 10 * time.Millisecond
	quickPoll  = time.Millisecond // at first, so that both go on at nearly the same time
	quickFor   = 250 * time.Millisecond
)

// hear waits for the other side's message. A message may be seen before it is
// whole; then it is read again.
func (p *pair) hear(ctx context.Context, step string, msg any) error {
	want, over := p.message(step, p.other()), p.message(stepEnd, p.other())
	for start := time.Now(); time.Since(start) < p.Patience; {
		names, err := p.FS.List(p.session + "/" + sayDir)
		if err != nil {
			return fmt.Errorf("%w: its messages can't be listed: %w", ErrPeerLost, err)
		}
		switch {
		case slices.Contains(names, want):
			text, _, err := p.FS.Read(p.session+"/"+sayDir+"/"+want, maxMessage)
			if err == nil && len(text) > 0 && json.Unmarshal(text, msg) == nil {
				return nil
			}
		case slices.Contains(names, over):
			return errEnded
		case slices.Contains(names, ended+"~"+strconv.Itoa(p.other())):
			return fmt.Errorf("%w: %s stopped in phase %q", ErrPeerLost, p.name(p.other()), p.phaseName)
		}
		poll := sayPoll
		if time.Since(start) < quickFor {
			poll = quickPoll
		}
		if err := sleep(ctx, poll); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: nothing was heard of %s for %s, in phase %q (step %s)", ErrPeerLost, p.name(p.other()), p.Patience, p.phaseName, step)
}

// swap tells the other side one thing and hears the same of it.
func swap[T any](ctx context.Context, p *pair, step string, mine T) (theirs T, err error) {
	if err := p.say(step, mine); err != nil {
		return theirs, err
	}
	return theirs, p.hear(ctx, step, &theirs)
}

// meetAt waits until both sides are here.
func (p *pair) meetAt(ctx context.Context, step string) error {
	_, err := swap(ctx, p, step, true)
	return err
}

// agree settles what is done: as the first side wants it.
func (p *pair) agree(ctx context.Context) error {
	p.phaseName = "agree"
	type terms struct {
		Sizes   Sizes    `json:"sizes"`
		Only    []string `json:"only"`
		Version string   `json:"version"`
	}
	mine := terms{p.Sizes, p.Only, p.Me.Version}
	theirs, err := swap(ctx, p, "terms", mine)
	if err != nil {
		return err
	}
	if theirs.Version != mine.Version {
		return fmt.Errorf("%w: %s has version %s of fencepost, this is %s", ErrPeerLost, p.name(p.other()), theirs.Version, mine.Version)
	}
	if p.role == second {
		p.Sizes, p.Only = theirs.Sizes, theirs.Only
	}
	return nil
}

// How long one side waits for the other at the end.
const (
	endWait   = 10 * time.Second
	abortWait = 3 * time.Second
)

// end says goodbye and removes the session: the first side after a run that came
// to its end, whoever is there after another one.
func (p *pair) end(err error) {
	p.phaseName = ended
	say := p.session + "/" + sayDir
	_, _ = p.FS.Create(say+"/"+ended+"~"+strconv.Itoa(p.role), nil)
	wait := endWait
	if err != nil {
		wait = abortWait
	}
	if p.role == second && err == nil {
		return
	}
	for start := time.Now(); time.Since(start) < wait; {
		names, err := p.FS.List(say)
		if err != nil || slices.Contains(names, ended+"~"+strconv.Itoa(p.other())) {
			break
		}
		time.Sleep(campPoll)
	}
	a, b := p.nonce, p.otherNonce
	if p.role == second {
		a, b = b, a
	}
	p.remove(p.session)
	_ = p.FS.Remove(p.path("accept", a, b))
	_ = p.FS.Remove(p.path("pair", a, b))
}

// mark makes a directory whose time is the server's: directories are made by the
// server alone, while a client may give times to a file that it writes.
func (p *pair) mark(name string) error { return p.FS.Mkdir(p.at("%s", name)) }

// between is how much later, by the server's clock, one mark was made than
// another.
func (p *pair) between(from, to string) (time.Duration, error) {
	a, err := p.FS.Stat(p.at("%s", from))
	if err != nil {
		return 0, err
	}
	b, err := p.FS.Stat(p.at("%s", to))
	return max(b.ModTime.Sub(a.ModTime), 0), err
}
