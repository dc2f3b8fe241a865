package slurmrest

import (
	"io"
	"strings"

	"fencepost/submit"
)

// ChooseVersion is the pure part of discovery.
var ChooseVersion = chooseVersion

// Listing reads a listing as it comes from slurmrestd.
func Listing(text, user, cluster, prefix string) (jobs []submit.Job, other string, err error) {
	l := &listing{user: user, cluster: cluster, prefix: prefix}
	_, err = l.read(io.Reader(strings.NewReader(text)))
	return l.jobs, l.other, err
}

// Version is the API's version that is in use; 0 = not known.
func (c *Cluster) Version() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.version
}

// JobBody is the body of a submission.
func (c *Cluster) JobBody(r submit.Request, version int) ([]byte, error) { return c.job(r, version) }
