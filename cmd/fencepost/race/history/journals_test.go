package history_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fencepost/cmd/fencepost/race/history"
	"fencepost/spool"
)

const job = "01890a5d-ac96-774b-bcce-b302099a8057"

func at(seconds float64) time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

// takeover: a accepts and claims, dies; b takes the job back and finishes it.
// b's clock is off by skew seconds.
func takeover(skew float64) []spool.Event {
	return []spool.Event{
		{Time: at(skew + 32), N: 1, Host: "b", Epoch: 1, Event: "reclaim", Token: "a/1", Result: "its record stood still"},
		{Time: at(skew + 35), N: 4, Host: "b", Epoch: 1, Event: spool.EvPublished, Job: job, Stage: spool.Translate, Token: "b/1/7", Gen: 1},
		{Time: at(skew + 34), N: 3, Host: "b", Epoch: 1, Event: spool.EvSealed, Job: job, Stage: spool.Translate, Token: "b/1/7", Gen: 1},
		{Time: at(skew + 33), N: 2, Host: "b", Epoch: 1, Event: spool.EvClaimed, Job: job, Stage: spool.Translate, Token: "b/1/7", Gen: 1},
		{Time: at(skew + 31), N: 0, Host: "b", Epoch: 1, Event: spool.EvReclaimed, Job: job, Stage: spool.Translate, Token: "a/1/4", Gen: 1},
		{Time: at(0), N: 1, Host: "a", Epoch: 1, Event: "ready"},
		{Time: at(1), N: 2, Host: "a", Epoch: 1, Event: spool.EvAccepted, Job: job, Stage: spool.Ingest},
		{Time: at(2), N: 3, Host: "a", Epoch: 1, Event: spool.EvClaimed, Job: job, Stage: spool.Translate, Token: "a/1/4"},
	}
}

func lines(h []history.Event) string {
	var b strings.Builder
	for _, e := range h {
		fmt.Fprintf(&b, "%v %s %s %s %s call %d %s\n", time.Duration(e.T), e.Kind, e.Host, e.Proc, e.Op, e.Call, e.Err)
	}
	return b.String()
}

func TestFromJournals(t *testing.T) {
	want := `0s note a a/1 ready call 0 
1s job a a/1 accepted call 0 
2s call a a/1 translate call 1 
2s job a a/1 claimed call 0 
31s job b b/1 reclaimed call 0 
32s fault b b/1 reclaim call 0 
33s call b b/1 translate call 2 
33s job b b/1 claimed call 0 
34s effect b b/1 translate call 2 
34s job b b/1 sealed call 0 
35s job b b/1 published call 0 
35s answer b b/1 translate call 2 
`
	if got := lines(history.FromJournals(takeover(0))); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if got := history.FromJournals(nil); got != nil {
		t.Errorf("of nothing: got %v", got)
	}
	var b strings.Builder
	if err := history.Write(&b, history.FromJournals(takeover(-100))); err != nil {
		t.Error(err)
	}
}

// A clock that is behind moves its lane, and a note says so; one that is ahead
// contradicts nothing.
func TestFromJournalsClocks(t *testing.T) {
	order := func(h []history.Event) (out []string) {
		for _, e := range h {
			if e.Kind == history.Job {
				out = append(out, e.Op)
			}
		}
		return out
	}
	want := order(history.FromJournals(takeover(0)))
	for _, skew := range []float64{-3600, -40, 40, 3600} {
		h := history.FromJournals(takeover(skew))
		if got := order(h); !slices.Equal(got, want) {
			t.Errorf("clock off by %v s: got %v, want %v", skew, got, want)
		}
		said := h[0].Kind == history.Note && h[0].Op == "clock" && h[0].Host == "b"
		if said != (skew < 0) {
			t.Errorf("clock off by %v s: got %+v first", skew, h[0])
		}
		if skew == -3600 && !strings.Contains(h[0].Text, "59m31s later") {
			t.Errorf("got %q, want 59m31s", h[0].Text)
		}
		if skew == -3600 && h[len(h)-1].T > int64(40*time.Second) {
			t.Errorf("the last event is at %v", time.Duration(h[len(h)-1].T))
		}
	}
	if h := history.FromJournals(takeover(-29.5)); h[0].Op == "clock" {
		t.Errorf("half a second is noise: got %+v", h[0])
	}
}

// What a command did stands in the lane of its host; a lost seal is the answer's
// error; what the audit misses is a violation.
func TestFromJournalsKinds(t *testing.T) {
	h := history.FromJournals([]spool.Event{
		{Time: at(0), N: 1, Host: "a", Epoch: 3, Event: spool.EvClaimed, Job: job, Stage: spool.Submit, Token: "a/3/9"},
		{Time: at(1), N: 2, Host: "a", Epoch: 3, Event: spool.EvSubmitted, Job: job, Stage: spool.Submit, Token: "a/3/9", Cluster: "4711"},
		{Time: at(2), N: 3, Host: "a", Epoch: 3, Event: spool.EvLost, Job: job, Stage: spool.Submit, Token: "a/3/9"},
		{Time: at(3), N: 1, Host: "a~cmd", Event: spool.EvHeld, Job: job, Stage: spool.Submit, Result: "by p"},
		{Time: at(4), N: 4, Host: "a", Epoch: 3, Event: spool.EvVanished, Job: job, Stage: spool.Submit},
	})
	want := `0s call a a/3 submit call 1 
0s job a a/3 claimed call 0 
1s job a a/3 submitted call 0 
2s job a a/3 lost call 0 
2s answer a a/3 submit call 1 lost
3s job a a~cmd held call 0 
4s violation a a/3 vanished call 0 
`
	if got := lines(h); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if got := h[2].Text; got != "cluster id 4711, token a/3/9" {
		t.Errorf("text: got %q", got)
	}
}

// An end that another instance wrote is no answer: the owner never had one.
func TestFromJournalsEndedByAnother(t *testing.T) {
	h := history.FromJournals([]spool.Event{
		{Time: at(0), N: 1, Host: "a", Epoch: 3, Event: spool.EvClaimed, Job: job, Stage: spool.Submit, Token: "a/3/9"},
		{Time: at(60), N: 1, Host: "b", Epoch: 1, Event: spool.EvParked, Job: job, Stage: spool.Submit, Token: "a/3/9"},
	})
	want := `0s call a a/3 submit call 1 
0s job a a/3 claimed call 0 
1m0s job b b/1 parked call 0 
`
	if got := lines(h); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// On one machine nothing is moved, and what was seen from outside stands between
// what the hosts noted.
func TestFromMachine(t *testing.T) {
	h := history.FromMachine(takeover(-40), []history.Seen{
		{At: at(-20), For: 5 * time.Second, Event: history.Event{Kind: history.Fault, Host: "a", Op: "kill"}},
		{At: at(3), Event: history.Event{Kind: history.Note, Host: "cluster", Op: "start"}}})
	want := `0s fault a  kill call 0 
11s job b b/1 reclaimed call 0 
12s fault b b/1 reclaim call 0 
13s call b b/1 translate call 1 
13s job b b/1 claimed call 0 
14s effect b b/1 translate call 1 
14s job b b/1 sealed call 0 
15s job b b/1 published call 0 
15s answer b b/1 translate call 1 
20s note a a/1 ready call 0 
21s job a a/1 accepted call 0 
22s call a a/1 translate call 2 
22s job a a/1 claimed call 0 
23s note cluster  start call 0 
`
	if got := lines(h); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if h[0].Until != int64(5*time.Second) {
		t.Errorf("the fault ends at %v", time.Duration(h[0].Until))
	}
}
