package ingest_test

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"fencepost/cmd/fencepost/ingest"
	"fencepost/codec"
)

// 1,000 slow clients and 100 that send garbage, beside 8 good ones.
func TestSlowCrowd(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds and 2,200 descriptors")
	}
	for name, secured := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) { slowCrowd(t, secured) })
	}
}

func slowCrowd(t *testing.T, secured bool) {
	// Two servers: what the machine's other load does, it does to both.
	quiet, s := s3ms(t, secured), s3ms(t, secured)
	alone := s.eight(t)[0]
	before := heap()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	s.slowOnes(ctx, t, &wg, 1000)
	s.garbageOnes(ctx, &wg, 100)
	both := quiet.eight(t, s)
	beside, crowded := both[0], both[1]
	grown := heap() - before
	cancel()
	wg.Wait()
	t.Logf("p99 alone %v of %d; in the crowd %v of %d, at a quiet server at the same time %v of %d; memory of both sides +%d KiB",
		p99(alone), len(alone), p99(crowded), len(crowded), p99(beside), len(beside), grown>>10)
	if most := 3*p99(beside) + slack; p99(crowded) > most {
		t.Errorf("p99 in the crowd %v, at a quiet server %v", p99(crowded), p99(beside))
	}
	if grown > 160<<20 {
		t.Errorf("memory grew by %d KiB", grown>>10)
	}
	if st := s.Stats(); st.Accepted != uint64(len(alone)+len(crowded)) {
		t.Errorf("%d accepted, %d sent", st.Accepted, len(alone)+len(crowded))
	}
}

// slack is for a scheduler that leaves one of the two for last.
const slack = 20 * time.Millisecond

// s3ms is a server whose backend takes as long as a share does, about: without
// it the figures would be those of the loopback alone.
func s3ms(t *testing.T, secured bool) *site {
	return startWith(t, func(s *site, c *ingest.Config) {
		c.MaxConns, c.MaxStrange, c.Frame, c.Handshake = 1500, 1200, time.Minute, time.Minute
		if secured {
			s.overTLS(t, c)
		}
		s.b.accept = func(context.Context, codec.Record) error { time.Sleep(3 * time.Millisecond); return nil }
	})
}

// eight good clients send for a while, to each of some servers; how long each
// job took there.
func (s *site) eight(t *testing.T, more ...*site) (took [][]time.Duration) {
	sites := append([]*site{s}, more...)
	stops := make([][]func() []time.Duration, len(sites))
	for i, s := range sites {
		for range 8 {
			stops[i] = append(stops[i], s.bystander(t))
		}
	}
	time.Sleep(1500 * time.Millisecond)
	took = make([][]time.Duration, len(sites))
	for i := range sites {
		for _, stop := range stops[i] {
			took[i] = append(took[i], stop()...)
		}
	}
	return took
}

// slowOnes send a few bytes now and then: half of them in HELLO (or the TLS
// handshake), half in a job. All are connected when it returns.
func (s *site) slowOnes(ctx context.Context, t *testing.T, wg *sync.WaitGroup, n int) {
	body := frame(t, submit(1, 100_000))
	for i := range n {
		var nc net.Conn
		data := body
		if i%2 == 1 {
			nc, data = s.raw(t), frame(t, codec.Hello{Versions: []uint64{1}, Client: "slow"})
			if s.client != nil {
				data = []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + string(make([]byte, 300)))
			}
		} else {
			nc = s.hello(t)
		}
		wg.Go(func() {
			for at := 0; at+40 < len(data) && ctx.Err() == nil; at += 4 {
				if _, err := nc.Write(data[at : at+4]); err != nil {
					return
				}
				select {
				case <-time.After(rand.N(time.Second)):
				case <-ctx.Done():
				}
			}
		})
	}
}

func (s *site) garbageOnes(ctx context.Context, wg *sync.WaitGroup, n int) {
	for range n {
		wg.Go(func() {
			for ctx.Err() == nil {
				nc, err := net.Dial("tcp", s.addr)
				if err != nil {
					return
				}
				_, _ = nc.Write([]byte("garbage, and nothing but"))
				_ = nc.SetReadDeadline(time.Now().Add(time.Second))
				_, _ = nc.Read(make([]byte, 200))
				nc.Close()
				time.Sleep(rand.N(200 * time.Millisecond)) // not all at once
			}
		})
	}
}
