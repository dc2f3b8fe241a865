package rpcproxy

import (
	"encoding/binary"
	"fmt"
	"io"
)

// maxRecord is the longest record that is believed: NFS writes of 1 MiB and
// what is around them.
const maxRecord = 4 << 20

// lastFragment is the bit of a record mark that says so (RFC 5531, section 11).
const lastFragment = 1 << 31

// ReadRecord reads one record of ONC RPC. raw is what stood on the wire, marks
// included; body is without them.
func ReadRecord(r io.Reader) (raw, body []byte, err error) {
	for {
		var mark [4]byte
		if _, err := io.ReadFull(r, mark[:]); err != nil {
			if len(raw) > 0 {
				err = fmt.Errorf("record ends in the middle: %w", err)
			}
			return nil, nil, err
		}
		m := binary.BigEndian.Uint32(mark[:])
		n := int(m &^ lastFragment)
		if len(body)+n > maxRecord {
			return nil, nil, fmt.Errorf("record of %d bytes or more", len(body)+n)
		}
		at := len(raw) + len(mark)
		raw = append(append(raw, mark[:]...), make([]byte, n)...)
		if _, err := io.ReadFull(r, raw[at:]); err != nil {
			return nil, nil, fmt.Errorf("record ends in the middle: %w", err)
		}
		body = append(body, raw[at:]...)
		if m&lastFragment != 0 {
			return raw, body, nil
		}
	}
}

// Message is what the proxy has to know of an RPC message.
type Message struct {
	XID   uint32
	Reply bool
	Ops   []string // of an NFS call: what it asks for, of the names in Losable
}

// Losable are the operations whose replies can be lost. On version 4 there is
// one operation for remove and rmdir, so each means both.
func Losable() []string {
	return []string{"rename", "link", "mkdir", "rmdir", "remove", "create"}
}

const (
	msgCall    = 0
	msgReply   = 1
	rpcVersion = 2
	progNFS    = 100003
	nf4Dir     = 2 // nfs_ftype4
	openCreate = 1 // opentype4
)

// Parse parses a record's body. What it doesn't know has no Ops.
func Parse(body []byte) (Message, error) {
	d := decoder{b: body}
	m := Message{XID: d.u32()}
	switch kind := d.u32(); {
	case d.bad:
		return m, fmt.Errorf("RPC message of %d bytes", len(body))
	case kind == msgReply:
		m.Reply = true
		return m, nil
	case kind != msgCall:
		return m, fmt.Errorf("RPC message of type %d", kind)
	}
	rpc, prog, vers, proc := d.u32(), d.u32(), d.u32(), d.u32()
	for range 2 { // credential, verifier: a flavour and its body each
		d.u32()
		d.opaque()
	}
	if d.bad || rpc != rpcVersion {
		return m, fmt.Errorf("RPC call %d that can't be read", m.XID)
	}
	switch {
	case prog != progNFS:
	case vers == 3:
		m.Ops = ops3(proc)
	case vers == 4 && proc == 1:
		m.Ops = ops4(&d)
	}
	return m, nil
}

// ops3 are the procedures of RFC 1813, section 3.3.
func ops3(proc uint32) []string {
	switch proc {
	case 8:
		return []string{"create"}
	case 9:
		return []string{"mkdir"}
	case 12:
		return []string{"remove"}
	case 13:
		return []string{"rmdir"}
	case 14:
		return []string{"rename"}
	case 15:
		return []string{"link"}
	}
	return nil
}

// ops4 goes through a COMPOUND's operations (RFC 8881, section 18, and RFC
// 7530, section 16) until it comes to one whose arguments it doesn't know. What
// changes a name comes first with the clients of Linux: SEQUENCE, file handles,
// the change, attributes.
func ops4(d *decoder) (ops []string) {
	d.opaque() // tag
	d.u32()    // minor version
	for n := d.u32(); n > 0 && !d.bad; n-- {
		switch d.u32() {
		case 3: // ACCESS
			d.u32()
		case 9: // GETATTR: a bitmap
			d.skip(4 * int(min(d.u32(), 16)))
		case 10, 24, 31, 32: // GETFH, PUTROOTFH, RESTOREFH, SAVEFH
		case 15, 22: // LOOKUP, PUTFH
			d.opaque()
		case 53: // SEQUENCE: session, sequence, slot, highest slot, cache this
			d.skip(16 + 4*4)
		case 6: // CREATE: of everything but files
			if d.u32() == nf4Dir {
				ops = append(ops, "mkdir")
			}
			return ops
		case 11: // LINK
			d.opaque()
			ops = append(ops, "link")
		case 18: // OPEN: sequence, access, deny; owner; how
			d.skip(3*4 + 8)
			d.opaque()
			if d.u32() == openCreate && !d.bad {
				ops = append(ops, "create")
			}
			return ops
		case 28: // REMOVE
			d.opaque()
			ops = append(ops, "remove", "rmdir")
		case 29: // RENAME
			d.opaque()
			d.opaque()
			ops = append(ops, "rename")
		default:
			return ops
		}
	}
	return ops
}

// decoder reads XDR (RFC 4506). After the first thing that isn't there, all is
// bad and zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) skip(n int) {
	if d.bad = d.bad || n > len(d.b); !d.bad {
		d.b = d.b[n:]
	}
}

func (d *decoder) u32() uint32 {
	at := d.b
	if d.skip(4); d.bad {
		return 0
	}
	return binary.BigEndian.Uint32(at)
}

// opaque skips bytes of variable length, which are filled up to 4.
func (d *decoder) opaque() {
	n := d.u32()
	if n > maxRecord {
		d.bad = true
		return
	}
	d.skip(int(n+3) &^ 3)
}
