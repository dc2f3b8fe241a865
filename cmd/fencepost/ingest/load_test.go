package ingest_test

import (
	"context"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"fencepost/cmd/fencepost/ingest"
	"fencepost/codec"
)

func acceptAfter(release chan struct{}) func(context.Context, codec.Record) error {
	return func(ctx context.Context, _ codec.Record) error {
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// heap is what is in use, after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

func TestTooManyConnections(t *testing.T) {
	s := start(t, func(c *ingest.Config) { c.MaxConns = 4; c.MaxPerAddr = 3 })
	var open []*peer
	for range 3 {
		open = append(open, s.hello(t))
	}
	for range 200 { // more than may linger at once
		p := s.dial(t)
		p.wantAway(codec.CodeBusy)
		p.Close()
	}
	open[0].Close()
	eventually(t, "a place is free", func() bool { return s.Stats().Open == 2 })
	open[1].send(submit(1, 1))
	if _, ok := open[1].want().(codec.Accepted); !ok {
		t.Fatal("not accepted")
	}
	s.hello(t)
	if n := s.Stats().GoneAway[codec.CodeBusy]; n != 200 {
		t.Errorf("got %d counted", n)
	}
}

func TestNetwork(t *testing.T) {
	for address, want := range map[string]string{"127.0.0.1": "127.0.0.1", "::ffff:10.0.0.1": "::ffff:10.0.0.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"2001:db8:1:2::7": "2001:db8:1:2::/64", "2001:db8:1:3::7": "2001:db8:1:3::/64", "fe80::1%eth0": "fe80::/64", "pipe": "pipe"} {
		if got := ingest.Network(address); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
}

func TestTooManyPending(t *testing.T) {
	s := start(t, func(c *ingest.Config) { c.MaxPending = 3; c.MaxAccepts = 1 })
	release := make(chan struct{})
	s.b.accept = acceptAfter(release)
	a, b := s.hello(t), s.hello(t)
	for seq := uint64(1); seq <= 3; seq++ {
		a.send(submit(seq, 1))
	}
	eventually(t, "three wait", func() bool { return s.Stats().Pending == 3 })
	b.send(submit(1, 1))
	b.wantRefused(1, codec.CodeBusy)
	close(release)
	for range 3 {
		if _, ok := a.want().(codec.Accepted); !ok {
			t.Fatal("not accepted")
		}
	}
}

// A peer that asks and never reads is cut off, and costs little until then.
func TestNeverReads(t *testing.T) {
	s := start(t, func(c *ingest.Config) { c.Write = 300 * time.Millisecond })
	stop := s.bystander(t)
	before := heap()
	var wg sync.WaitGroup
	for range 5 {
		p := s.hello(t)
		_ = p.Conn.(*net.TCPConn).SetReadBuffer(4096)
		wg.Go(func() {
			ping := frame(t, codec.Ping{Nonce: 1 << 60})
			for len(ping) < 60_000 {
				ping = append(ping, ping...)
			}
			for {
				_ = p.SetWriteDeadline(time.Now().Add(20 * time.Second))
				if _, err := p.Write(ping); err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	eventually(t, "all are cut off", func() bool { return s.Stats().Open == 1 })
	if grown := heap() - before; grown > 16<<20 {
		t.Errorf("the heap grew by %d KiB", grown>>10)
	}
	stop()
}

// Announced lengths and half-sent bodies cost what was sent, up to a limit, and
// small jobs pass while large ones wait for memory.
func TestMemoryIsBounded(t *testing.T) {
	const limit = 8 << 20
	s := start(t, func(c *ingest.Config) { c.Memory = limit; c.Frame = time.Second; c.MinRate = 4 << 20 })
	big := frame(t, submit(1, 1<<20-100))
	before := heap()
	for range 300 {
		p := s.hello(t)
		p.write(big[:codec.HeaderSize])
	}
	if grown := heap() - before; grown > 32<<20 {
		t.Errorf("300 announcements: the heap grew by %d KiB", grown>>10)
	}
	stop := s.bystander(t)
	before = heap()
	part := big[:len(big)-1000]
	var wg sync.WaitGroup
	for range 32 { // 32 MiB, if all were read
		p := s.hello(t)
		wg.Go(func() {
			_ = p.SetWriteDeadline(time.Now().Add(1500 * time.Millisecond))
			_, _ = p.Write(part)
		})
	}
	wg.Wait()
	grown := heap() - before
	t.Logf("32 bodies but for their ends of 1 MiB: the heap grew by %d KiB, the limit is %d", grown>>10, limit>>10)
	if grown > 4*limit {
		t.Errorf("the heap grew by %d KiB", grown>>10)
	}
	took := stop()
	t.Logf("a small job beside them: p99 %v", p99(took))
	p := s.hello(t)
	eventually(t, "the others are gone", func() bool { return s.Stats().Open <= 2 })
	p.write(big)
	if _, ok := p.want().(codec.Accepted); !ok {
		t.Error("not accepted")
	}
}

func p99(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)*99/100]
}

func BenchmarkSubmit(b *testing.B) {
	s := start(b, nil)
	p := s.hello(b)
	b.ReportAllocs()
	const window = 64
	var seq uint64
	under := 0
	for b.Loop() {
		seq++
		p.send(submit(seq, 1000))
		if under++; under == window {
			p.want()
			under--
		}
	}
	for ; under > 0; under-- {
		p.want()
	}
}
