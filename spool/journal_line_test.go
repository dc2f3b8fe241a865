package spool

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"
)

// FuzzEventLine: a line is what encoding/json would have made of the event.
func FuzzEventLine(f *testing.F) {
	f.Add("host", "accepted", "a \"b\" <c> & \u2028 \xff\n", "", uint64(1), 0, 0.25, int64(1))
	f.Add("", "", "~ \x7f ü", "x\\y", uint64(math.MaxUint64), -3, 1e-7, int64(-62135596800))
	f.Add("a", "done", "", "4711", uint64(0), math.MaxInt, 1e21, int64(1<<40))
	f.Fuzz(func(t *testing.T, host, event, detail, cluster string, n uint64, gen int, seconds float64, nanos int64) {
		at := time.Unix(0, nanos).UTC()
		if math.IsNaN(seconds) || math.IsInf(seconds, 0) {
			t.Skip("no duration is that long")
		}
		ev := Event{Time: at, N: n, Host: host, Epoch: n, Event: event, Job: cluster, Stage: Stage(event), Token: host, Gen: gen, Faults: gen,
			Cluster: cluster, Result: detail, Detail: detail, Seconds: seconds, Version: cluster, Config: host, Prev: detail, Chain: event}
		want, err := json.Marshal(ev)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendEvent(nil, &ev); string(got) != string(want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

// TestEventLineWhole: no field was forgotten.
func TestEventLineWhole(t *testing.T) {
	var ev Event
	v := reflect.ValueOf(&ev).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString("x")
		case reflect.Int:
			f.SetInt(7)
		case reflect.Uint64:
			f.SetUint(8)
		case reflect.Float64:
			f.SetFloat(1.5)
		}
	}
	ev.Time = time.Unix(1, 2).UTC()
	want, err := json.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	if got := appendEvent(nil, &ev); string(got) != string(want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
