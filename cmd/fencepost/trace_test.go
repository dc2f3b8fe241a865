package main

import (
	"strings"
	"testing"
)

// Who took a job is told by the claims' tokens: also of a host that was killed
// before its journal was on the share.
func TestTaken(t *testing.T) {
	d := &traceDoc{Events: []traceEvent{
		{Time: "T1", Host: "a", Epoch: 1, Stage: "ingest", Event: "accepted", Token: "a/1/1"},
		{Time: "T2", Host: "a", Epoch: 1, Stage: "translate", Event: "claimed", Token: "a/1/2"},
		{Time: "T3", Host: "a", Epoch: 1, Stage: "translate", Event: "published", Token: "a/1/2"},
		{Time: "T4", Host: "b", Epoch: 7, Stage: "submit", Event: "reclaimed", Token: "c/3/9"},
		{Time: "T5", Host: "b", Epoch: 7, Stage: "submit", Event: "claimed", Token: "b/7/1"},
		{Time: "T6", Host: "a", Epoch: 1, Stage: "submit", Event: "parked", Token: "b/7/1"},
		{Time: "T7", Host: "ops~cmd", Stage: "submit", Event: "unparked"},
		{Time: "T8", Host: "a", Epoch: 1, Stage: "submit", Event: "claimed", Token: "a/1/3"},
	}}
	got := strings.Join(d.taken(), "\n")
	want := strings.Join([]string{
		"for translate by host a epoch 1 at T2, published at T3",
		"for submit by host c epoch 3, when isn't known: its journal doesn't have it, reclaimed by host b epoch 7 at T4",
		"for submit by host b epoch 7 at T5, parked by host a epoch 1 at T6",
		"for submit by host a epoch 1 at T8, nothing since",
	}, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
