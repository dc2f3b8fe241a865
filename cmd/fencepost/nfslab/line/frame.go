package line

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

// kind says what a frame is.
type kind byte

const (
	// To the side where the commands run.
	kindStart    kind = iota + 1 // JSON of Order
	kindStdin                    // bytes
	kindStdinEnd                 // nothing
	kindSignal                   // 1 byte: the signal; 1 byte: 1 = to its process group

	// From it.
	kindStarted // JSON of started
	kindStdout  // bytes
	kindStderr  // bytes
	kindExit    // JSON of Exit: the last frame with this id
)

// maxPayload is the longest payload in bytes.
const maxPayload = 32 << 10

// headLen: length of what follows it (4 bytes), id (4), kind (1).
const headLen = 9

type frame struct {
	id   uint32
	kind kind
	data []byte
}

// Order is a command to be started.
type Order struct {
	Args []string
	Env  []string // added to the environment of the other side
	Dir  string
	// Namespaces has it start in namespaces of its own: mounts, hostname,
	// processes, network, and so on: what makes it a host.
	Namespaces bool
}

// started says under which process id it runs, on the other side.
type started struct{ Pid int }

// Exit is how a command ended.
type Exit struct {
	Code   int    // 0 = well; -1 when there is none
	Signal int    // that ended it; 0 = none
	Err    string // it couldn't be started
}

// frameWriter writes frames, one at a time, from any number of goroutines.
type frameWriter struct {
	mu sync.Mutex
	w  io.Writer // guarded by mu
}

// write sends data in as many frames as it needs.
func (f *frameWriter) write(id uint32, k kind, data []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		n := min(len(data), maxPayload)
		b := binary.BigEndian.AppendUint32(make([]byte, 0, headLen+n), uint32(headLen-4+n))
		b = append(binary.BigEndian.AppendUint32(b, id), byte(k))
		if _, err := f.w.Write(append(b, data[:n]...)); err != nil {
			return fmt.Errorf("write frame: %w", err)
		}
		if data = data[n:]; len(data) == 0 {
			return nil
		}
	}
}

func readFrame(r io.Reader) (frame, error) {
	var head [headLen]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	n := int(binary.BigEndian.Uint32(head[:])) - (headLen - 4)
	if n < 0 || n > maxPayload {
		return frame{}, fmt.Errorf("read frame: length %d", n)
	}
	f := frame{id: binary.BigEndian.Uint32(head[4:]), kind: kind(head[8]), data: make([]byte, n)}
	if _, err := io.ReadFull(r, f.data); err != nil {
		return frame{}, fmt.Errorf("read frame: %w", err)
	}
	return f, nil
}
