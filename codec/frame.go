package codec

import (
	"errors"
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

// Frame is one frame with its checksums verified; its body isn't read yet.
type Frame struct {
	Type FrameType
	Body []byte
}

// AppendFrame appends a frame of type t with this body to dst.
func AppendFrame(dst []byte, t FrameType, body []byte) []byte { return dst }

// ReadFrame reads one frame.
func ReadFrame(r io.Reader, maxBody int) (Frame, error) { return Frame{}, errors.New("todo") }
