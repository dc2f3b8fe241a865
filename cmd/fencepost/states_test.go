package main

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"fencepost/spool"
)

// TestStatesShareLooks: who asks while a look is under way shares the next one,
// which begins after that; an error is everybody's whom it concerns.
func TestStatesShareLooks(t *testing.T) {
	var looks atomic.Int32
	began, hold := make(chan struct{}), make(chan struct{})
	boom := errors.New("boom")
	s := &states{look: func(ids []string) (map[string][]spool.Found, error) {
		switch looks.Add(1) {
		case 1:
			close(began)
			<-hold
		case 3:
			return nil, boom
		}
		out := map[string][]spool.Found{}
		for _, id := range ids {
			out[id] = []spool.Found{{Path: id}}
		}
		return out, nil
	}}
	ask := func(id string) {
		if got, err := s.of(id); err != nil || len(got) != 1 || got[0].Path != id {
			t.Errorf("%s: %v, %v", id, got, err)
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { ask("first") })
	<-began
	var asked sync.WaitGroup
	for i := range 100 {
		asked.Add(1)
		wg.Go(func() {
			l := s.join(fmt.Sprint(i))
			asked.Done()
			<-l.over
			if len(l.found[fmt.Sprint(i)]) != 1 {
				t.Errorf("%d: %v", i, l.found)
			}
		})
	}
	asked.Wait()
	close(hold)
	wg.Wait()
	if n := looks.Load(); n != 2 {
		t.Errorf("%d looks for 101 questions, want 2", n)
	}
	if _, err := s.of("x"); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	ask("later")
}
