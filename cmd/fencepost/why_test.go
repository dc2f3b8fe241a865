package main

import (
	"strings"
	"testing"
	"time"

	"fencepost/spool"
)

// whyCase is a job and its surroundings, and what why says of them.
type whyCase struct {
	name    string
	change  func(*whyFacts)
	gates   string // "gate word", in order
	moves   bool
	verdict string // a part of it
	next    string // its beginning
}

const whyJob = "01900000-0000-7000-8000-00000000000c"

// wellFacts is a job that waits for submit on a spool on which all is well.
func wellFacts() *whyFacts {
	at := spool.Found{Name: spool.Name{Stage: spool.Submit, ID: whyJob, Ext: "json"}, Place: spool.PlaceWaiting, Path: "json/" + whyJob + ".json"}
	return &whyFacts{id: whyJob, at: &at, exit: exitFree, limits: spool.DefaultLimits(), now: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC),
		hosts: []hostDoc{
			{Host: "a", State: "live", Epoch: 3, Stages: []string{"submit"}, Hand: 2},
			{Host: "b", State: "live", Epoch: 1, Stages: []string{"translate", "submit"}},
			{Host: "c", State: "stopped", Epoch: 9, Stages: []string{"ingest"}},
		}}
}

// hand puts the job into a host's hands.
func (f *whyFacts) hand(place spool.Place, host string, epoch uint64, cluster string) {
	f.at.Place, f.at.Name.Host, f.at.Name.Epoch, f.at.Name.Cluster = place, host, epoch, cluster
	f.at.Path = "there"
}

// happened adds an event, so long ago.
func (f *whyFacts) happened(event string, gen int, ago time.Duration, detail string) {
	f.events = append(f.events, spool.Event{Event: event, Host: "b", Epoch: 1, Gen: gen, Time: f.now.Add(-ago), Job: whyJob, Stage: spool.Submit, Detail: detail})
}

