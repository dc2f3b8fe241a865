package lease

import (
	"errors"
	"fmt"
	"path"
	"strconv"

	"fencepost/spool"
	"fencepost/spool/vfs"
)

// Gone says whether the process that had an epoch is proven to be gone, and how
// it is known: it said goodbye under that epoch, or its machine was started
// again since. Anything else is no proof: an instance that was fenced, whose
// lock is free and whose directories are gone may be stopped in the middle of a
// call, and go on.
func Gone(fs vfs.FS, host string, epoch uint64) (gone bool, how string, err error) {
	r, err := ReadRecord(fs, host)
	switch {
	case notThere(err) || errors.Is(err, ErrTorn):
		return false, "there is no heartbeat of it", nil
	case err != nil:
		return false, "", err
	case r.Epoch < epoch:
		return false, "it never got as far as a heartbeat", nil
	case r.Epoch == epoch && r.Goodbye:
		return true, "it said goodbye", nil
	case r.Epoch == epoch:
		return false, "it never said goodbye", nil
	}
	made, err := readOrigin(fs, host, epoch)
	switch {
	case notThere(err):
		return false, "nothing says which start of its machine it was of", nil
	case err != nil:
		return false, "", err
	case r.MachineID == made.MachineID && r.BootID != made.BootID:
		return true, fmt.Sprintf("its machine was started again: boot %s, now %s", made.BootID, r.BootID), nil
	}
	return false, fmt.Sprintf("its machine has not been started again since, as far as is known (machine %s, boot %s, pid %d)",
		made.MachineID, made.BootID, made.PID), nil
}

// readOrigin reads what an instance left in its epoch's directory.
func readOrigin(fs vfs.FS, host string, epoch uint64) (origin, error) {
	dir := path.Join(spool.EpochsDir(host), strconv.FormatUint(epoch, 10))
	var o origin
	all, err := fs.List(dir)
	if err != nil {
		return o, err
	}
	if len(all) != 1 {
		return o, fmt.Errorf("%s holds %d files, want 1", dir, len(all))
	}
	return o, readJSON(fs, path.Join(dir, all[0]), &o)
}
