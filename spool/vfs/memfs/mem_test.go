package memfs_test

import (
	"testing"

	"fencepost/spool/vfs"
	vfstest "fencepost/spool/vfs/conformance"
	"fencepost/spool/vfs/memfs"
)

func TestMem(t *testing.T) {
	for name, opts := range map[string]memfs.Options{
		"plain": {}, "reuse": {ReuseInodes: true}, "shuffle": {Shuffle: 1}, "sync": {SyncExport: true, NoTrace: true},
	} {
		t.Run(name, func(t *testing.T) {
			vfstest.Run(t, func(*testing.T) vfs.FS { return memfs.New(opts).View("host") })
		})
	}
}
