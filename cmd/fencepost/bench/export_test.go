package bench

import "context"

// PurposeOf is what an operation of a host is for.
var PurposeOf = purposeOf

// Pair is the part of a run that compares with the cluster's bare calls.
type Pair struct{ *pair }

// NewPair starts one.
func NewPair(ctx context.Context, cfg Config) (Pair, error) {
	b := &bench{cfg: cfg, root: cfg.Dir, pulse: newPulse(cfg), rep: &Report{}}
	p, err := b.newPair(ctx)
	return Pair{p}, err
}

// Submitted, Bare and Close are the pair's.
func (p Pair) Submitted(ctx context.Context, n int) (float64, error) { return p.submitted(ctx, n) }
func (p Pair) Bare(ctx context.Context, n int) (float64, error)      { return p.bare(ctx, n) }
func (p Pair) Close()                                                { p.close() }

// Add adds a round.
func (c *Cluster) Add(x Bare) { c.add(x) }
