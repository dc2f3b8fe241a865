package main

import (
	"context"
	"slices"
	"time"

	"fencepost/spool"
)

// census counts jobs by place, in one look at a spool that goes on working. It
// reads no files, only names.
type census struct {
	accepted int
	waiting  map[spool.Stage]int
	places   map[spool.Place]int
	claims   map[string]int // by host: claims and sealed files
	depths   []depthOf      // of what is on its way
	vanished []string       // settled by an audit if there was a suspect
	doubled  []string
}

// depthOf is a stage's place, with how many jobs are there. oldest is the least
// id that holds a time, "" if none does: such ids sort by it.
type depthOf struct {
	stage  spool.Stage
	place  spool.Place
	jobs   int
	oldest string
}

// spot is where a job was seen: small, since there may be a million.
type spot struct {
	place uint8 // index of spool.Places, plus one; 0 = at the gate only
	stage uint8
	twice bool
}

// takeCensus looks once. Jobs that seem to be nowhere or twice have mostly moved
// meanwhile: a second look clears them; what is left is left to an audit with
// looks that are apart.
func takeCensus(ctx context.Context, s *share, apart time.Duration) (*census, error) {
	c, suspects, err := countOnce(s)
	if err != nil || len(suspects) == 0 {
		return c, err
	}
	_, again, err := countOnce(s)
	if err != nil {
		return nil, err
	}
	still := slices.ContainsFunc(suspects, func(id string) bool {
		_, found := slices.BinarySearch(again, id)
		return found
	})
	if !still {
		return c, nil
	}
	b, err := s.Audit(ctx, apart)
	if err != nil {
		return nil, err
	}
	c.vanished, c.doubled = b.Vanished, b.Duplicated
	return c, nil
}

func countOnce(s *share) (*census, []string, error) {
	c := &census{waiting: map[spool.Stage]int{}, places: map[spool.Place]int{}, claims: map[string]int{}}
	places, stages := spool.Places(), spool.Stages()
	jobs := map[string]spot{}
	if err := s.Accepted(func(id string) { jobs[id] = spot{} }); err != nil {
		return nil, nil, err
	}
	c.accepted = len(jobs)
	err := s.Scan(func(f spool.Found) {
		if f.Place == spool.PlaceClaimed || f.Place == spool.PlaceSealed {
			c.claims[f.Name.Host]++
		}
		now := spot{place: uint8(slices.Index(places, f.Place) + 1), stage: uint8(slices.Index(stages, f.Name.Stage) + 1)}
		was, accepted := jobs[f.Name.ID]
		if !accepted && f.Place == spool.PlaceAccepting {
			return // not linked yet: not accepted yet
		}
		// Between publish and retire a job has a sealed translation and what
		// it published: that is one job.
		sealed := was.place > 0 && places[was.place-1] == spool.PlaceSealed && was.stage == 1 && now.stage == 2
		// What a foreign translator gave back is where it is now.
		left := f.Place == spool.PlaceHandedOver && f.Name.Stage == spool.Translate
		if left && was.stage == 2 {
			return
		}
		now.twice = was.twice || was.place > 0 && !sealed
		jobs[f.Name.ID] = now
	})
	if err != nil {
		return nil, nil, err
	}
	var suspects []string
	depths := map[spot]depthOf{}
	for id, at := range jobs {
		if at.place == 0 || at.twice {
			suspects = append(suspects, id)
		}
		if at.place == 0 {
			continue
		}
		place := places[at.place-1]
		c.places[place]++
		if place != spool.PlaceDone && place != spool.PlaceHandedOver {
			at.twice = false
			d := depths[at]
			d.jobs++
			if id[14] == '7' && (d.oldest == "" || id < d.oldest) {
				d.oldest = id
			}
			depths[at] = d
		}
		if place == spool.PlaceWaiting {
			c.waiting[stages[at.stage-1]]++
		}
	}
	slices.Sort(suspects)
	for at, d := range depths {
		d.place = places[at.place-1]
		if d.stage = spool.Ingest; at.stage > 0 {
			d.stage = stages[at.stage-1]
		}
		c.depths = append(c.depths, d)
	}
	return c, suspects, nil
}
