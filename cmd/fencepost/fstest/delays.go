package fstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"
)

// way is one way to ask whether a name is there.
type way struct {
	name string
	must bool // the protocol rests on it
	ask  func(p *pair, dir, base string) (bool, error)
}

func ways() []way {
	there := func(err error) (bool, error) {
		if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ESTALE) {
			return false, nil
		}
		return err == nil, err
	}
	return []way{
		{"stat", false, func(p *pair, dir, base string) (bool, error) {
			_, err := p.FS.Stat(dir + "/" + base)
			return there(err)
		}},
		{"open", false, func(p *pair, dir, base string) (bool, error) {
			_, _, err := p.FS.Read(dir+"/"+base, pageSize)
			return there(err)
		}},
		{"listing", true, func(p *pair, dir, base string) (bool, error) {
			names, err := p.FS.List(dir)
			return slices.Contains(names, base), err
		}},
	}
}

// look is one thing that is waited for: each has a directory of its own, since a
// listing would refresh what stat knows.
type look struct {
	way
	comes bool // a new name; else one that goes
}

func (l look) String() string {
	if l.comes {
		return "a new file by " + l.name
	}
	return "a removed file by " + l.name
}

func looks() (all []look) {
	for _, comes := range []bool{true, false} {
		for _, w := range ways() {
			all = append(all, look{w, comes})
		}
	}
	return all
}

// slowRound: after one that took so long there is no further one.
const slowRound = 10 * time.Second

// delays: each side in turn makes files and removes others; the other side, which
// has asked for all of them before, asks until it sees it.
func delays(ctx context.Context, p *pair) ([]string, error) {
	var evidence []string
	for maker := range 2 {
		took := make([][]time.Duration, len(looks()))
		late := make([]bool, len(looks()))
		for round := range p.Sizes.Rounds {
			start := time.Now()
			if err := p.delayRound(ctx, maker, round, took, late); err != nil {
				return nil, err
			}
			slow, err := swap(ctx, p, fmt.Sprintf("slow%d-%d", maker, round), time.Since(start) > slowRound)
			if err != nil {
				return nil, err
			}
			if slow || time.Since(start) > slowRound {
				break
			}
		}
		for i, l := range looks() {
			text := fmt.Sprintf("%s sees %s of %s after %s", p.name(1-maker), l, p.name(maker), spans(took[i]))
			if late[i] {
				text = fmt.Sprintf("%s doesn't see %s of %s within %s", p.name(1-maker), l, p.name(maker), p.Sizes.Limit)
			}
			if late[i] && l.must {
				return nil, errors.New(text)
			}
			evidence = append(evidence, text)
		}
	}
	return evidence, nil
}

func (p *pair) delayRound(ctx context.Context, maker, round int, took [][]time.Duration, late []bool) error {
	mark := fmt.Sprintf("%d-%d", maker, round)
	dir := func(i int) string { return p.at("look-%s-%d", mark, i) }
	base := func(l look) string {
		if l.comes {
			return "new"
		}
		return "old"
	}
	if p.role == maker {
		for i := range looks() {
			if err := p.FS.Mkdir(dir(i)); err != nil {
				return err
			}
			if _, err := p.FS.Create(dir(i)+"/old", nil); err != nil {
				return err
			}
		}
	}
	if err := p.meetAt(ctx, "made"+mark); err != nil {
		return err
	}
	if p.role != maker { // so that the caches are filled
		for i, l := range looks() {
			if is, err := l.ask(p, dir(i), base(l)); err != nil || is == l.comes {
				return fmt.Errorf("before anything was done, %s: %v (%v)", l, is, err)
			}
		}
	}
	if err := p.meetAt(ctx, "asked"+mark); err != nil {
		return err
	}
	var unseen []int
	var err error
	if p.role == maker {
		err = p.change(dir, mark)
	} else {
		unseen, err = p.sees(ctx, dir, base, mark)
	}
	if err != nil {
		return err
	}
	theirs, err := swap(ctx, p, "seen"+mark, unseen)
	if err != nil {
		return err
	}
	for i := range looks() {
		if slices.Contains(unseen, i) || slices.Contains(theirs, i) {
			late[i] = true
			continue
		}
		d, err := p.between(fmt.Sprintf("done-%s-%d", mark, i), fmt.Sprintf("seen-%s-%d", mark, i))
		if err != nil {
			return err
		}
		took[i] = append(took[i], d)
	}
	return nil
}

// change does what is to be seen, and marks when.
func (p *pair) change(dir func(int) string, mark string) error {
	for i, l := range looks() {
		var err error
		if l.comes {
			_, err = p.FS.Create(dir(i)+"/new", nil)
		} else {
			err = p.FS.Remove(dir(i) + "/old")
		}
		if err := errors.Join(err, p.mark(fmt.Sprintf("done-%s-%d", mark, i))); err != nil {
			return err
		}
	}
	return nil
}

// sees asks until all is seen, and marks when; what isn't in time is returned.
func (p *pair) sees(ctx context.Context, dir func(int) string, base func(look) string, mark string) ([]int, error) {
	all := looks()
	var open []int
	for i := range all {
		open = append(open, i)
	}
	for start := time.Now(); len(open) > 0 && time.Since(start) < p.Sizes.Limit; {
		var still []int
		for _, i := range open {
			is, err := all[i].ask(p, dir(i), base(all[i]))
			if err != nil {
				return nil, err
			}
			if is != all[i].comes {
				still = append(still, i)
			} else if err := p.mark(fmt.Sprintf("seen-%s-%d", mark, i)); err != nil {
				return nil, err
			}
		}
		open = still
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return open, nil
}
