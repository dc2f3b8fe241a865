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

// Adoptee makes jobs of the files in an inbox: documents of the XML and of the
// JSON stage, and job documents. A document that brings an id keeps it, so that
// one that is delivered twice is one job; who accepted it, and when, is written
// anew. What comes out has the form of the stage that the job enters.
func Adoptee(host string, wall func() time.Time) spool.Parse {
	return func(stage spool.Stage, id string, data []byte) (spool.Adoptee, error) {
		job, own, err := parseForeign(data)
		if err != nil {
			return spool.Adoptee{}, err
		}
		if own != "" {
			id = own
		}
		r := codec.Record{ID: id, Job: job, Client: AdoptClient, ReceivedAt: wall().UTC().Truncate(time.Millisecond),
			ReceivedBy: host, Digest: codec.Digest(job)}
		encode := codec.EncodeXML
		if stage == spool.Submit {
			encode = codec.EncodeJSON
		}
		out, err := encode(r)
		if err != nil {
			return spool.Adoptee{}, err
		}
		return spool.Adoptee{ID: id, Data: out, Same: SameJob(r.Digest)}, nil
	}
}

// parseForeign reads a document in any of the forms that a job has.
func parseForeign(data []byte) (job codec.Job, id string, err error) {
	if isXML(data) {
		r, err := codec.DecodeXML(data)
		return r.Job, r.ID, err
	}
	job, id, err = codec.ParseJob(data)
	if err == nil {
		return job, id, nil
	}
	// Of two complaints the one about the form that it claims to have helps.
	r, jerr := codec.DecodeJSON(data)
	if jerr == nil || bytes.Contains(data, []byte(codec.JSONSchema)) {
		return r.Job, r.ID, jerr
	}
	return job, id, err
}

func isXML(data []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n\ufeff"), []byte("<"))
}

// SameJob compares what the gate has, in the form of either stage, with a job of
// the given digest.
func SameJob(digest string) func(existing []byte) (bool, error) {
	return func(existing []byte) (bool, error) {
		decode := codec.DecodeJSON
		if isXML(existing) {
			decode = codec.DecodeXML
		}
		old, err := decode(existing)
		if err != nil {
			return false, fmt.Errorf("what the gate has: %w", err)
		}
		return old.Digest == digest, nil
	}
}
