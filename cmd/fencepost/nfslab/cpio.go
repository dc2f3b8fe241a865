package nfslab

import (
	"bytes"
	"fmt"
)

// ramDisk is an initial RAM disk with one program: /init. The format is
// cpio's "newc", 110 bytes of hexadecimal numbers before each name
// (the kernel's "initramfs buffer format").
func ramDisk(program []byte) []byte {
	var b bytes.Buffer
	entry := func(name string, mode int, data []byte) {
		fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
		b.WriteString(name)
		b.WriteByte(0)
		b.Write(make([]byte, -b.Len()&3))
		b.Write(data)
		b.Write(make([]byte, -b.Len()&3))
	}
	entry("init", 0o100755, program)
	entry("TRAILER!!!", 0, nil)
	return b.Bytes()
}
