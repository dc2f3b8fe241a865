package trust

import (
	"fmt"
	"slices"

	"fencepost/spool/vfs"
)

// Owners returns a check for vfs.OS.Inspect: files of jobs must belong to one of
// the users, and nobody else may write them, but for the group if it is theirs.
func Owners(group bool, users ...uint32) func(name string, mode, uid uint32) error {
	othersWrite := uint32(0o022)
	if group {
		othersWrite = 0o002
	}
	return func(name string, mode, uid uint32) error {
		if _, ok := JobOf(name); !ok {
			return nil
		}
		switch {
		case !slices.Contains(users, uid):
			return fmt.Errorf("open %s: it belongs to user %d, who is none of this spool's: %w", name, uid, vfs.ErrUntrusted)
		case mode&othersWrite != 0:
			return fmt.Errorf("open %s: others may write it (mode %04o): %w", name, mode&0o7777, vfs.ErrUntrusted)
		}
		return nil
	}
}
