package codec

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// checkCBOR reports whether body is one item in the deterministic encoding of
// RFC 8949, section 4.2.1, made only of what the protocol uses: whole numbers,
// text, arrays, maps with text keys, booleans. It runs before the decoder, so
// that the decoder never sees an announced length that isn't there, and so
// that a value has one encoding: equal jobs are equal bytes.
func checkCBOR(body []byte) error {
	c := cborChecker{b: body}
	if err := c.item(0); err != nil {
		return err
	}
	if c.i != len(body) {
		return c.fail(c.i, "%d bytes after the end", len(body)-c.i)
	}
	return nil
}

type cborChecker struct {
	b []byte
	i int // the next byte
	n int // items so far
}

func (c *cborChecker) fail(at int, format string, args ...any) error {
	return refuse(LayerCBOR, "byte %d: %s", at, fmt.Sprintf(format, args...))
}

// The major types of RFC 8949, section 3.1.
const (
	cborUint = iota
	cborNegative
	cborBytes
	cborText
	cborArray
	cborMap
	cborTag
	cborSimple
)

func (c *cborChecker) item(depth int) error {
	at := c.i
	if depth > MaxDepth {
		return c.fail(at, "nested deeper than %d", MaxDepth)
	}
	if c.n++; c.n > MaxItems {
		return c.fail(at, "more than %d items", MaxItems)
	}
	major, n, err := c.head()
	if err != nil {
		return err
	}
	switch major {
	case cborUint, cborNegative:
		return nil
	case cborText:
		return c.text(at, n)
	case cborArray:
		return c.array(n, depth)
	case cborMap:
		return c.pairs(n, depth)
	case cborSimple:
		if c.b[at] == 0xF4 || c.b[at] == 0xF5 { // false, true
			return nil
		}
		return c.fail(at, "null, float or other simple value %#x", c.b[at])
	case cborTag:
		return c.fail(at, "tag")
	}
	return c.fail(at, "byte string")
}

// head reads an item's first byte and the number that follows it, which has to
// be in its shortest form.
func (c *cborChecker) head() (major byte, n uint64, err error) {
	at := c.i
	if at >= len(c.b) {
		return 0, 0, c.fail(at, "ends where an item should be")
	}
	major, info := c.b[at]>>5, c.b[at]&0x1F
	c.i++
	if info < 24 || major == cborSimple {
		return major, uint64(info), nil
	}
	if info > 27 {
		return 0, 0, c.fail(at, "indefinite length or reserved form %#x", c.b[at])
	}
	size := 1 << (info - 24)
	if len(c.b)-c.i < size {
		return 0, 0, c.fail(at, "ends inside a number")
	}
	var full [8]byte
	copy(full[8-size:], c.b[c.i:])
	n = binary.BigEndian.Uint64(full[:])
	c.i += size
	if headSize(n) != 1+size {
		return 0, 0, c.fail(at, "number %d not in its shortest form", n)
	}
	return major, n, nil
}

func (c *cborChecker) text(at int, n uint64) error {
	if n > uint64(len(c.b)-c.i) {
		return c.fail(at, "text of %d bytes, %d are left", n, len(c.b)-c.i)
	}
	s := c.b[c.i : c.i+int(n)]
	if !utf8.Valid(s) {
		return c.fail(at, "text is not UTF-8")
	}
	c.i += int(n)
	return nil
}

func (c *cborChecker) array(n uint64, depth int) error {
	for ; n > 0; n-- { // each turn takes a byte or fails: n itself costs nothing
		if err := c.item(depth + 1); err != nil {
			return err
		}
	}
	return nil
}

func (c *cborChecker) pairs(n uint64, depth int) error {
	var last []byte
	for ; n > 0; n-- {
		at := c.i
		if at < len(c.b) && c.b[at]>>5 != cborText {
			return c.fail(at, "a key is not text")
		}
		if err := c.item(depth + 1); err != nil {
			return err
		}
		key := c.b[at:c.i]
		if last != nil {
			switch cmp := bytes.Compare(last, key); {
			case cmp == 0:
				return c.fail(at, "duplicate key")
			case cmp > 0:
				return c.fail(at, "keys not in bytewise order")
			}
		}
		last = key
		if err := c.item(depth + 1); err != nil {
			return err
		}
	}
	return nil
}

// topKeys returns the keys of a map that checkCBOR has passed.
func topKeys(body []byte) ([]string, error) {
	c := cborChecker{b: body}
	major, n, err := c.head()
	if err != nil {
		return nil, err
	}
	if major != cborMap {
		return nil, refuse(LayerMessage, "the body is not a map")
	}
	var keys []string
	for ; n > 0; n-- {
		_, size, err := c.head()
		if err != nil {
			return nil, err
		}
		keys = append(keys, string(c.b[c.i:c.i+int(size)]))
		c.i += int(size)
		if err := c.item(1); err != nil {
			return nil, err
		}
	}
	return keys, nil
}
