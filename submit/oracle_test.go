package submit_test

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"fencepost/spool"
	"fencepost/submit"
	"fencepost/submit/clustersim"
)

// locate finds the files of a job.
func (w *world) locate(id string) (found []spool.Found) {
	w.m.Quiet(func() {
		s, err := spool.Open(w.env.Host("look", w.m.View("look")))
		if err != nil {
			panic(err)
		}
		if found, err = s.Locate(id); err != nil {
			panic(err)
		}
	})
	return found
}

func (w *world) place(id string) spool.Place {
	found := w.locate(id)
	if len(found) == 0 {
		return ""
	}
	return spool.Furthest(found).Place
}

// final says whether every job is at its end.
func (w *world) final() bool {
	for _, id := range w.ids {
		switch w.place(id) {
		case spool.PlaceDone, spool.PlaceParked, spool.PlaceFailed, spool.PlaceHeld:
		default:
			return false
		}
	}
	return true
}

// heal ends all trouble, sees that somebody lives, and lets everything end.
func (w *world) heal() error {
	w.m.Calm()
	w.sim.Inject, w.sim.Down = nil, false
	clear(w.sim.Unfit)
	clear(w.sim.Another)
	living := false
	for _, p := range w.procs {
		p.host.Continue()
		p.host.Thaw()
		living = living || p.alive()
	}
	if !living {
		w.start("z")
	}
	for range 60 {
		w.env.RunFor(10 * time.Second)
		if w.final() {
			break
		}
	}
	// Each epoch that is over goes, and then, by two sweeps, its ghosts.
	for range 30 {
		if w.env.RunFor(w.opt.SweepEvery); w.ghosts() == "" {
			break
		}
	}
	return w.check()
}

// check checks the world, not the program's log.
func (w *world) check() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, p := range w.sim.Problems() {
		wrong("%s", p)
	}
	if g := w.ghosts(); g != "" && w.caps.List {
		wrong("held ghosts left: %s", g)
	}
	for _, id := range w.ids {
		found := w.locate(id)
		if len(found) != 1 {
			wrong("%s is in %d places: %v", id, len(found), found)
			continue
		}
		f := found[0]
		switch f.Place {
		case spool.PlaceDone:
			if !w.ran(id, f.Name.Cluster) {
				wrong("%s is done as %s, which never started", id, f.Name.Cluster)
			}
		case spool.PlaceParked:
			if why := w.why(id); !w.mayPark(id, why) {
				wrong("%s is parked: %s", id, why)
			}
		case spool.PlaceFailed, spool.PlaceHeld:
		default:
			wrong("%s never ended: %s", id, f.Path)
		}
	}
	return errors.Join(errs...)
}

// ghosts lists held jobs of ours that no file names.
func (w *world) ghosts() (out string) {
	for _, j := range w.sim.Jobs() {
		id, ours := strings.CutPrefix(j.Name, prefix)
		if j.State != submit.Held || !ours {
			continue
		}
		if !slices.ContainsFunc(w.locate(id), func(f spool.Found) bool { return f.Name.Cluster == j.ID }) {
			out += fmt.Sprintf("%+v ", j)
		}
	}
	return out
}

func (w *world) ran(id, cluster string) bool {
	return slices.ContainsFunc(w.sim.Starts(), func(s clustersim.Start) bool {
		return s.Name == prefix+id && s.ID == cluster && !s.Refused
	})
}

// starts counts the starts of a job that took effect.
func (w *world) starts(id string) (n int) {
	for _, s := range w.sim.Starts() {
		if s.Name == prefix+id && !s.Refused {
			n++
		}
	}
	return n
}

// why is the last reason in a job's record.
func (w *world) why(id string) (reason string) {
	w.m.Quiet(func() {
		for _, dir := range []string{spool.DirParked, spool.DirFailed, spool.DirHeld} {
			if data, _, err := w.quiet.Read(path.Join(dir, spool.WhyName(id)), 1<<20); err == nil {
				reason += string(data)
			}
		}
	})
	return reason
}
