package ingest_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"fencepost/cmd/fencepost/ingest"
	"fencepost/codec"
)

// header is a frame's header with a right checksum.
func header(version, typ, reserved byte, length, sum uint32) []byte {
	b := append([]byte(codec.Magic), version, typ, reserved, 0)
	b = binary.BigEndian.AppendUint32(b, length)
	b = binary.BigEndian.AppendUint32(b, sum)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

func raw(t codec.FrameType, body string) []byte { return codec.AppendFrame(nil, t, []byte(body)) }

// TestGarbage: each peer is told what was wrong, the others notice nothing.
func TestGarbage(t *testing.T) {
	random := make([]byte, 300_000)
	rnd := rand.NewChaCha8([32]byte{1})
	_, _ = rnd.Read(random)
	random[0] = 'x'
	sub := frame(t, submit(1, 50))
	damaged := append([]byte(nil), sub...)
	damaged[len(damaged)-1] ^= 1
	hello := frame(t, codec.Hello{Versions: []uint64{1}, Client: "x"})

	cases := []struct {
		name  string
		early bool // instead of HELLO, not after it
		bytes []byte
		code  codec.Code
		says  string
	}{
		{"random", true, random, codec.CodeMalformed, "magic"},
		{"random later", false, random, codec.CodeMalformed, "magic"},
		{"http", true, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), codec.CodeMalformed, "HTTP"},
		{"tls", true, []byte("\x16\x03\x01\x00\xc4\x01\x00\x00\xc0\x03\x03"), codec.CodeMalformed, "TLS"},
		{"ssh", true, []byte("SSH-2.0-x\r\n"), codec.CodeMalformed, "SSH"},
		{"one byte", true, []byte("\n"), codec.CodeMalformed, "magic"},
		{"json", true, []byte(`{"name":"x"}`), codec.CodeMalformed, "document"},
		{"version 2", true, header(2, 1, 0, 5, 0), codec.CodeUnsupportedVersion, "version"},
		{"reserved", true, header(1, 1, 1, 5, 0), codec.CodeMalformed, "reserved"},
		{"type 77", true, header(1, 77, 0, 5, 0), codec.CodeMalformed, "type"},
		{"header crc", true, append(hello[:16:16], 1, 2, 3, 4), codec.CodeMalformed, "header-crc"},
		{"4 GiB hello", true, header(1, 1, 0, 1<<32-1, 0), codec.CodeTooLarge, "4294967295"},
		{"4 GiB submit", false, header(1, 3, 0, 1<<32-1, 0), codec.CodeTooLarge, "4294967295"},
		{"17 KiB hello", true, header(1, 1, 0, 17<<10, 0), codec.CodeTooLarge, ""},
		{"17 KiB ping", false, raw(codec.TypePing, strings.Repeat("x", 17<<10)), codec.CodeTooLarge, "PING"},
		{"body crc", false, damaged, codec.CodeMalformed, "body-crc"},
		{"not cbor", false, raw(codec.TypeSubmit, "hello"), codec.CodeMalformed, "cbor"},
		{"empty", false, raw(codec.TypeQuery, ""), codec.CodeMalformed, "cbor"},
		{"no map", false, raw(codec.TypeSubmit, "\x01"), codec.CodeMalformed, "map"},
		{"no seq", false, raw(codec.TypeSubmit, "\xa0"), codec.CodeMalformed, "seq"},
		{"submit first", true, sub, codec.CodeProtocol, "SUBMIT before HELLO"},
		{"goaway first", true, frame(t, codec.GoAway{Code: codec.CodeIdle}), codec.CodeProtocol, ""},
		{"hello twice", false, hello, codec.CodeProtocol, "HELLO"},
		{"welcome", false, frame(t, codec.Welcome{Version: 1, Host: "a", Spool: "s", MaxFrame: 9, MaxJob: 9, Window: 1}),
			codec.CodeProtocol, "WELCOME"},
		{"accepted", false, frame(t, codec.Accepted{Seq: 1, ID: newID(), Host: "a"}), codec.CodeProtocol, "ACCEPTED"},
		{"other versions", true, frame(t, codec.Hello{Versions: []uint64{2, 3}, Client: "x"}), codec.CodeUnsupportedVersion, ""},
		{"seq 2 first", false, frame(t, submit(2, 1)), codec.CodeProtocol, "2 after 0"},
	}
	s := start(t, nil)
	stop := s.bystander(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			begin := s.hello
			if c.early {
				begin = s.dial
			}
			p := begin(t)
			_, _ = p.Write(c.bytes) // the server may have closed before the last of them
			if g := p.wantAway(c.code); !strings.Contains(g.Reason, c.says) || g.LastSeq != 0 {
				t.Errorf("got %+v", g)
			}
		})
	}
	t.Run("seq twice", func(t *testing.T) {
		p := s.hello(t)
		p.write(append(frame(t, submit(1, 1)), frame(t, submit(1, 1))...))
		if _, ok := p.want().(codec.Accepted); !ok {
			t.Error("the first is not answered")
		}
		if g := p.wantAway(codec.CodeProtocol); g.LastSeq != 1 {
			t.Errorf("got %+v", g)
		}
	})
	stop()
}

