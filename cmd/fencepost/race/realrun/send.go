package realrun

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"fencepost/cmd/fencepost/client"
	"fencepost/cmd/fencepost/race"
	"fencepost/codec"
)

// sent is a job that a client sends until it hears ACCEPTED.
type sent struct {
	job      codec.Job
	digest   string
	accepted int // answers
	again    int // of them, those that said duplicate
}

// letter is a decision about a job: when it is sent, by which client first, and
// whether the other client sends the same at the same time.
type letter struct {
	at    time.Duration
	first int
	twice bool
}

// letters are decided by the seed; they fill the time of the faults.
func letters(o Options) (all []letter) {
	rnd := rand.New(rand.NewPCG(o.Seed, 0))
	for i := range o.Jobs {
		at := o.Time * 9 / 10 * time.Duration(i) / time.Duration(o.Jobs)
		all = append(all, letter{at: at, first: rnd.IntN(2), twice: rnd.IntN(6) == 0})
	}
	return all
}

// send sends all jobs and returns when each was accepted, or ctx is done.
func (r *run) send(ctx context.Context) error {
	var clients []*client.Client
	addrs := make([]string, 0, len(r.hosts))
	for _, h := range r.hosts {
		addrs = append(addrs, h.addr)
	}
	for i := range 2 {
		c, err := client.New(client.Config{Addrs: slices.Clone(addrs), Name: fmt.Sprintf("race-%d", i), Software: "fencepost race",
			Connect: 2 * time.Second, Answer: 2 * r.o.Lease, Ping: r.o.Lease / 2, Silence: r.o.Lease,
			MinPause: 100 * time.Millisecond, MaxPause: time.Second})
		if err != nil {
			return err
		}
		defer c.Close()
		clients = append(clients, c)
		slices.Reverse(addrs)
	}
	var all sync.WaitGroup
	defer all.Wait() // before the clients are closed
	for i, l := range letters(r.o) {
		if !sleep(ctx, time.Until(r.began.Add(l.at))) {
			return nil
		}
		u, err := uuid.NewV7()
		if err != nil {
			return err
		}
		j := codec.Job{Name: fmt.Sprintf("race-%d", i), Script: "#!/bin/sh\ntrue\n", Args: []string{fmt.Sprint(i)}}
		r.mu.Lock()
		r.sent[u.String()] = &sent{job: j, digest: codec.Digest(j)}
		r.mu.Unlock()
		for k := range clients {
			if k == l.first || l.twice {
				all.Go(func() { r.sendOne(ctx, clients[k], u.String(), j) })
			}
		}
	}
	return nil
}

// sendOne sends a job, under one id, until a host says ACCEPTED.
func (r *run) sendOne(ctx context.Context, c *client.Client, id string, j codec.Job) {
	for ctx.Err() == nil {
		res, err := c.Send(ctx, id, j)
		var refused *client.RefusedError
		switch {
		case err == nil:
			r.mu.Lock()
			r.sent[id].accepted++
			if res.Duplicate {
				r.sent[id].again++
			}
			r.mu.Unlock()
			return
		case errors.As(err, &refused):
			r.fail(race.Violation{Class: race.Safety, Kind: "refused", Job: id, Text: fmt.Sprintf("job %s is good, and was %s", id, err)})
			return
		}
		sleep(ctx, 100*time.Millisecond)
	}
}
