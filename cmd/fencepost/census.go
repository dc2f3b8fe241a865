package main

import (
	"context"
	"fmt"
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
	ended    map[string]int // by host: final records
	hand     []spool.Found  // claims and sealed files, handMost at most
	depths   []depthOf      // of what is on its way
	day      dayDoc         // of the ids that are younger than a day
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
	ages   [ageCount]int // by class, see ageClasses; the last = unknown
}

// day is what status looks back.
const day = 24 * time.Hour

// handMost bounds what is kept of the jobs in hand: more is a crowd.
const handMost = 1000

// dayDoc is what became of the jobs of the last 24 hours, by the times in their ids.
type dayDoc struct {
	Accepted int `json:"accepted"`
	Done     int `json:"done"`
	Failed   int `json:"failed"`
	Parked   int `json:"parked"`
	Held     int `json:"held"`
	OnTheWay int `json:"on_the_way"`
	Vanished int `json:"vanished"`
}

// count counts one job; place is "" for one that is nowhere.
func (d *dayDoc) count(place spool.Place) {
	d.Accepted++
	switch place {
	case spool.PlaceDone, spool.PlaceHandedOver:
		d.Done++
	case spool.PlaceFailed:
		d.Failed++
	case spool.PlaceParked:
		d.Parked++
	case spool.PlaceHeld:
		d.Held++
	case "":
		d.Vanished++
	default:
		d.OnTheWay++
	}
}

// settle counts as vanished what an audit says; the other suspects had only moved.
func (d *dayDoc) settle(vanished []string, now time.Time) {
	today, n := idAt(now.Add(-day)), 0
	for _, id := range vanished {
		if id[14] == '7' && id >= today {
			n++
		}
	}
	d.OnTheWay += d.Vanished - n
	d.Vanished = n
}

// spot is where a job was seen: small, since there may be a million.
type spot struct {
	place uint8 // index of spool.Places, plus one; 0 = at the gate only
	stage uint8
	twice bool
}

// settled is what an audit said of jobs that were nowhere or twice. Who looks
// again and again keeps it: a job that vanished stays so for long, and an audit
// with looks that are apart takes seconds.
type settled struct{ vanished, doubled []string }

// has returns those of some suspects that an audit has spoken about; ok is false
// if it hasn't of all of them.
func (k *settled) has(suspects []string) (vanished, doubled []string, ok bool) {
	for _, id := range suspects {
		switch {
		case slices.Contains(k.vanished, id):
			vanished = append(vanished, id)
		case slices.Contains(k.doubled, id):
			doubled = append(doubled, id)
		default:
			return nil, nil, false
		}
	}
	return vanished, doubled, true
}

// takeCensus looks once. Jobs that seem to be nowhere or twice have mostly moved
// meanwhile: a second look clears them; what is left is left to an audit with
// looks that are apart, unless known has it from the last time.
func takeCensus(ctx context.Context, s *share, apart time.Duration, known *settled) (*census, error) {
	c, suspects, err := countOnce(s)
	if err != nil || len(suspects) == 0 {
		return c, err
	}
	_, again, err := countOnce(s)
	if err != nil {
		return nil, err
	}
	still := slices.DeleteFunc(suspects, func(id string) bool {
		_, found := slices.BinarySearch(again, id)
		return !found
	})
	ok := false
	if c.vanished, c.doubled, ok = known.has(still); !ok {
		b, err := s.Audit(ctx, apart)
		if err != nil {
			return nil, err
		}
		c.vanished, c.doubled = b.Vanished, b.Duplicated
	}
	known.vanished, known.doubled = c.vanished, c.doubled
	c.day.settle(c.vanished, s.Env.Wall())
	return c, nil
}

// countOnce looks once; the suspects it returns are sorted.
func countOnce(s *share) (*census, []string, error) {
	c := &census{waiting: map[spool.Stage]int{}, places: map[spool.Place]int{}, claims: map[string]int{}, ended: map[string]int{}}
	jobs, err := c.list(s)
	if err != nil {
		return nil, nil, err
	}
	return c, c.sum(jobs, s.Env.Wall()), nil
}

// list notes where each job is.
func (c *census) list(s *share) (map[string]spot, error) {
	places, stages := spool.Places(), spool.Stages()
	jobs := map[string]spot{}
	if err := s.Accepted(func(id string) { jobs[id] = spot{} }); err != nil {
		return nil, err
	}
	c.accepted = len(jobs)
	return jobs, s.Scan(func(f spool.Found) {
		switch f.Place {
		case spool.PlaceClaimed, spool.PlaceSealed:
			c.claims[f.Name.Host]++
			if len(c.hand) < handMost {
				c.hand = append(c.hand, f)
			}
		case spool.PlaceDone, spool.PlaceHandedOver:
			c.ended[f.Name.Host]++
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
		if left {
			if _, err := s.FS.Identify(spool.StageGatePath(spool.Submit, f.Name.ID)); err == nil {
				return // or nowhere
			}
		}
		now.twice = was.twice || was.place > 0 && !sealed
		jobs[f.Name.ID] = now
	})
}

// sum counts the jobs of a list, and returns those that are nowhere or twice.
func (c *census) sum(jobs map[string]spot, now time.Time) (suspects []string) {
	places, stages := spool.Places(), spool.Stages()
	today := idAt(now.Add(-day))
	depths := map[spot]depthOf{}
	for id, at := range jobs {
		if at.place == 0 || at.twice {
			suspects = append(suspects, id)
		}
		place := spool.Place("")
		if at.place > 0 {
			place = places[at.place-1]
		}
		if id[14] == '7' && id >= today {
			c.day.count(place)
		}
		if place == "" {
			continue
		}
		c.places[place]++
		if place != spool.PlaceDone && place != spool.PlaceHandedOver {
			at.twice = false
			d := depths[at]
			d.jobs++
			d.ages[ageClass(id, now)]++
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
	return suspects
}

// idAt is the least UUIDv7 of a moment.
func idAt(t time.Time) string {
	hex := fmt.Sprintf("%012x", max(t.UnixMilli(), 0))
	return hex[:8] + "-" + hex[8:] + "-7"
}