// Garbage doesn't fill the log: who sends it often is worth some lines a second,
// and the counters have the rest.
func TestGarbageInTheLog(t *testing.T) {
	var log lockedBuffer
	s := start(t, func(c *ingest.Config) { c.Log = zerolog.New(&log) })
	from := time.Now()
	const n = 500
	for range n {
		p := s.dial(t)
		p.write([]byte("x"))
		p.wantAway(codec.CodeMalformed)
		p.Close()
	}
	eventually(t, "all are gone", func() bool { return s.Stats().Open == 0 })
	// On a machine that takes a second for twenty of them there is nothing to leave out.
	lines, most := log.count(`"event":"disconnected"`), 20*int(time.Since(from).Seconds()+2)
	if lines < 1 || lines > most {
		t.Errorf("%d lines for %d connections in %v", lines, n, time.Since(from))
	}
	if got := s.Stats().GoneAway[codec.CodeMalformed]; got != n {
		t.Errorf("%d were counted", got)
	}
}

// lockedBuffer is what several goroutines log to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// A stream that ends inside a frame, at each byte, for HELLO and SUBMIT.
func TestTruncated(t *testing.T) {
	s := start(t, nil)
	stop := s.bystander(t)
	hello := frame(t, codec.Hello{Versions: []uint64{1}, Client: "x"})
	sub := frame(t, submit(1, 5))
	for n := 1; n < len(hello)+len(sub); n++ {
		p := s.dial(t)
		p.write(append(hello[:len(hello):len(hello)], sub...)[:n])
		if err := p.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if n >= len(hello) {
			p.want()
		}
		if n == len(hello) {
			continue // the end of the stream between frames is no error
		}
		if g := p.wantAway(codec.CodeMalformed); !strings.Contains(g.Reason, "truncated") {
			t.Fatalf("%d bytes: got %+v", n, g)
		}
		p.Close()
	}
	stop()
	if n := s.Stats().Duplicates; n != 0 {
		t.Errorf("got %d duplicates", n)
	}
}

// A frame may come in any pieces.
func TestSplitWrites(t *testing.T) {
	s := start(t, nil)
	p := s.hello(t)
	for _, b := range frame(t, submit(1, 300)) {
		p.write([]byte{b})
	}
	if _, ok := p.want().(codec.Accepted); !ok {
		t.Fatal("not accepted")
	}
	var all []byte
	for seq := uint64(2); seq < 50; seq++ {
		all = append(all, frame(t, submit(seq, int(seq)*37))...)
	}
	for rnd := rand.New(rand.NewPCG(1, 2)); len(all) > 0; {
		n := min(len(all), 1+rnd.IntN(5000))
		p.write(all[:n])
		all = all[n:]
	}
	for range 48 {
		if _, ok := p.want().(codec.Accepted); !ok {
			t.Fatal("not accepted")
		}
	}
}

