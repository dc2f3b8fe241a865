package node

import (
	"bytes"
	"fmt"
	"time"

	"fencepost/codec"
	"fencepost/spool"
)

// AdoptClient stands for the client in the record of a job that came in as a
// file.
const AdoptClient = "inbox"

// Adoptee makes jobs of the files in an inbox: documents of the XML stage, and
// job documents in JSON. A document that brings an id keeps it, so that one that
// is delivered twice is one job; who accepted it, and when, is written anew.
func Adoptee(host string, wall func() time.Time) spool.Parse {
	return func(id string, data []byte) (spool.Adoptee, error) {
		var job codec.Job
		var own string
		var err error
		if bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n\ufeff"), []byte("<")) {
			var r codec.Record
			r, err = codec.DecodeXML(data)
			job, own = r.Job, r.ID
		} else {
			job, own, err = codec.ParseJob(data)
		}
		if err != nil {
			return spool.Adoptee{}, err
		}
		if own != "" {
			id = own
		}
		r := codec.Record{ID: id, Job: job, Client: AdoptClient, ReceivedAt: wall().UTC().Truncate(time.Millisecond),
			ReceivedBy: host, Digest: codec.Digest(job)}
		out, err := codec.EncodeXML(r)
		if err != nil {
			return spool.Adoptee{}, err
		}
		return spool.Adoptee{ID: id, Data: out, Same: SameJob(r.Digest)}, nil
	}
}

// SameJob compares what the gate has with a job of the given digest.
func SameJob(digest string) func(existing []byte) (bool, error) {
	return func(existing []byte) (bool, error) {
		old, err := codec.DecodeXML(existing)
		if err != nil {
			return false, fmt.Errorf("what the gate has: %w", err)
		}
		return old.Digest == digest, nil
	}
}
