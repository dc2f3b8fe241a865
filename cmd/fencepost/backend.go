package main

import (
	"context"
	"errors"

	"fencepost/cmd/fencepost/ingest"
	"fencepost/cmd/fencepost/node"
	"fencepost/codec"
	"fencepost/spool"
)

// backend is what stands behind the ingest server: the node's instance.
type backend struct {
	node   *node.Node
	marks  *marks
	states *states
}

var _ ingest.Backend = (*backend)(nil)

// Accept makes a job durable.
func (b *backend) Accept(_ context.Context, r codec.Record) (duplicate bool, err error) {
	if err := b.marks.check(); err != nil {
		return false, err
	}
	data, err := codec.EncodeXML(r)
	if err != nil {
		return false, err
	}
	a, err := b.node.Accept(r.ID, data, node.SameJob(r.Digest))
	if errors.Is(err, node.ErrNotReady) {
		return false, ingest.ErrBusy
	}
	return a.Duplicate, err
}

// State says where a job is.
func (b *backend) State(_ context.Context, id string) (codec.State, error) {
	found, err := b.states.of(id)
	if err != nil {
		return codec.State{}, err
	}
	if len(found) == 0 {
		return codec.State{}, spool.ErrNotFound
	}
	best := spool.Furthest(found)
	return codec.State{State: string(best.Place), ClusterID: best.Name.Cluster, Host: best.Name.Host,
		Detail: string(best.Name.Stage)}, nil
}
