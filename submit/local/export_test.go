package local

import (
	"io"

	"fencepost/spool/vfs"
	"fencepost/submit"
)

// Wrap runs a job as its wrapper would, in this process, on any FS.
func (c *Cluster) Wrap(fs vfs.FS, r submit.Request, answer io.WriteCloser) int {
	o, err := c.order(r)
	if err != nil {
		panic(err)
	}
	return wrap(fs, o, answer)
}

// Announce leaves what a wrapper that dies before its link leaves.
func (c *Cluster) Announce(fs vfs.FS, r submit.Request) {
	o, err := c.order(r)
	if err == nil {
		_, _, err = announce(fs, o.Start)
	}
	if err != nil {
		panic(err)
	}
}

// OpenStarts counts this host's starts without a status.
func (c *Cluster) OpenStarts() int {
	names, _ := c.cfg.FS.List(openDir(c.cfg.Host))
	return len(names)
}

// TakeSlot locks a slot.
func (c *Cluster) TakeSlot() error {
	f, err := c.slots.acquire("test")
	if f != nil {
		f.Close()
	}
	return err
}

// OpenOutput opens a file for what a job prints.
var OpenOutput = openOnce
