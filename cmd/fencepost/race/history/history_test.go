package history_test

import (
	"reflect"
	"strings"
	"testing"

	"fencepost/cmd/fencepost/race/history"
)

func TestWriteRead(t *testing.T) {
	h := []history.Event{
		{T: 0, Kind: history.Call, Host: "a", Proc: "a/2", Task: "translate x", Call: 7, Op: "rename", From: "xml/<x>.xml", To: "claims/a/2/y", Job: "x"},
		{T: 5, Kind: history.Effect, Host: "a", Call: 7, Err: "ENOENT"},
		{T: 5, Kind: history.Fault, Op: "cut", Until: 5, Text: "line\nbreak"},
		{T: 1 << 60, Kind: history.Violation, Job: "x", Text: "lost"},
	}
	var b strings.Builder
	if err := history.Write(&b, h); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(b.String(), "\n"); got != len(h) {
		t.Errorf("lines: got %d, want %d", got, len(h))
	}
	got, err := history.Read(strings.NewReader("\n" + b.String() + "  \n"))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, h) {
		t.Errorf("got  %+v\nwant %+v", got, h)
	}
}

func TestReadNamesTheLine(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"no JSON":         {"hello", "line 2: invalid character"},
		"wrong type":      {`{"t":"x","kind":"note"}`, "line 2: json: cannot unmarshal string"},
		"no kind":         {`{"t":1}`, `line 2: kind "": want one of call, effect`},
		"unknown kind":    {`{"t":1,"kind":"x"}`, `line 2: kind "x"`},
		"before start":    {`{"t":-1,"kind":"note"}`, "line 2: t -1: before the start"},
		"ends too early":  {`{"t":5,"kind":"fault","until":4}`, "line 2: until 4: before t 5"},
		"lasts, no fault": {`{"t":5,"kind":"note","until":6}`, "line 2: until: only a fault"},
		"joins nothing":   {`{"t":5,"kind":"answer"}`, "line 2: answer without a number"},
		"negative call":   {`{"t":5,"kind":"answer","call":-3}`, "line 2: call -3: negative"},
		"too long":        {`{"kind":"note","text":"` + strings.Repeat("x", 1<<20) + `"}`, "line 2: bufio.Scanner: token too long"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := history.Read(strings.NewReader("{\"t\":0,\"kind\":\"note\",\"later\":1}\n" + c.text + "\n"))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestWriteRefuses(t *testing.T) {
	err := history.Write(&strings.Builder{}, []history.Event{{Kind: history.Note}, {Kind: "x"}})
	if err == nil || !strings.Contains(err.Error(), "event 2") {
		t.Errorf("got %v, want an error that names event 2", err)
	}
}
