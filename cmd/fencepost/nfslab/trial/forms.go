package trial

import (
	"context"
	"errors"
	"time"
)

// Full is the full form: every fault by itself.
func Full() Form { return Form{Jobs: 500, Full: true, Lease: 10 * time.Second} }

// Short is the form for other versions and options of NFS.
func Short() Form { return Form{Jobs: 60, Lease: 10 * time.Second} }

func (t *Trial) runFull(ctx context.Context, f Form) error {
	a, b, c := t.site.Hosts[0], t.site.Hosts[1], t.site.Hosts[2]
	n := f.Jobs / 10
	var err error
	t.Cost, err = t.cost(ctx, f.Jobs-9*n, func() error {
		return t.phase(ctx, "quiet", f.Jobs-9*n, func(context.Context) error { return nil })
	})
	if err != nil {
		return err
	}
	for _, p := range []struct {
		name  string
		steps []step
	}{
		{"killed", []step{on(t.kill, a), on(t.kill, b), on(t.kill, c)}},
		{"stopped", []step{on(t.stop, b), on(t.stop, a)}},
		{"partitioned", []step{on(t.partition, c), on(t.partition, b)}},
		{"server restarted", []step{t.restart}},
		{"replies lost, server restarted", []step{
			t.lose(true, lostReply{"rename", a}, lostReply{"link", b}),
			t.lose(true, lostReply{"create", a}, lostReply{"remove", b}),
			t.lose(true, lostReply{"mkdir", a})}},
		{"replies lost", []step{
			t.lose(false, lostReply{"rename", b}, lostReply{"link", a}),
			t.lose(false, lostReply{"create", b}, lostReply{"remove", a}),
			t.lose(false, lostReply{"mkdir", b})}},
		{"out of space", []step{func(ctx context.Context) error { return t.full(ctx, 10*time.Second) }}},
		{"twin and stranger", []step{
			func(ctx context.Context) error { return t.refused(ctx, "twin hostname", "a") },
			func(ctx context.Context) error { return t.refused(ctx, "unlisted host", "stranger") }}},
		{"foreign consumer", []step{func(ctx context.Context) error { return t.steal(ctx, 3) }}},
	} {
		if err := t.phase(ctx, p.name, n, p.steps...); err != nil {
			return err
		}
	}
	return nil
}

func on(fault func(context.Context, *Member) error, m *Member) step {
	return func(ctx context.Context) error { return fault(ctx, m) }
}

func (t *Trial) lose(restart bool, lost ...lostReply) step {
	return func(ctx context.Context) error { return t.loseReplies(ctx, restart, lost...) }
}

// together takes steps at once.
func together(steps ...step) step {
	return func(ctx context.Context) error {
		errs := make(chan error, len(steps))
		for _, do := range steps {
			go func() { errs <- do(ctx) }()
		}
		var all error
		for range steps {
			all = errors.Join(all, <-errs)
		}
		return all
	}
}

// runShort: one host is stopped and one is cut off at the same time, and the
// third is killed after that; then replies get lost and the server is restarted.
func (t *Trial) runShort(ctx context.Context, f Form) error {
	a, b, c := t.site.Hosts[0], t.site.Hosts[1], t.site.Hosts[2]
	err := t.phase(ctx, "stopped and partitioned, killed", f.Jobs/2, together(on(t.stop, a), on(t.partition, b)), on(t.kill, c))
	if err != nil {
		return err
	}
	return t.phase(ctx, "replies lost, server restarted", f.Jobs-f.Jobs/2,
		t.lose(true, lostReply{"rename", a}, lostReply{"link", b}),
		t.lose(false, lostReply{"rename", b}, lostReply{"mkdir", a}),
		t.lose(false, lostReply{"create", a}, lostReply{"remove", b}))
}
