package ingest

import (
	"maps"
	"sync"

	"fencepost/codec"
)

// Stats are the server's counters; they only grow, except for Open, Accepting
// and Pending.
type Stats struct {
	Connections uint64                // accepted by the listener
	Open        int                   // now
	Pending     int                   // requests read and not done with, now
	Accepting   int                   // calls of Backend.Accept, now
	Accepted    uint64                // without duplicates
	Duplicates  uint64                //
	Queries     uint64                // answered with STATE
	Refused     map[codec.Code]uint64 // requests, by code
	GoneAway    map[codec.Code]uint64 // connections ended by GOAWAY, by code
	NoTLS       uint64                // connections whose TLS handshake failed
	Dropped     uint64                // connections closed without GOAWAY: too many were being refused
	Panics      uint64
}

// counters is Stats under its lock. One lock for all of them: each is touched
// once or twice a request, beside several fsyncs.
type counters struct {
	mu sync.Mutex
	s  Stats
}

func (c *counters) do(f func(*Stats)) {
	c.mu.Lock()
	f(&c.s)
	c.mu.Unlock()
}

func (c *counters) snapshot() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.s
	s.Refused, s.GoneAway = maps.Clone(s.Refused), maps.Clone(s.GoneAway)
	return s
}

// answered counts an answer that is on its way.
func (c *counters) answered(m codec.Message) {
	c.do(func(s *Stats) {
		switch m := m.(type) {
		case codec.Accepted:
			if m.Duplicate {
				s.Duplicates++
			} else {
				s.Accepted++
			}
		case codec.State:
			s.Queries++
		case codec.Refused:
			s.Refused[m.Code]++
		case codec.GoAway:
			s.GoneAway[m.Code]++
		}
	})
}

// Stats returns the counters as they are now.
func (s *Server) Stats() Stats { return s.count.snapshot() }
