package race_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"fencepost/cmd/fencepost/race"
	"fencepost/spool/env/drill"
)

// TestTapes replays the tape of each seeded bug, shrunk: with the bug it breaks
// the promise that it broke when it was found, and as shipped it breaks none.
func TestTapes(t *testing.T) {
	for _, b := range drill.Bugs() {
		if b.Layer {
			continue
		}
		t.Run(string(b.Bug), func(t *testing.T) {
			t.Parallel()
			tape := readTape(t, filepath.Join("testdata", "bugs", string(b.Bug)+".tape"))
			if !slices.Contains(tape.Options.Bugs, b.Bug) {
				t.Fatalf("the tape is of %v", tape.Options.Bugs)
			}
			res := race.Run(tape.Options)
			if v := res.Violation; v == nil || string(v.Class)+" "+v.Kind != tape.Violation {
				t.Errorf("with the bug: got %v, want %s", v, tape.Violation)
			}
			o := tape.Options
			o.Bugs = nil
			if v := race.Run(o).Violation; v != nil {
				t.Errorf("as shipped: %v\n%s", v, v.Detail)
			}
		})
	}
}

func readTape(t *testing.T, name string) race.Tape {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	tape, err := race.ReadTape(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return tape
}

// TestFreshSeeds runs seeds that nobody has run, for a few seconds.
func TestFreshSeeds(t *testing.T) {
	var b [4]byte
	_, _ = rand.Read(b[:])
	c := race.Campaign{Options: race.Defaults(), From: uint64(binary.LittleEndian.Uint32(b[:])), Workers: runtime.GOMAXPROCS(0),
		Budget: 5 * time.Second, TwiceEvery: 16}
	c.To = c.From + 1<<20
	s := c.Run(t.Context())
	t.Log(c.Verdict(s))
	if code := c.Code(s); code != race.ExitPass {
		for _, bad := range s.Bad {
			t.Errorf("seed %d: %v\n%s", bad.Options.Seed, bad.Violation, strings.Join(race.Explain(again(bad)), "\n"))
		}
		t.Errorf("exit code %d", code)
	}
}

// again makes a run once more, with its history.
func again(res *race.Result) *race.Result {
	o := res.Options
	o.Record = true
	return race.Run(o)
}

// TestSameTapeSameRun: by seed, by its own tape, recorded or not.
func TestSameTapeSameRun(t *testing.T) {
	for seed := range uint64(12) {
		o := race.Defaults()
		o.Seed = seed
		first := race.Run(o)
		replay := first.Options
		replay.Replay, replay.Tape, replay.Record = true, first.Entries, true
		for _, other := range []race.Options{o, replay} {
			if res := race.Run(other); res.Hash != first.Hash || res.Steps != first.Steps {
				t.Errorf("seed %d: hash %x after %d steps, then %x after %d", seed, first.Hash, first.Steps, res.Hash, res.Steps)
			}
		}
	}
}

// TestGateCanGoRed: a campaign on a broken protocol fails, shrinks, explains,
// and its tape survives the way through a file.
func TestGateCanGoRed(t *testing.T) {
	o := race.Defaults()
	o.Bugs = []drill.Bug{drill.RetireFirst}
	c := race.Campaign{Options: o, From: 1, To: 50, Workers: 2}
	s := c.Run(t.Context())
	if c.Code(s) != race.ExitSafety || len(s.Bad) == 0 || !strings.HasPrefix(c.Verdict(s), "FAIL (safety)") {
		t.Fatalf("%s", c.Verdict(s))
	}
	small := race.Shrink(s.Bad[0], 10*time.Second)
	if len(small.Entries) >= len(s.Bad[0].Entries) || small.Violation.Kind != s.Bad[0].Violation.Kind {
		t.Errorf("shrunk from %d to %d entries, %v", len(s.Bad[0].Entries), len(small.Entries), small.Violation)
	}
	var b bytes.Buffer
	if err := race.WriteTape(&b, small); err != nil {
		t.Fatal(err)
	}
	tape, err := race.ReadTape(&b)
	if err != nil {
		t.Fatal(err)
	}
	tape.Options.Record = true
	res := race.Run(tape.Options)
	if res.Hash != tape.Hash {
		t.Errorf("the tape's hash is %x, its run's %x", tape.Hash, res.Hash)
	}
	words := strings.Join(race.Explain(res), "\n")
	for _, want := range []string{"JOB is 0192", "remove sealed/", "VIOLATION (safety, lost)"} {
		if !strings.Contains(words, want) {
			t.Errorf("the explanation lacks %q:\n%s", want, words)
		}
	}
}

// TestLegacyLosesJobs: the story's service fails at once.
func TestLegacyLosesJobs(t *testing.T) {
	o := race.Defaults()
	o.Protocol = race.ProtocolLegacy
	c := race.Campaign{Options: o, From: 1, To: 20, Workers: 2, KeepGoing: 100}
	s := c.Run(t.Context())
	kinds := race.Counts{}
	for _, b := range s.Bad {
		kinds[b.Violation.Kind]++
	}
	if len(s.Bad) < 15 || kinds["lost"] == 0 || kinds["twice"] == 0 {
		t.Errorf("%d of 20 broke a promise: %v", len(s.Bad), kinds)
	}
}

// TestManyHosts: more than the default, and one.
func TestManyHosts(t *testing.T) {
	for _, o := range []race.Options{{Hosts: 1, Jobs: 3}, {Hosts: 8, Jobs: 20}} {
		o.Faults, o.Protocol, o.Seed = race.AllFaults(), race.ProtocolFencepost, 5
		if res := race.Run(o); res.Violation != nil || res.Accepted < o.Jobs-res.Stolen {
			t.Errorf("%d hosts: %v, %d accepted", o.Hosts, res.Violation, res.Accepted)
		}
	}
}

func TestParseFaults(t *testing.T) {
	for list, want := range map[string]int{"all": len(race.AllFaults()), "none": 0, "kill,cut": 2, "-kill": len(race.AllFaults()) - 1, "all,-kill -cut": len(race.AllFaults()) - 2} {
		got, err := race.ParseFaults(list)
		if err != nil || len(got) != want {
			t.Errorf("%q: %d, %v", list, len(got), err)
		}
	}
	if _, err := race.ParseFaults("kil"); err == nil || !strings.Contains(err.Error(), "kill") {
		t.Errorf("got %v", err)
	}
	for _, b := range drill.Bugs() {
		if _, err := race.ParseFaults(b.Focus); err != nil {
			t.Errorf("%s: %v", b.Bug, err)
		}
		for _, with := range b.With {
			if !drill.Known(with) {
				t.Errorf("%s: unknown %s", b.Bug, with)
			}
		}
	}
}

func TestReadTapeRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"": "0 hosts", "tape\n": "not a tape", "fencepost-tape 1\nseed x\n": "line 2", "fencepost-tape 1\nhosts 3\njobs 1\nprotocol fencepost\na b\n": "line 5",
		"fencepost-tape 1\nbugs none-such\n": "unknown seeded bug", "fencepost-tape 1\nhosts 3\njobs 1\nprotocol x\n": "protocol",
	} {
		if _, err := race.ReadTape(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

// BenchmarkRun makes one run of the default mix after the other. A step is a
// turn of a task, or an effect.
func BenchmarkRun(b *testing.B) {
	var steps uint64
	seed := uint64(1)
	b.ReportAllocs()
	for b.Loop() {
		o := race.Defaults()
		o.Seed = seed
		seed++
		steps += race.Run(o).Steps
	}
	b.ReportMetric(float64(steps)/b.Elapsed().Seconds(), "steps/s")
	b.ReportMetric(float64(steps)/float64(b.N), "steps/run")
}
