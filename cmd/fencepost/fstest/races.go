package fstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"fencepost/spool/vfs"
)

// tally is what came of a side's tries: "1" for each that succeeded, "0" for
// each that was lost as it should be.
type tally struct {
	Won   string   `json:"won"`
	Other []string `json:"other"` // errors that a loser must not get
}

// tries are how many of a side's tries run at once.
const tries = 4

// contest lets both sides try the same n things at the same time: half of them
// in the same order, so that both are at the same name again and again, half in
// opposite orders, so that both win some and meet in the middle. A loser must
// get one of want.
func (p *pair) contest(ctx context.Context, step string, n int, want []syscall.Errno, try func(i int) error) (mine, theirs tally, err error) {
	if err := p.meetAt(ctx, step+"-go"); err != nil {
		return mine, theirs, err
	}
	won := bytes.Repeat([]byte("0"), n)
	var mu sync.Mutex
	var all sync.WaitGroup
	for w := range tries {
		all.Go(func() {
			for _, i := range p.order(w, n) {
				if ctx.Err() != nil {
					return
				}
				err := try(i)
				switch {
				case err == nil:
					won[i] = '1'
				case !slices.ContainsFunc(want, func(e syscall.Errno) bool { return errors.Is(err, e) }):
					mu.Lock()
					mine.Other = append(mine.Other, err.Error())
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return mine, theirs, context.Cause(ctx)
	}
	mine.Won = string(won)
	theirs, err = swap(ctx, p, step+"-won", mine)
	if err == nil && len(theirs.Won) != n {
		err = fmt.Errorf("%d results of the other side, want %d", len(theirs.Won), n)
	}
	return mine, theirs, err
}

// order is in which order worker w takes its share of n names.
func (p *pair) order(w, n int) (names []int) {
	for i := w; i < n; i += tries {
		names = append(names, i)
	}
	if p.role == second && w%2 == 1 {
		slices.Reverse(names)
	}
	return names
}

// winners checks that each of n things has one winner, and returns whose each
// is. what is what was tried.
func (p *pair) winners(what string, mine, theirs tally) (owner []int, evidence string, err error) {
	sides := ordered(p, mine, theirs)
	var both, none []string
	count := [2]int{}
	for i := range len(mine.Won) {
		a, b := sides[first].Won[i] == '1', sides[second].Won[i] == '1'
		switch {
		case a && b:
			both = append(both, number(i))
			owner = append(owner, first)
		case !a && !b:
			none = append(none, number(i))
			owner = append(owner, -1)
		case a:
			owner = append(owner, first)
			count[first]++
		default:
			owner = append(owner, second)
			count[second]++
		}
	}
	evidence = fmt.Sprintf("of %d %s %s got %d and %s %d; each has one winner", len(owner), what, p.name(first), count[first], p.name(second), count[second])
	if min(count[first], count[second]) == 0 {
		evidence += ", though it was hardly a race: try again"
	}
	switch others := append(slices.Clone(mine.Other), theirs.Other...); {
	case len(both) > 0:
		err = fmt.Errorf("both hosts were told that they won %d of %d %s: %s", len(both), len(owner), what, list(both))
	case len(others) > 0:
		err = fmt.Errorf("%d losers got another error than they should: %s", len(others), list(others))
	case len(none) > 0:
		err = fmt.Errorf("no host was told that it won %d of %d %s, though both tried: %s", len(none), len(owner), what, list(none))
	}
	return owner, evidence, err
}

func number(i int) string { return fmt.Sprintf("%04d", i) }

func raceCreate(ctx context.Context, p *pair) ([]string, error) {
	n := p.Sizes.Names / 2
	mine, theirs, err := p.contest(ctx, "create", n, []syscall.Errno{syscall.EEXIST}, func(i int) error {
		_, err := p.FS.Create(p.at("%s", number(i)), []byte(strconv.Itoa(p.role)))
		return err
	})
	if err != nil {
		return nil, err
	}
	owner, evidence, err := p.winners("files", mine, theirs)
	if err != nil {
		return nil, err
	}
	for i, who := range owner {
		text, _, err := p.FS.Read(p.at("%s", number(i)), 100)
		if err != nil || string(text) != strconv.Itoa(who) {
			return nil, fmt.Errorf("file %s was made by %s and holds %q (%v)", number(i), p.name(who), text, err)
		}
	}
	return []string{evidence, "the losers got EEXIST; each file holds what its winner wrote"}, nil
}

func raceMkdir(ctx context.Context, p *pair) ([]string, error) {
	n := p.Sizes.Names / 2
	mine, theirs, err := p.contest(ctx, "mkdir", n, []syscall.Errno{syscall.EEXIST}, func(i int) error { return p.FS.Mkdir(p.at("%s", number(i))) })
	if err != nil {
		return nil, err
	}
	_, evidence, err := p.winners("directories", mine, theirs)
	if err != nil {
		return nil, err
	}
	return []string{evidence, "the losers got EEXIST"}, p.holds("", n)
}

// holds checks that a directory of the phase lists n names.
func (p *pair) holds(dir string, n int) error {
	name := p.dir
	if dir != "" {
		name = p.at("%s", dir)
	}
	names, err := p.FS.List(name)
	if err == nil && len(names) != n {
		err = fmt.Errorf("a listing of %s has %d names, want %d", name, len(names), n)
	}
	return err
}

// raceLink: each host has a file of its own, and links it to names that the
// other wants for its file.
func raceLink(ctx context.Context, p *pair) ([]string, error) {
	n := p.Sizes.Names / 2
	own := p.at("file-%d", p.role)
	id, err := p.FS.Create(own, []byte(own))
	if err != nil {
		return nil, err
	}
	if err := p.FS.Link(own, own+"-link"); err != nil {
		return nil, fmt.Errorf("a hard link: %w", err)
	}
	if got, err := p.FS.Identify(own + "-link"); err != nil || got != id {
		return nil, fmt.Errorf("a link of file %v is %v (%v): not the same file", id, got, err)
	}
	if p.role == first {
		if err := p.FS.Mkdir(p.at("gate")); err != nil {
			return nil, err
		}
	}
	mine, theirs, err := p.contest(ctx, "link", n, []syscall.Errno{syscall.EEXIST}, func(i int) error { return p.FS.Link(own, p.at("gate/%s", number(i))) })
	if err != nil {
		return nil, err
	}
	owner, evidence, err := p.winners("links", mine, theirs)
	if err != nil {
		return nil, err
	}
	var ids [2]vfs.ID
	for role := range ids {
		if ids[role], err = p.FS.Identify(p.at("file-%d", role)); err != nil {
			return nil, err
		}
	}
	if ids[first] == ids[second] {
		return nil, fmt.Errorf("two files have one identity: %v", ids[first])
	}
	for i, who := range owner {
		got, err := p.FS.Identify(p.at("gate/%s", number(i)))
		if err != nil || got != ids[who] {
			return nil, fmt.Errorf("link %s was made by %s, and is %v (%v), want %v", number(i), p.name(who), got, err, ids[who])
		}
	}
	return []string{evidence, "the losers got EEXIST; both hosts agree whose file each link is"}, p.holds("gate", n)
}

func raceRename(ctx context.Context, p *pair) ([]string, error) {
	n := p.Sizes.Names
	if p.role == first {
		for _, dir := range []string{"from", "to-0", "to-1"} {
			if err := p.FS.Mkdir(p.at("%s", dir)); err != nil {
				return nil, err
			}
		}
	}
	if err := p.meetAt(ctx, "dirs"); err != nil {
		return nil, err
	}
	for i := p.role; i < n; i += 2 {
		if _, err := p.FS.Create(p.at("from/%s", number(i)), []byte(number(i))); err != nil {
			return nil, err
		}
	}
	mine, theirs, err := p.contest(ctx, "rename", n, []syscall.Errno{syscall.ENOENT}, func(i int) error {
		return p.FS.Rename(p.at("from/%s", number(i)), p.at("to-%d/%s", p.role, number(i)))
	})
	if err != nil {
		return nil, err
	}
	owner, evidence, err := p.winners("renames", mine, theirs)
	if err != nil {
		return nil, err
	}
	for who := range 2 {
		names, err := p.FS.List(p.at("to-%d", who))
		if err != nil {
			return nil, err
		}
		slices.Sort(names)
		var want []string
		for i, w := range owner {
			if w == who {
				want = append(want, number(i))
			}
		}
		if !slices.Equal(names, want) {
			return nil, fmt.Errorf("%s was told that it won %d names, and its directory lists %d", p.name(who), len(want), len(names))
		}
	}
	return []string{evidence, "the losers got ENOENT; listings by both hosts say the same"}, p.holds("from", 0)
}

// fence: each host in turn removes directories that the other renames into.
func fence(ctx context.Context, p *pair) ([]string, error) {
	var evidence []string
	for remover := range 2 {
		if err := p.fenced(ctx, remover); err != nil {
			return nil, err
		}
	}
	evidence = append(evidence, "a directory with a file in it isn't removed (ENOTEMPTY)",
		"nothing gets into a directory that the other host removed, though its handle is in the cache")
	in, out, err := p.fenceRace(ctx)
	if err != nil {
		return nil, err
	}
	return append(evidence, fmt.Sprintf("of %d directories that one host removed while the other moved a file in, %d were removed, and the file stayed where it was; %d files were in before, and the directory stayed", in+out, out, in)), nil
}

// gone are the errors of a name in a directory that was removed.
func gone(err error) bool { return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ESTALE) }

func (p *pair) fenced(ctx context.Context, remover int) error {
	dir, out := p.at("dir-%d", remover), p.at("out-%d", remover)
	removes := p.role == remover
	if removes {
		if err := errors.Join(p.FS.Mkdir(dir), p.FS.Mkdir(out)); err != nil {
			return err
		}
	}
	if err := p.meetAt(ctx, fmt.Sprint("made", remover)); err != nil {
		return err
	}
	if !removes {
		if _, err := p.FS.Create(dir+"/x", nil); err != nil {
			return err
		}
	}
	if err := p.meetAt(ctx, fmt.Sprint("full", remover)); err != nil {
		return err
	}
	if removes {
		if err := p.FS.Rmdir(dir); !errors.Is(err, syscall.ENOTEMPTY) {
			return fmt.Errorf("rmdir of a directory with the other host's file in it: %v, want ENOTEMPTY", err)
		}
	}
	if err := p.meetAt(ctx, fmt.Sprint("kept", remover)); err != nil {
		return err
	}
	if !removes {
		if err := p.FS.Rename(dir+"/x", out+"/x"); err != nil {
			return fmt.Errorf("rename out of a directory that is to be removed: %w", err)
		}
	}
	if err := p.meetAt(ctx, fmt.Sprint("drained", remover)); err != nil {
		return err
	}
	if removes {
		if err := p.FS.Rmdir(dir); err != nil {
			return fmt.Errorf("rmdir of a directory that the other host has emptied: %w", err)
		}
	}
	if err := p.meetAt(ctx, fmt.Sprint("removed", remover)); err != nil || removes {
		return err
	}
	if err := p.FS.Rename(out+"/x", dir+"/x"); !gone(err) {
		return fmt.Errorf("rename into a directory that the other host has removed: %v, want ENOENT or ESTALE", err)
	}
	if _, err := p.FS.Create(dir+"/y", nil); !gone(err) {
		return fmt.Errorf("a new file in a directory that the other host has removed: %v, want ENOENT or ESTALE", err)
	}
	if names, err := p.FS.List(out); err != nil || !slices.Equal(names, []string{"x"}) {
		return fmt.Errorf("after a rename that failed its source's directory lists %q (%v), want x", names, err)
	}
	return nil
}

// fenceRace: for half of the directories each host is the one that removes.
func (p *pair) fenceRace(ctx context.Context) (in, out int, err error) {
	n := p.Sizes.Names / 4
	if p.role == first {
		if err := p.FS.Mkdir(p.at("out")); err != nil {
			return 0, 0, err
		}
	}
	if err := p.meetAt(ctx, "race"); err != nil {
		return 0, 0, err
	}
	for i := p.role; i < n; i += 2 {
		_, err := p.FS.Create(p.at("out/%s", number(i)), nil)
		if err := errors.Join(err, p.FS.Mkdir(p.at("race-%s", number(i)))); err != nil {
			return 0, 0, err
		}
	}
	removes := func(i, role int) bool { return (i/tries)%2 == role }
	mine, theirs, err := p.contest(ctx, "fence", n, []syscall.Errno{syscall.ENOTEMPTY, syscall.ENOENT, syscall.ESTALE}, func(i int) error {
		if removes(i, p.role) {
			return p.FS.Rmdir(p.at("race-%s", number(i)))
		}
		return p.FS.Rename(p.at("out/%s", number(i)), p.at("race-%s/x", number(i)))
	})
	if err != nil {
		return 0, 0, err
	}
	if others := append(mine.Other, theirs.Other...); len(others) > 0 {
		return 0, 0, fmt.Errorf("%d got another error than they should: %s", len(others), list(others))
	}
	left, err := p.FS.List(p.at("out"))
	if err != nil {
		return 0, 0, err
	}
	sides := ordered(p, mine, theirs)
	for i := range n {
		remover := first
		if removes(i, second) {
			remover = second
		}
		removed, moved, stayed := sides[remover].Won[i] == '1', sides[1-remover].Won[i] == '1', slices.Contains(left, number(i))
		switch {
		case removed && moved:
			return in, out, fmt.Errorf("%s removed directory %s, and %s moved a file into it: the file is lost", p.name(remover), number(i), p.name(1-remover))
		case !removed && !moved:
			return in, out, fmt.Errorf("%s could not remove directory %s, and %s could not move a file into it", p.name(remover), number(i), p.name(1-remover))
		case moved == stayed:
			return in, out, fmt.Errorf("%s was told %v of its rename of file %s, and a listing says otherwise", p.name(1-remover), moved, number(i))
		case removed:
			out++
		default:
			in++
		}
	}
	return in, out, nil
}
