package submit_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"fencepost/submit"
)

func TestReleased(t *testing.T) {
	all := &submit.Error{Outcome: submit.Unfit}
	one := &submit.ReleaseError{Failed: []submit.IDError{{ID: "2", Err: &submit.Error{Outcome: submit.Rejected}}}}
	for _, c := range []struct {
		err  error
		id   string
		want error
	}{{nil, "1", nil}, {all, "1", all}, {one, "1", nil}, {one, "2", one.Failed[0].Err}} {
		if got := submit.Released(c.err, c.id); !errors.Is(got, c.want) {
			t.Errorf("%v, %s: got %v, want %v", c.err, c.id, got, c.want)
		}
	}
	if got := submit.OutcomeOf(one); got != submit.Rejected {
		t.Errorf("got %v, want the failed one's", got)
	}
}

// denying releases all but the first job of the first batch that it is asked for.
type denying struct {
	submit.Cluster
	first string
}

func (c *denying) Release(ctx context.Context, ids []string) error {
	var others []string
	failed := &submit.ReleaseError{}
	for _, id := range ids {
		if c.first == "" && len(ids) > 1 {
			c.first = id
		}
		if c.first == id {
			failed.Failed = append(failed.Failed, submit.IDError{ID: id, Err: &submit.Error{Outcome: submit.Unfit, Op: "release " + id}})
			continue
		}
		others = append(others, id)
	}
	err := c.Cluster.Release(ctx, others)
	if err == nil && len(failed.Failed) > 0 {
		return failed
	}
	return err
}

// TestOneOfManyIsNotReleased: the others count as released, and the one goes on
// being held, and counts against the window.
func TestOneOfManyIsNotReleased(t *testing.T) {
	w := memWorld(t, simOptions(heldCaps))
	w.wrap = func(c submit.Cluster) submit.Cluster { return &denying{Cluster: c} }
	w.feed(10)
	p := w.start("a")
	w.env.RunFor(time.Minute)
	if st := p.eng.Stats(); st.Released != 9 || st.Confirmed != 9 || p.eng.Tracked() != 1 {
		t.Errorf("%+v, %d tracked, want 9 released and one waiting", st, p.eng.Tracked())
	}
}
