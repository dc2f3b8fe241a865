package spool_test

import (
	"errors"
	"path"
	"slices"
	"testing"

	"fencepost/spool"
)

// born gives each instance takers that always have room; worked does what they took.
func born(ins ...*spool.Instance) *births {
	b := &births{}
	for _, in := range ins {
		in.Births = b
	}
	return b
}

// worked does the work on what was taken at its birth so far, and on what that
// makes.
func (b *births) worked(foreign bool) (err error) {
	for len(b.claims) > 0 {
		c := b.claims[0]
		b.claims = b.claims[1:]
		work := advance
		switch {
		case c.Name.Stage == spool.Submit:
			work = submitted
		case foreign:
			work = handOver
		}
		err = errors.Join(err, work(c))
	}
	return err
}

// thenWorked is an actor that works on what it took at its birth, too.
func thenWorked(b *births, a *actor) *actor {
	return &actor{name: a.name, run: func() error { return errors.Join(a.run(), b.worked(false)) }}
}

// acceptsAndHands is an actor that accepts, and hands over at once what it took.
func acceptsAndHands(w *world, in *spool.Instance) *actor {
	w.foreign = true
	w.m.Quiet(func() { mkdirs(w.m.View("setup"), path.Dir(foreignOut)) })
	b, a := born(in), accepter(w, in)
	return &actor{name: a.name, run: func() error { return errors.Join(a.run(), b.worked(true)) }}
}

// birthSettings are duels of instances that take at birth.
var birthSettings = map[string]setting{
	"accept": func(w *world) []*actor {
		a, r := w.start("a"), w.start("r")
		return []*actor{thenWorked(born(a), accepter(w, a)), thenWorked(born(r), reclaimer(r, "a", 1))}
	},
	"accept, sweep": func(w *world) []*actor {
		a := w.start("a")
		b := born(a)
		return []*actor{thenWorked(b, accepter(w, a)), thenWorked(b, sweeper(a))}
	},
	"accept twice": func(w *world) []*actor {
		a, b, r := w.start("a"), w.start("b"), w.start("r")
		return []*actor{thenWorked(born(a), accepter(w, a)), thenWorked(born(b), accepter(w, b)), thenWorked(born(r), reclaimer(r, "a", 1))}
	},
	"translate": func(w *world) []*actor {
		a, r := w.start("a"), w.start("r")
		w.through(r, jobA, spool.Translate)
		return []*actor{thenWorked(born(a), translator(w, a)), thenWorked(born(r), reclaimer(r, "a", 1))}
	},
	"translate, sweep": func(w *world) []*actor {
		a := w.start("a")
		w.through(a, jobA, spool.Translate)
		b := born(a)
		return []*actor{thenWorked(b, translator(w, a)), thenWorked(b, sweeper(a))}
	},
	"translate, stuck": func(w *world) []*actor {
		a, s := w.start("a"), w.start("s")
		w.through(s, jobA, spool.Translate)
		return []*actor{thenWorked(born(a), translator(w, a)), thenWorked(born(s), stucker(s))}
	},
	"two reclaimers": func(w *world) []*actor {
		d, b, c := w.start("d"), w.start("b"), w.start("c")
		w.through(d, jobA, spool.Translate)
		cl := must(claimIn(d, spool.Translate, jobA))
		mustDo(cl.Draft(translate(payload(jobA))))
		must(cl.Seal(""))
		return []*actor{thenWorked(born(b), reclaimer(b, "d", 1)), thenWorked(born(c), reclaimer(c, "d", 1))}
	},
	"reclaimer reclaimed": func(w *world) []*actor {
		d, b, c := w.start("d"), w.start("b"), w.start("c")
		w.through(d, jobA, spool.Translate)
		cl := must(claimIn(d, spool.Translate, jobA))
		mustDo(cl.Draft(translate(payload(jobA))))
		must(cl.Seal(""))
		return []*actor{thenWorked(born(b), reclaimer(b, "d", 1)), thenWorked(born(c), reclaimer(c, "b", 1)), reclaimer(c, "d", 1)}
	},
	"hand over": func(w *world) []*actor {
		a, r := w.start("a"), w.start("r")
		return []*actor{acceptsAndHands(w, a), reclaimer(r, "a", 1)}
	},
	"hand over, back at once": func(w *world) []*actor {
		a, b, c := w.start("a"), w.start("b"), w.start("c")
		return []*actor{acceptsAndHands(w, a), foreigner(w), thenWorked(born(b), taker(w, b)), reclaimer(c, "a", 1)}
	},
	"come back": func(w *world) []*actor {
		a, r := w.start("a"), w.start("r")
		w.put(laterInbox+"/BACK.json", backOrder)
		return []*actor{
			thenWorked(born(a), &actor{name: "a", run: func() error { return adoptingAt(laterInbox, "BACK.json", backOrder)(w, a) }}),
			thenWorked(born(r), reclaimer(r, "a", 1))}
	},
	"two ways in": func(w *world) []*actor {
		a, b := w.start("a"), w.start("b")
		w.put(laterInbox+"/BACK.json", backOrder)
		return []*actor{
			thenWorked(born(a), &actor{name: "a", run: func() error { return adoptingAt(laterInbox, "BACK.json", backOrder)(w, a) }}),
			thenWorked(born(b), &actor{name: "b", run: func() error { _, err := b.Accept(jobA, payload(jobA), sameAs(jobA)); return err }})}
	},
}

// stucker moves on, twice, what anybody has claimed or sealed, alive or not.
func stucker(in *spool.Instance) *actor {
	return &actor{name: in.Host, run: func() error {
		for range 2 {
			var all []spool.Found
			_ = in.ScanOwned(func(f spool.Found) { all = append(all, f) })
			slices.SortFunc(all, func(f, g spool.Found) int { return len(f.Path) - len(g.Path) })
			for _, f := range all {
				if f.Name.Host == in.Host {
					continue
				}
				if f.Place == spool.PlaceClaimed {
					_ = in.ReturnStuck(f, "test")
				} else {
					_ = in.FinishStuck(f, finish)
				}
			}
		}
		return nil
	}}
}

// TestExploreBirths: the same as TestExploreSchedules and TestExploreFaults, where
// everybody takes at birth.
func TestExploreBirths(t *testing.T) {
	for name, set := range birthSettings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			explore(t, explorePlan{switches: 4, runs: 60}, set)
			explore(t, explorePlan{switches: 2, faults: lies, runs: 60}, set)
		})
	}
}
