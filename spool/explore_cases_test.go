package spool_test

import (
	"errors"
	"path"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"fencepost/spool"
)

func errnoName(e syscall.Errno) string { return unix.ErrnoName(e) }

// lies are the faults of an exploration: one lost reply, one blip, one stale
// listing, one death.
var lies = []string{"+ENOENT", "+EIO", "-ESTALE", "-ENOENT", "-EIO", "=stale", "+die"}

// reclaimer reclaims an epoch as often as it takes.
func reclaimer(in *spool.Instance, host string, epoch uint64) *actor {
	return &actor{name: in.Host, run: func() error {
		for range 3 {
			did, err := in.Reclaim(spool.Over{Host: host, Epoch: epoch, Why: "test", Death: true}, finish)
			if err == nil && did.Gone {
				return nil
			}
		}
		return nil
	}}
}

func translator(w *world, in *spool.Instance) *actor {
	return &actor{name: in.Host, run: func() error {
		c, err := claimIn(in, spool.Translate, jobA)
		if err != nil {
			return err
		}
		return advance(c)
	}}
}

// settings are duels: what one host does while another takes it for dead.
var settings = map[string]setting{
	"translate": func(w *world) []*actor {
		a, b := w.start("a"), w.start("b")
		w.through(b, jobA, spool.Translate)
		return []*actor{translator(w, a), reclaimer(b, "a", 1)}
	},
	"translate, sweep": func(w *world) []*actor {
		a := w.start("a")
		w.through(a, jobA, spool.Translate)
		return []*actor{translator(w, a), sweeper(a)}
	},
	"accept": func(w *world) []*actor {
		a, b := w.start("a"), w.start("b")
		return []*actor{accepter(w, a), reclaimer(b, "a", 1)}
	},
	"accept, sweep": func(w *world) []*actor {
		a := w.start("a")
		return []*actor{accepter(w, a), sweeper(a)}
	},
	"accept twice": func(w *world) []*actor {
		a, b, c := w.start("a"), w.start("b"), w.start("c")
		return []*actor{accepter(w, a), accepter(w, b), reclaimer(c, "a", 1)}
	},
	"submit": func(w *world) []*actor {
		a, b := w.start("a"), w.start("b")
		w.through(b, jobA, spool.Submit)
		return []*actor{{name: "a", run: func() error {
			c, err := claimIn(a, spool.Submit, jobA)
			if err != nil {
				return err
			}
			return submitted(c)
		}}, reclaimer(b, "a", 1)}
	},
	"return": func(w *world) []*actor {
		a, b := w.start("a"), w.start("b")
		w.through(b, jobA, spool.Translate)
		return []*actor{{name: "a", run: func() error {
			for gen := range 2 {
				c, err := a.Claim(spool.Translate, spool.Name{ID: jobA, Gen: gen})
				if err == nil {
					err = c.Return(spool.Why{Reason: "test"})
				}
				if err != nil {
					return err
				}
			}
			return nil
		}}, reclaimer(b, "a", 1)}
	},
	"park": func(w *world) []*actor {
		a, b := w.start("a"), w.start("b")
		w.through(b, jobA, spool.Submit)
		return []*actor{{name: "a", run: func() error {
			c, err := claimIn(a, spool.Submit, jobA)
			if err == nil {
				err = c.Park("test")
			}
			return err
		}}, reclaimer(b, "a", 1)}
	},
	"start": func(w *world) []*actor {
		b := w.start("b")
		w.through(b, jobA, spool.Translate)
		return []*actor{{name: "a", run: func() error { return startAndTranslate(w) }}, reclaimer(b, "a", 1)}
	},
	"hand over": func(w *world) []*actor {
		a, b := w.start("a"), w.start("b")
		foreignSetUp(w, b)
		return []*actor{hander(a), reclaimer(b, "a", 1)}
	},
	"hand over, sweep": func(w *world) []*actor {
		a := w.start("a")
		foreignSetUp(w, a)
		return []*actor{hander(a), sweeper(a)}
	},
	"hand over, back at once": func(w *world) []*actor {
		a, b, c := w.start("a"), w.start("b"), w.start("c")
		foreignSetUp(w, b)
		return []*actor{hander(a), foreigner(w), taker(w, b), reclaimer(c, "a", 1)}
	},
	"come back twice": func(w *world) []*actor {
		a, b := w.start("a"), w.start("b")
		comeBackSetUp(w, b)
		w.put(laterInbox+"/BACK2.json", backOrder)
		return []*actor{
			{name: "a", run: func() error { return adoptingAt(laterInbox, "BACK.json", backOrder)(w, a) }},
			{name: "b", run: func() error { return adoptingAt(laterInbox, "BACK2.json", backOrder)(w, b) }}}
	},
	"two ways in": func(w *world) []*actor {
		a, b := w.start("a"), w.start("b")
		w.put(laterInbox+"/BACK.json", backOrder)
		return []*actor{
			{name: "a", run: func() error { return adoptingAt(laterInbox, "BACK.json", backOrder)(w, a) }},
			{name: "b", run: func() error { _, err := b.Accept(jobA, payload(jobA), sameAs(jobA)); return err }}}
	},
	"two reclaimers": func(w *world) []*actor {
		d, b, c := w.start("d"), w.start("b"), w.start("c")
		w.through(d, jobA, spool.Translate)
		w.through(d, jobB, spool.Translate)
		cl := must(claimIn(d, spool.Translate, jobA))
		mustDo(cl.Draft(translate(payload(jobA))))
		must(cl.Seal(""))
		must(claimIn(d, spool.Translate, jobB))
		return []*actor{reclaimer(b, "d", 1), reclaimer(c, "d", 1)}
	},
}

func accepter(w *world, in *spool.Instance) *actor {
	return &actor{name: in.Host, run: func() error {
		_, err := w.accept(in, jobA)
		return err
	}}
}

func sweeper(in *spool.Instance) *actor {
	return &actor{name: "sweep", run: func() error {
		s := spool.NewSweep(in, finish)
		for range 3 {
			if _, err := s.Pass(); err != nil && errors.Is(err, spool.ErrFenced) {
				return err
			}
		}
		return nil
	}}
}

// startAndTranslate is an instance from the making of its directories on, in
// the order of package lease: claims, sealed, drafts.
func startAndTranslate(w *world) error {
	e := newEnv(w.m.View("a"))
	mkdirs(e.FS(), spool.HostDir("a"), spool.JournalDir("a"))
	for _, base := range []string{spool.DirClaims, spool.DirSealed, spool.DirDrafts} {
		mkdirs(e.FS(), path.Join(base, "a"))
	}
	for _, base := range []string{spool.DirClaims, spool.DirSealed, spool.DirDrafts} {
		if err := e.FS().Mkdir(spool.EpochDir(base, "a", 1)); err != nil {
			return err // the number is given up
		}
	}
	in, err := w.open(e, "a", 1)
	if err != nil {
		return err
	}
	c, err := claimIn(in, spool.Translate, jobA)
	if err != nil {
		return err
	}
	return advance(c)
}

// TestExploreSchedules: schedules of the duels with up to four preemptions.
func TestExploreSchedules(t *testing.T) {
	for name, set := range settings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			explore(t, explorePlan{switches: 4, runs: 60}, set)
		})
	}
}

// TestExploreFaults: one lie, stale listing or death at any operation of any
// schedule with up to two preemptions.
func TestExploreFaults(t *testing.T) {
	for name, set := range settings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			explore(t, explorePlan{switches: 2, faults: lies, runs: 60}, set)
		})
	}
}