// What is wrong with a request is said to the request; the connection goes on.
func TestBadRequests(t *testing.T) {
	s := start(t, func(c *ingest.Config) { c.MaxJob = 100_000 })
	p := s.hello(t)
	edit := func(m codec.Submit, from, to string) []byte {
		_, body, err := codec.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return raw(codec.TypeSubmit, strings.Replace(string(body), from, to, 1))
	}
	m := codec.Submit{ID: newID(), Job: codec.Job{Name: "nightly", Script: "#!/bin/sh\n"}}
	cases := []struct {
		code     codec.Code
		says     string
		from, to string
	}{
		{codec.CodeInvalidJob, "name", "nightly", "-ightly"},
		{codec.CodeInvalidJob, "script", "#!/bin/sh", "//bin/sh\n"},
		{codec.CodeInvalidJob, "script", "#!/bin/sh\n", "#!/bin/s\x00\n"},
		{codec.CodeInvalidJob, "unknown key", "dname", "dNAME"},
		{codec.CodeMalformed, "id", m.ID[:8], "ABCDEFAB"},
	}
	for i, c := range cases {
		m.Seq = uint64(i + 1)
		p.write(edit(m, c.from, c.to))
		if r := p.wantRefused(m.Seq, c.code); !strings.Contains(r.Reason, c.says) {
			t.Errorf("%q: got %+v", c.to, r)
		}
	}
	p.send(submit(6, 100_050))
	p.wantRefused(6, codec.CodeTooLarge)
	p.send(submit(7, 99_000))
	if _, ok := p.want().(codec.Accepted); !ok {
		t.Fatal("not accepted")
	}
}

// Time-outs, each with the others unharmed.
func TestStalls(t *testing.T) {
	s := start(t, func(c *ingest.Config) {
		c.Handshake, c.Frame, c.Idle, c.MinRate = 400*time.Millisecond, 300*time.Millisecond, 3*time.Second, 100_000
	})
	stop := s.bystander(t)
	drip := func(p *peer, b []byte, every time.Duration) {
		go func() {
			for i := range b {
				if _, err := p.Write(b[i : i+1]); err != nil {
					return
				}
				time.Sleep(every)
			}
		}()
	}
	cases := []struct {
		name string
		code codec.Code
		min  time.Duration
		do   func(t *testing.T) *peer
	}{
		{"silent", codec.CodeTimeout, 400 * time.Millisecond, func(t *testing.T) *peer { return s.dial(t) }},
		{"slow hello", codec.CodeTimeout, 400 * time.Millisecond, func(t *testing.T) *peer {
			p := s.dial(t)
			drip(p, frame(t, codec.Hello{Versions: []uint64{1}, Client: strings.Repeat("x", 200)}), 20*time.Millisecond)
			return p
		}},
		{"slow submit", codec.CodeTimeout, 300 * time.Millisecond, func(t *testing.T) *peer {
			p := s.hello(t)
			drip(p, frame(t, submit(1, 5000)), 20*time.Millisecond)
			return p
		}},
		{"stalled body", codec.CodeTimeout, 300 * time.Millisecond, func(t *testing.T) *peer {
			p := s.hello(t)
			p.write(frame(t, submit(1, 1_000_000))[:10_000])
			return p
		}},
		{"idle", codec.CodeIdle, 3 * time.Second, func(t *testing.T) *peer { return s.hello(t) }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			from := time.Now()
			p := c.do(t)
			p.wantAway(c.code)
			if took := time.Since(from); took < c.min-50*time.Millisecond || took > c.min+30*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
	stop()
}

// A peer that waits for its answer is not idle.
func TestSlowAnswerIsNotIdle(t *testing.T) {
	s := start(t, func(c *ingest.Config) { c.Idle = 100 * time.Millisecond })
	release := make(chan struct{})
	time.AfterFunc(500*time.Millisecond, func() { close(release) })
	s.b.accept = acceptAfter(release)
	p := s.hello(t)
	p.send(submit(1, 1))
	if _, ok := p.want().(codec.Accepted); !ok {
		t.Fatal("not accepted")
	}
	p.wantAway(codec.CodeIdle)
}