// Each gate is stopped once, in its order, with nothing else changed: the gates
// after it are still shown, and the sentence names the first.
//
//nolint:funlen // a table
func TestWhyGates(t *testing.T) {
	const (
		before = "accepted pass, on disk pass, "
		job    = before + "not set aside pass, no request pass, tries left pass, exit gate pass, "
		all    = job + "a host pass, alive pass, not draining pass, fit pass, "
	)
	for _, c := range []whyCase{
		{"all is well", func(*whyFacts) {}, all + "its turn wait", true, "a (2 in hand) or b (0 in hand) takes it", ""},
		{"nowhere", func(f *whyFacts) { f.at, f.lastSeen = nil, "last seen waiting in json/" }, "accepted pass, on disk stop", false, "last seen waiting in json/", "fencepost audit"},
		{"held", func(f *whyFacts) { f.at.Place = spool.PlaceHeld; f.happened(spool.EvHeld, 0, time.Minute, "disk full") },
			before + "not held stop", false, "disk full", "fencepost release " + whyJob},
		{"parked", func(f *whyFacts) { f.at.Place = spool.PlaceParked }, before + "not parked stop", false, "a person decides", "fencepost unpark"},
		{"failed", func(f *whyFacts) { f.at.Place = spool.PlaceFailed }, before + "not failed stop", false, "it failed", "fencepost retry"},
		{"done", func(f *whyFacts) { f.hand(spool.PlaceDone, "a", 3, "17") }, before + "no request pass, finished pass", true, "cluster id 17", ""},
		{"a hold was asked for", func(f *whyFacts) { f.asked = []string{spool.RequestHold} },
			strings.Replace(all, "no request pass", "no request stop", 1) + "its turn wait", false, "asked to hold it", "fencepost release"},
		{"a copy", func(f *whyFacts) { f.exit = exitOther }, strings.Replace(all, "exit gate pass", "exit gate stop", 1) + "its turn wait", false, "this one is a copy", "fencepost trace"},
		{"nobody serves the stage", func(f *whyFacts) { f.hosts = f.hosts[2:] }, job + "a host stop", false, "no host serves submit", "start one"},
		{"nobody lives", func(f *whyFacts) {
			f.hosts[0].State, f.hosts[1].State, f.hosts[1].Reason = "silent", "fenced", "by ops: repair"
		},
			job + "a host pass, alive stop", false, "no live host takes submit; a is silent: no reason known; b is fenced: by ops: repair", "fencepost hosts"},
		{"all drain", func(f *whyFacts) { f.hosts[0].Draining, f.hosts[1].Draining = true, true },
			job + "a host pass, alive pass, not draining stop", false, "a is draining; b is draining", "fencepost resume"},
		{"nobody is fit", func(f *whyFacts) {
			for i := range 2 {
				f.hosts[i].State, f.hosts[i].Unfit, f.hosts[i].Reason = "unfit", []string{"submit"}, "submit: no sbatch"
			}
		}, job + "a host pass, alive pass, not draining pass, fit stop", false, "a is unfit: submit: no sbatch", "fencepost hosts"},
		{"one is unfit", func(f *whyFacts) { f.hosts[0].State, f.hosts[0].Unfit = "unfit", []string{"submit"} }, all + "its turn wait", true, "b (0 in hand) takes it", ""},
		{"it came back just now", func(f *whyFacts) {
			f.at.Name.Gen = 3
			f.happened(spool.EvReturned, 3, time.Second, "unavailable: slurm is down")
		},
			all + "back-off wait, its turn wait", true, "unavailable: slurm is down", ""},
		{"it came back long ago", func(f *whyFacts) { f.at.Name.Gen = 3; f.happened(spool.EvReturned, 3, time.Hour, "slurm is down") },
			all + "back-off pass, its turn wait", true, "takes it as soon as it has a free hand; it came back 3 times, the last time because: slurm is down", ""},
		{"claimed", func(f *whyFacts) { f.hand(spool.PlaceClaimed, "a", 3, "") },
			before + "not set aside pass, no request pass, its host pass, worked on wait", true, "claimed by host a", ""},
		{"claimed by an earlier instance", func(f *whyFacts) { f.hand(spool.PlaceClaimed, "a", 2, "") },
			before + "not set aside pass, no request pass, its host wait, worked on wait", true, "epoch 3 now", ""},
		{"claimed by the dead", func(f *whyFacts) { f.hand(spool.PlaceClaimed, "c", 9, "") },
			before + "not set aside pass, no request pass, its host wait, worked on wait", true, "another host takes it back", ""},
		{"all are dead", func(f *whyFacts) {
			f.hand(spool.PlaceClaimed, "a", 3, "")
			f.hosts[0].State, f.hosts[1].State = "silent", "silent"
		}, before + "not set aside pass, no request pass, its host stop, worked on wait", false, "no other host lives", "start a host"},
		{"sealed without an id", func(f *whyFacts) { f.hand(spool.PlaceSealed, "a", 3, "") },
			before + "not set aside pass, no request pass, its host pass, sealed pass, submitted wait", true, "sealed first", ""},
		{"held at the cluster", func(f *whyFacts) { f.hand(spool.PlaceSealed, "a", 3, "17") },
			before + "not set aside pass, no request pass, its host pass, sealed pass, submitted pass, released wait", true, "held at the cluster", ""},
		{"released", func(f *whyFacts) {
			f.hand(spool.PlaceSealed, "a", 3, "17")
			f.happened(spool.EvReleased, 0, time.Second, "")
		},
			before + "not set aside pass, no request pass, its host pass, sealed pass, submitted pass, released pass, confirmed wait", true, "two complete listings", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := wellFacts()
			c.change(f)
			d := &whyDoc{Gates: f.gates()}
			if f.at != nil {
				d.State = string(f.at.Place)
			}
			d.conclude()
			var got []string
			for _, g := range d.Gates {
				got = append(got, g.Gate+" "+g.word())
			}
			if text := strings.Join(got, ", "); text != c.gates {
				t.Errorf("gates: got\n%s\nwant\n%s", text, c.gates)
			}
			if d.Moves != c.moves || !strings.Contains(d.Verdict, c.verdict) || !strings.HasPrefix(d.Next, c.next) || c.next == "" && d.Next != "" {
				t.Errorf("got moves %t, %q (%s), want %t, %q (%s...)", d.Moves, d.Verdict, d.Next, c.moves, c.verdict, c.next)
			}
		})
	}
}
