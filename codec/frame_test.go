package codec_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"fencepost/codec"
)

func TestReadFrameBigBodies(t *testing.T) {
	for _, n := range []int{0, 1, 4095, 4096, 4097, 8193, 1 << 20, codec.MaxBody} {
		body := bytes.Repeat([]byte{0xA5}, n)
		frame := codec.AppendFrame(nil, codec.TypeSubmit, body)
		for _, r := range []io.Reader{bytes.NewReader(frame), iotest.HalfReader(bytes.NewReader(frame))} {
			f, err := codec.ReadFrame(r, codec.MaxBody)
			if err != nil || !bytes.Equal(f.Body, body) || f.Type != codec.TypeSubmit {
				t.Errorf("%d bytes: got %v, %d bytes (%v)", n, f.Type, len(f.Body), err)
			}
		}
	}
}

func TestReadFrameStream(t *testing.T) {
	var stream []byte
	for i := range 100 {
		stream = codec.AppendFrame(stream, codec.FrameType(1+i%10), make([]byte, i*97))
	}
	r := &chunked{bytes.NewReader(stream), 11}
	for i := range 100 {
		f, err := codec.ReadFrame(r, codec.MaxBody)
		if err != nil || f.Type != codec.FrameType(1+i%10) || len(f.Body) != i*97 {
			t.Fatalf("frame %d: got %v, %d bytes (%v)", i, f.Type, len(f.Body), err)
		}
	}
	if _, err := codec.ReadFrame(r, codec.MaxBody); err != io.EOF {
		t.Fatalf("after the last: got %v, want io.EOF", err)
	}
}

// An announced length costs nothing by itself: neither one that is refused,
// nor one that is allowed and doesn't come.
func TestAnnouncedLengthCostsNothing(t *testing.T) {
	const most = 16 << 10
	for name, c := range map[string]struct {
		length  uint32
		maxBody int
	}{
		"4 GiB, refused":            {1<<32 - 1, codec.MaxBody},
		"4 GiB, allowed, not there": {1<<32 - 1, 1<<32 - 1},
		"2 GiB, allowed, not there": {1<<31 - 1, 1<<31 - 1},
	} {
		frame := append(header(1, 3, 0, c.length, 0), "a little"...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := codec.ReadFrame(bytes.NewReader(frame), c.maxBody)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > most {
			t.Errorf("%s: allocated %d bytes, want at most %d", name, got, most)
		}
	}
}

// What has been allocated stays in proportion to what has arrived.
func TestAllocationFollowsArrival(t *testing.T) {
	const arrived = 1 << 20
	frame := append(header(1, 3, 0, 1<<30, 0), make([]byte, arrived)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := codec.ReadFrame(bytes.NewReader(frame), 1<<30)
	runtime.ReadMemStats(&after)
	if got := layerOf(err); got != string(codec.LayerTruncated) {
		t.Errorf("got %v, want truncated", err)
	}
	// 4 KiB, 8 KiB ... 2 MiB: less than four times what arrived, of which all
	// but the last two are garbage at once.
	if got := after.TotalAlloc - before.TotalAlloc; got > 5*arrived {
		t.Errorf("allocated %d bytes for %d", got, arrived)
	}
}

// A stranger is refused by what it has sent, though it sends no more.
func TestStrangerIsRefusedAtOnce(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	go func() { _, _ = client.Write([]byte("G")) }() // and then waits for ever
	if err := server.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err := codec.ReadFrame(server, codec.MaxBody)
	if got := layerOf(err); got != string(codec.LayerMagic) || !strings.Contains(err.Error(), "HTTP") {
		t.Errorf("got %v, want layer magic that says HTTP", err)
	}
}

// The reader's own errors are the caller's to judge: a time-out isn't a
// malformed frame.
func TestReaderErrorsPass(t *testing.T) {
	frame := codec.AppendFrame(nil, codec.TypePing, make([]byte, 50))
	for n := range frame {
		r := io.MultiReader(bytes.NewReader(frame[:n]), iotest.ErrReader(os.ErrDeadlineExceeded))
		_, err := codec.ReadFrame(r, codec.MaxBody)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("after %d bytes: got %v", n, err)
		}
	}
}

// Any flipped bit is noticed, at a layer no deeper than the checksums.
func TestEveryBitCounts(t *testing.T) {
	good := codec.AppendFrame(nil, codec.TypePing, []byte("body"))
	for i := range len(good) * 8 {
		b := bytes.Clone(good)
		b[i/8] ^= 1 << (i % 8)
		_, err := codec.ReadFrame(bytes.NewReader(b), codec.MaxBody)
		switch got := codec.Layer(layerOf(err)); got {
		case codec.LayerMagic, codec.LayerVersion, codec.LayerHeaderCRC, codec.LayerBodyCRC:
		default:
			t.Errorf("bit %d: got layer %s", i, got)
		}
	}
}

func TestAppendFrameKeepsWhatIsThere(t *testing.T) {
	got := codec.AppendFrame([]byte("before"), codec.TypePong, []byte("x"))
	want := append([]byte("before"), codec.AppendFrame(nil, codec.TypePong, []byte("x"))...)
	if !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}
