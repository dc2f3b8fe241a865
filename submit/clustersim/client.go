package clustersim

import (
	"context"
	"fmt"
	"strings"
	"time"

	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/submit"
)

// Call is one call of one host.
type Call struct {
	N    int    // counts all calls, from 0
	Host string // whose
	Op   string // one of the names below
	Arg  string // job name, or id
}

func (c Call) String() string { return fmt.Sprintf("%d %s %s %s", c.N, c.Host, c.Op, c.Arg) }

// The operations that calls name.
const (
	OpPin     = "pin"
	OpProbe   = "probe"
	OpSubmit  = "submit"
	OpList    = "list"
	OpRelease = "release" // one call for each id
	OpCancel  = "cancel"
	OpPast    = "past"
)

// Verdict says what becomes of a call. The zero value lets it through.
type Verdict struct {
	Apply bool          // with any other field set: the cluster does it
	Err   error         // what the caller gets instead of an answer
	Hang  time.Duration // the answer takes so much longer
	Late  time.Duration // the cluster does it so much later, answered or not
	Die   bool          // the caller's host dies after it, or, without Apply, before
}

// Site is one client's configuration.
type Site struct {
	Host   string
	Prefix string // of this spool's job names
	Kill   func() // kills the host, for Verdict.Die
}

// Client is the cluster as one host sees it.
type Client struct {
	sim  *Sim
	env  env.Env
	site Site
}

var _ submit.Cluster = (*Client)(nil)

// Client returns the cluster for a process.
func (s *Sim) Client(e env.Env, site Site) *Client { return &Client{s, e, site} }

// Caps implements submit.Cluster.
func (c *Client) Caps() submit.Caps { return c.sim.opt.Caps }

// Slots implements submit.Cluster: no limit.
func (c *Client) Slots(context.Context) (int, error) { return -1, nil }

// call is one exchange: here other tasks may run, before the effect and after.
func (c *Client) call(ctx context.Context, op, arg string, effect func() error) error {
	s := c.sim
	call := Call{N: s.calls, Host: c.site.Host, Op: op, Arg: arg}
	s.calls++
	_ = c.env.Sleep(context.WithoutCancel(ctx), s.opt.Latency/2)
	v := Verdict{}
	if s.Inject != nil {
		v = s.Inject(call)
	}
	if v == (Verdict{}) || v.Hang > 0 && v == (Verdict{Hang: v.Hang}) {
		v.Apply = true
	}
	s.around(call, false)
	var err error
	if v.Late > 0 {
		s.later(v.Late, effect)
	}
	if v.Apply {
		s.evolve()
		s.Land()
		switch {
		case s.Down:
			err = &submit.Error{Outcome: submit.Unavailable, Op: op, Detail: "controller is down"}
		default:
			err = effect()
		}
	}
	s.around(call, true)
	if v.Die && c.site.Kill != nil {
		c.site.Kill()
	}
	_ = c.env.Sleep(context.WithoutCancel(ctx), s.opt.Latency-s.opt.Latency/2+v.Hang)
	if v.Err != nil {
		return v.Err
	}
	if ctx.Err() != nil {
		return &submit.Error{Outcome: submit.Unknown, Op: op, Err: context.Cause(ctx)}
	}
	return err
}

// Pin implements submit.Cluster.
func (c *Client) Pin(ctx context.Context) (map[string]string, error) {
	var pin map[string]string
	err := c.call(ctx, OpPin, "", func() error {
		pin = map[string]string{"backend": "sim", "name": "one"}
		if c.sim.Another[c.site.Host] {
			pin["name"] = "another"
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return pin, nil
}

// Probe implements submit.Cluster.
func (c *Client) Probe(ctx context.Context) error {
	return c.call(ctx, OpProbe, "", func() error {
		if err := c.sim.Unfit[c.site.Host]; err != nil {
			return err
		}
		return c.sim.full(OpProbe)
	})
}

func (s *Sim) full(op string) error {
	if s.opt.MaxJobs > 0 && len(s.jobs) >= s.opt.MaxJobs {
		return &submit.Error{Outcome: submit.Unavailable, Op: op, Detail: "too many jobs"}
	}
	return nil
}

// Submit implements submit.Cluster.
func (c *Client) Submit(ctx context.Context, r submit.Request) (string, error) {
	s := c.sim
	id := ""
	err := c.call(ctx, OpSubmit, r.Name, func() error {
		if err := s.Unfit[c.site.Host]; err != nil {
			return err
		}
		if s.Reject[r.Name] {
			return &submit.Error{Outcome: submit.Rejected, Op: OpSubmit, Detail: "bad job"}
		}
		if err := s.full(OpSubmit); err != nil {
			return err
		}
		id = s.submit(r)
		return nil
	})
	if err != nil {
		return "", err
	}
	return id, nil
}

// List implements submit.Cluster. A host that is configured for another
// cluster sees that one: nothing of ours.
func (c *Client) List(ctx context.Context) ([]submit.Job, error) {
	if !c.Caps().List {
		return nil, submit.ErrNotSupported
	}
	var jobs []submit.Job
	err := c.call(ctx, OpList, "", func() error {
		c.sim.Stats.Listings++
		if !c.sim.Another[c.site.Host] {
			jobs = c.sim.listing()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, j := range jobs {
		if key, ok := strings.CutPrefix(j.Name, c.site.Prefix); ok && spool.ValidID(key) {
			jobs[i].Key = key
		}
	}
	return jobs, nil
}

// Release implements submit.Cluster.
func (c *Client) Release(ctx context.Context, ids []string) error {
	if !c.Caps().Hold {
		return submit.ErrNotSupported
	}
	var first error
	for _, id := range ids {
		err := c.call(ctx, OpRelease, id, func() error {
			if j := c.sim.jobs[id]; j != nil && !c.sim.Another[c.site.Host] {
				c.sim.release(j)
			}
			return nil
		})
		if first == nil {
			first = err
		}
	}
	return first
}

// Cancel implements submit.Cluster: it spares what isn't held.
func (c *Client) Cancel(ctx context.Context, id string) error {
	return c.call(ctx, OpCancel, id, func() error {
		if j := c.sim.jobs[id]; j != nil && (j.state == submit.Held || c.sim.CancelRuns && !j.state.Ended()) && !c.sim.Another[c.site.Host] {
			c.sim.end(j, submit.Cancelled, c.sim.opt.Now())
			c.sim.Stats.Cancelled++
		}
		return nil
	})
}

// Past implements submit.Cluster: the newest record of an id.
func (c *Client) Past(ctx context.Context, id string) (submit.Past, error) {
	if !c.Caps().Past {
		return submit.Past{}, submit.ErrNotSupported
	}
	var past submit.Past
	err := c.call(ctx, OpPast, id, func() error {
		for _, r := range c.sim.records {
			if r.id == id && c.sim.opt.Now()-r.at >= c.sim.opt.PastLag {
				past = r.past
			}
		}
		return nil
	})
	return past, err
}
