package main

import (
	"sync"
	"time"

	"fencepost/spool"
)

// states looks where jobs are, for clients that wait. Each asks for its own job,
// again and again, and to find one costs a listing of nearly everything: so those
// who ask at the same time share a look, and there is one in a while at most.
type states struct {
	look  func(ids []string) (map[string][]spool.Found, error)
	pause time.Duration // between two looks, while somebody asks

	mu   sync.Mutex
	next *sharedLook // that who asks now will get; nil = nobody waits
	busy bool        // there is a task that looks
}

// looksApart is long enough for most of those who wait to meet, and short for a
// person.
const looksApart = 250 * time.Millisecond

// sharedLook begins after all who share it asked.
type sharedLook struct {
	ids   map[string]bool
	over  chan struct{}
	found map[string][]spool.Found
	err   error
}

func (s *states) of(id string) ([]spool.Found, error) {
	l := s.join(id)
	<-l.over
	return l.found[id], l.err
}

// join adds a question to the next look.
func (s *states) join(id string) *sharedLook {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.next = &sharedLook{ids: map[string]bool{}, over: make(chan struct{})}
	}
	l := s.next
	l.ids[id] = true
	if !s.busy {
		s.busy = true
		go s.serve()
	}
	return l
}

// serve looks until nobody waits. The first one waits for nothing.
func (s *states) serve() {
	for {
		s.mu.Lock()
		l := s.next
		s.next = nil
		if s.busy = l != nil; !s.busy {
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		ids := make([]string, 0, len(l.ids))
		for id := range l.ids {
			ids = append(ids, id)
		}
		l.found, l.err = s.look(ids)
		close(l.over)
		time.Sleep(s.pause)
	}
}
