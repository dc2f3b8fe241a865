package batch_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fencepost/cmd/fencepost/client"
	"fencepost/cmd/fencepost/client/batch"
	"fencepost/codec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sender answers from functions.
type sender struct {
	send  func(ctx context.Context, id string, j codec.Job) (client.Result, error)
	query func(ctx context.Context, id string) (codec.State, error)
}

func (s sender) Send(ctx context.Context, id string, j codec.Job) (client.Result, error) {
	return s.send(ctx, id, j)
}
func (s sender) Query(ctx context.Context, id string) (codec.State, error) { return s.query(ctx, id) }

const good = `{"name":"n%d","command":["x"]}`

func TestDocs(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	one := write("one", "\n{\n \"name\": \"a\",\n \"script\": \"#!/bin/sh\\n\"}\n")
	two := write("two", "{\"name\":\"a\",\"command\":[\"x\"]}\n{\"name\":\"b\",\"command\":[\"x\"]}\n")
	long := strings.Repeat(" ", codec.MaxDocument+10)
	stdin := "\n" + `{"name":"a","command":["x"],"id":"01902D5A-7B3C-7DEF-8123-456789ABCDEF"}` + "\r\n\t\n" + `{"name":}` + "\n" + long + "\n" + `{"name":"z","command":["x"]}`
	for _, c := range []struct {
		src  batch.Source
		want []string
	}{
		{batch.Source{Files: []string{one, filepath.Join(dir, "no"), one}}, []string{"one:1 a ", "no:1 ENOENT", "one:1 a "}},
		{batch.Source{Files: []string{two}}, []string{"two:1 bad 2:1 (a document a line? --jsonl)"}},
		{batch.Source{Files: []string{two, two}, Lines: true}, []string{"two:1 a ", "two:2 b ", "two:1 a ", "two:2 b "}},
		{batch.Source{Files: []string{"-"}, Lines: true},
			[]string{"-:2 a 01902d5a-7b3c-7def-8123-456789abcdef", "-:4 bad 4:9", "-:5 bad 5:0", "-:6 z "}},
		{batch.Source{Files: []string{"-"}}, []string{"-:1 bad"}},
	} {
		c.src.Stdin = strings.NewReader(stdin)
		var got []string
		for d := range c.src.Docs() {
			line := fmt.Sprintf("%s:%d ", filepath.Base(d.File), d.Line)
			var bad *batch.BadDocument
			switch {
			case errors.As(d.Err, &bad):
				line += fmt.Sprintf("bad %d:%d", bad.Line, bad.Column)
				if _, hint, ok := strings.Cut(bad.Reason, " ("); ok {
					line += " (" + hint
				}
			case errors.Is(d.Err, fs.ErrNotExist):
				line += "ENOENT"
			default:
				line += d.Job.Name + " " + d.ID
			}
			got = append(got, line)
		}
		ok := len(got) == len(c.want)
		for i := range c.want {
			ok = ok && strings.HasPrefix(got[i], c.want[i])
		}
		if !ok {
			t.Errorf("%v:\ngot  %q\nwant %q", c.src.Files, got, c.want)
		}
	}
}

func lines(n int) batch.Source {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, good+"\n", i)
	}
	return batch.Source{Files: []string{"-"}, Lines: true, Stdin: strings.NewReader(b.String())}
}

func TestSendOrder(t *testing.T) {
	var mu sync.Mutex
	running, most := 0, 0
	ids := map[string]string{}
	s := sender{send: func(_ context.Context, id string, j codec.Job) (client.Result, error) {
		mu.Lock()
		running++
		most = max(most, running)
		ids[j.Name] = id
		mu.Unlock()
		time.Sleep(rand.N(3 * time.Millisecond))
		mu.Lock()
		running--
		mu.Unlock()
		if j.Name == "n7" {
			return client.Result{}, errors.New("no")
		}
		return client.Result{ID: id, Host: "a"}, nil
	}}
	n := 0
	batch.Send(context.Background(), s, lines(300).Docs(), 8, func(o batch.Outcome) {
		name := fmt.Sprintf("n%d", n)
		n++
		mu.Lock()
		defer mu.Unlock()
		if o.Line != n || o.ID == "" || o.ID != ids[name] || (o.Err != nil) != (name == "n7") {
			t.Errorf("%d: got %+v", n, o)
		}
	})
	if n != 300 || most != 8 {
		t.Errorf("%d outcomes, %d at once", n, most)
	}
}

func TestSendStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s := sender{send: func(ctx context.Context, id string, j codec.Job) (client.Result, error) {
		if j.Name == "n20" {
			cancel()
		}
		return client.Result{ID: id}, ctx.Err()
	}}
	n := 0
	batch.Send(ctx, s, lines(10_000).Docs(), 4, func(batch.Outcome) { n++ })
	if n < 20 || n > 100 {
		t.Errorf("%d outcomes", n)
	}
}

func TestWait(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	s := sender{query: func(_ context.Context, id string) (codec.State, error) {
		mu.Lock()
		defer mu.Unlock()
		asked[id]++
		switch n := asked[id]; {
		case id == "never":
			return codec.State{State: codec.StateHeld}, nil
		case id == "ill":
			return codec.State{}, errors.New("ill")
		case n < 3:
			return codec.State{State: codec.StateUnknown}, nil
		}
		return codec.State{State: id}, nil
	}}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	var got []string
	ids := []string{"done", "failed", "parked", "handed_over", "never", "ill"}
	batch.Wait(ctx, s, ids, batch.Pace{First: time.Millisecond, Max: 5 * time.Millisecond}, func(f batch.Final) {
		got = append(got, fmt.Sprintf("%s %s %v", f.ID, f.State.State, f.Err))
	})
	slices.Sort(got)
	want := []string{"done done <nil>", "failed failed <nil>", "handed_over handed_over <nil>", "ill  ill",
		"never held context deadline exceeded", "parked parked <nil>"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	batch.Wait(context.Background(), s, nil, batch.Pace{}, nil)
}
