package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// FrameType is the kind of message a frame carries. Zero is never legal, so
// that bytes nobody wrote are caught.
type FrameType uint8

// The frame types of protocol version 1.
const (
	TypeHello    FrameType = 1
	TypeWelcome  FrameType = 2
	TypeSubmit   FrameType = 3
	TypeAccepted FrameType = 4
	TypeRefused  FrameType = 5
	TypeQuery    FrameType = 6
	TypeState    FrameType = 7
	TypePing     FrameType = 8
	TypePong     FrameType = 9
	TypeGoAway   FrameType = 10
)

var typeNames = [...]string{
	TypeHello: "HELLO", TypeWelcome: "WELCOME", TypeSubmit: "SUBMIT", TypeAccepted: "ACCEPTED",
	TypeRefused: "REFUSED", TypeQuery: "QUERY", TypeState: "STATE",
	TypePing: "PING", TypePong: "PONG", TypeGoAway: "GOAWAY",
}

func (t FrameType) known() bool { return int(t) < len(typeNames) && t != 0 }

// String returns the type's name as docs/spec/wire.md writes it.
func (t FrameType) String() string {
	if !t.known() {
		return fmt.Sprintf("type %d", uint8(t))
	}
	return typeNames[t]
}

// Frame is one frame with its checksums verified; its body isn't read yet.
type Frame struct {
	Type FrameType
	Body []byte
}

// The header, 20 bytes, numbers big-endian (docs/spec/wire.md, Frame):
//
//	 0                   4     5     6           8
//	+-----+-----+-----+-----+-----+-----+-----+-----+
//	|  F5 |  66 |  70 |  6A | ver |type |  reserved |
//	+-----+-----+-----+-----+-----+-----+-----+-----+
//	|      body length      |    CRC-32C of body    |
//	+-----+-----+-----+-----+-----+-----+-----+-----+
//	|  CRC-32C of the above |
//	+-----+-----+-----+-----+
const (
	// HeaderSize is the length of a frame's header in bytes.
	HeaderSize = 20

	// Magic begins every frame. Its first byte never occurs in UTF-8 and begins
	// neither TLS nor any text protocol, so one byte tells a stranger.
	Magic = "\xF5fpj"

	// FrameVersion is the version of the header's form.
	FrameVersion = 1

	headerSummed = 16 // bytes under the header's checksum
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Layer names the check that refused a frame. The checks are made in the order
// of these constants, and the first that fails is named.
type Layer string

// The layers, shallow to deep.
const (
	LayerTruncated Layer = "truncated"  // the stream ended inside a frame
	LayerMagic     Layer = "magic"      // not a frame: another protocol, or garbage
	LayerVersion   Layer = "version"    // a header form that isn't known here
	LayerHeaderCRC Layer = "header-crc" // the header is damaged: its length is not believed
	LayerReserved  Layer = "reserved"   // bits that must be zero
	LayerType      Layer = "type"       // an unknown frame type
	LayerLength    Layer = "length"     // longer than the reader takes
	LayerBodyCRC   Layer = "body-crc"   // the body is damaged
	LayerCBOR      Layer = "cbor"       // the body isn't one deterministic CBOR item
	LayerMessage   Layer = "message"    // a key or value isn't the message's
	LayerJob       Layer = "job"        // the job in SUBMIT breaks a rule
)

// FrameError is a frame that was refused.
type FrameError struct {
	Layer  Layer
	Reason string
	Err    error // what was beneath, if anything: io.ErrUnexpectedEOF, *FieldError
}

func (e *FrameError) Error() string { return fmt.Sprintf("read frame: %s: %s", e.Layer, e.Reason) }

// Unwrap returns what was beneath.
func (e *FrameError) Unwrap() error { return e.Err }

func refuse(l Layer, format string, args ...any) error {
	return &FrameError{Layer: l, Reason: fmt.Sprintf(format, args...)}
}

// AppendFrame appends a frame of type t with this body to dst. The body is at
// most 4 GiB less one byte long; what the peer takes is in WELCOME.
func AppendFrame(dst []byte, t FrameType, body []byte) []byte {
	start := len(dst)
	dst = append(dst, Magic...)
	dst = append(dst, FrameVersion, byte(t), 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(body)))
	dst = binary.BigEndian.AppendUint32(dst, crc32.Checksum(body, castagnoli))
	dst = binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
	return append(dst, body...)
}

// ReadFrame reads one frame with a body of at most maxBody bytes. It reads
// nothing beyond the frame.
//
// An end of the stream between frames is io.EOF. A refused frame is a
// *[FrameError]; the stream can't be read on after one, except after
// LayerLength by reading the body off, which ReadFrame doesn't do. Any other
// error is the reader's own, wrapped: a time-out, a reset.
//
// The header is checked before its length is believed, the length against
// maxBody before anything is allocated for it, and the body is allocated as it
// arrives: at most twice what the peer has really sent, and a page.
func ReadFrame(r io.Reader, maxBody int) (Frame, error) {
	var head [HeaderSize]byte
	for n := 0; n < HeaderSize; {
		m, err := r.Read(head[n:])
		n += m
		// A stranger is told by its first bytes, not after twenty: it may wait
		// for an answer before it sends more.
		if err := checkMagic(head[:min(n, len(Magic))]); err != nil {
			return Frame{}, err
		}
		if err != nil && n < HeaderSize {
			if n == 0 && errors.Is(err, io.EOF) {
				return Frame{}, io.EOF
			}
			return Frame{}, readErr("header", n, HeaderSize, err)
		}
	}
	t, length, sum, err := parseHeader(&head, maxBody)
	if err != nil {
		return Frame{}, err
	}
	body, err := readBody(r, length)
	if err != nil {
		return Frame{}, err
	}
	if got := crc32.Checksum(body, castagnoli); got != sum {
		return Frame{}, refuse(LayerBodyCRC, "checksum is %08x, the header says %08x", got, sum)
	}
	return Frame{Type: t, Body: body}, nil
}

func parseHeader(head *[HeaderSize]byte, maxBody int) (t FrameType, length int, sum uint32, err error) {
	if head[4] != FrameVersion {
		return 0, 0, 0, refuse(LayerVersion, "frame version %d, only %d is known", head[4], FrameVersion)
	}
	said := binary.BigEndian.Uint32(head[headerSummed:])
	if got := crc32.Checksum(head[:headerSummed], castagnoli); got != said {
		return 0, 0, 0, refuse(LayerHeaderCRC, "checksum is %08x, the header says %08x", got, said)
	}
	if head[6] != 0 || head[7] != 0 {
		return 0, 0, 0, refuse(LayerReserved, "reserved bytes are %02x%02x, not zero", head[6], head[7])
	}
	t = FrameType(head[5])
	if !t.known() {
		return 0, 0, 0, refuse(LayerType, "%v is not known", t)
	}
	n := binary.BigEndian.Uint32(head[8:])
	if int64(n) > int64(maxBody) {
		return 0, 0, 0, refuse(LayerLength, "body of %d bytes, more than %d", n, maxBody)
	}
	return t, int(n), binary.BigEndian.Uint32(head[12:]), nil
}

// readBody reads exactly length bytes into a buffer that grows with them.
func readBody(r io.Reader, length int) ([]byte, error) {
	const first = 4 << 10
	body := make([]byte, min(length, first))
	for n := 0; n < length; {
		if n == len(body) {
			grown := make([]byte, min(length, 2*n))
			copy(grown, body)
			body = grown
		}
		m, err := io.ReadFull(r, body[n:])
		n += m
		if err != nil {
			return nil, readErr("body", n, length, err)
		}
	}
	return body, nil
}

// readErr tells the end of the stream, which is the peer's doing, from errors
// of the reader, which the caller must see as they are.
func readErr(part string, got, want int, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &FrameError{
			Layer:  LayerTruncated,
			Reason: fmt.Sprintf("%s ends after %d of %d bytes", part, got, want),
			Err:    io.ErrUnexpectedEOF,
		}
	}
	return fmt.Errorf("read frame: %s: %w", part, err)
}

// checkMagic checks as much of the magic as has arrived.
func checkMagic(got []byte) error {
	if bytes.HasPrefix([]byte(Magic), got) {
		return nil
	}
	return refuse(LayerMagic, "begins with % x%s", got, guess(got))
}

// guess says what a stranger's first bytes look like: it saves somebody an
// hour when a load balancer's check or a browser is pointed at the port.
func guess(got []byte) string {
	switch b := got[0]; {
	case b == 0x16:
		return ", which looks like TLS"
	case b == 'S' && (len(got) < 2 || got[1] == 'S'):
		return ", which looks like SSH"
	case bytes.IndexByte([]byte("GPHODCT"), b) >= 0:
		return ", which looks like HTTP"
	case b == '{' || b == '<':
		return ", which looks like a document sent without a frame"
	}
	return ""
}
