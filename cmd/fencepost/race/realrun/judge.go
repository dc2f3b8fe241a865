package realrun

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"fencepost/cmd/fencepost/race"
	"fencepost/spool"
)

// key is what the cluster did with a job, over all of its submissions.
type key struct{ releases, starts, ends, held int }

// keys counts the book by the jobs' ids.
func (b *book) keys() map[string]key {
	all := map[string]key{}
	for _, j := range b.jobs {
		k := all[j.key]
		k.releases += j.releases
		k.starts += j.starts
		if j.ended {
			k.ends++
		}
		if j.held() {
			k.held++
		}
		all[j.key] = k
	}
	return all
}

// judgeBook looks for what must not be in the book, at any moment.
func (r *run) judgeBook(b *book) *race.Violation {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := b.keys()
	for _, id := range slices.Sorted(maps.Keys(all)) {
		k, was := all[id], r.sent[id]
		kind, text := "", ""
		switch {
		case was == nil && k.releases > 0:
			kind, text = "stranger", fmt.Sprintf("%s was released at the cluster, and no client ever sent it", id)
		case k.starts > 1:
			kind, text = "twice", fmt.Sprintf("job %s was started %d times at the cluster", id, k.starts)
		case k.releases > 1:
			kind, text = "twice", fmt.Sprintf("job %s was released %d times at the cluster", id, k.releases)
		}
		if kind != "" {
			return &race.Violation{Class: race.Safety, Kind: kind, Job: id, Text: text, Detail: strings.Join(b.history(id), "\n")}
		}
	}
	for _, j := range b.jobs {
		if was := r.sent[j.key]; was != nil && was.digest != j.digest {
			return &race.Violation{Class: race.Safety, Kind: "payload", Job: j.key,
				Text: fmt.Sprintf("job %s reached the cluster with another content than was sent", j.key), Detail: strings.Join(b.history(j.key), "\n")}
		}
	}
	return nil
}

// judgeBalance looks at an audit. This cluster answers every question, and all
// jobs are good: nothing is set aside with cause.
func (r *run) judgeBalance(ctx context.Context, bal spool.Balance) *race.Violation {
	job := func(lists ...[]string) string {
		for _, l := range lists {
			if len(l) > 0 {
				return l[0]
			}
		}
		return ""
	}
	switch {
	case !bal.OK():
		return &race.Violation{Class: race.Safety, Kind: "audit", Job: job(bal.Vanished, bal.Duplicated),
			Text: fmt.Sprintf("the audit's difference is %d; vanished: %v; in two places: %v", bal.Difference, bal.Vanished, bal.Duplicated)}
	case bal.Parked+bal.Failed+bal.Held == 0:
		return nil
	}
	v := &race.Violation{Class: race.Safety, Kind: "set-aside",
		Text: fmt.Sprintf("%d jobs parked, %d failed, %d held, with a cluster that answers and jobs that are good", bal.Parked, bal.Failed, bal.Held)}
	found, err := within(ctx, func() (f spool.Found, err error) {
		err = r.sp.Scan(func(o spool.Found) {
			if o.Place == spool.PlaceParked || o.Place == spool.PlaceFailed || o.Place == spool.PlaceHeld {
				f = o
			}
		})
		return f, err
	})
	if err == nil && found.Path != "" {
		v.Job = found.Name.ID
		v.Text += fmt.Sprintf(": job %s is %s, and the cluster started it %d times", v.Job, found.Place, r.starts(v.Job))
	}
	return v
}

// starts is how often a job was started at the cluster.
func (r *run) starts(id string) int {
	b, err := openBook(r.base, r.o.Bug)
	if err != nil {
		return 0
	}
	defer b.close()
	return b.keys()[id].starts
}

// open says what isn't over yet, by the clients and the book; "" is nothing.
func (r *run) open(b *book) (what, job string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := b.keys()
	unheard, waiting := r.o.Jobs-len(r.sent), 0
	for _, id := range slices.Sorted(maps.Keys(r.sent)) {
		switch {
		case r.sent[id].accepted == 0:
			unheard++
		case all[id].ends == 0:
			waiting++
		default:
			continue
		}
		job = id
	}
	held := 0
	for _, k := range all {
		held += k.held
	}
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{unheard, "sent and not heard to be accepted"}, {waiting, "accepted and not ended at the cluster"}, {held, "held at the cluster"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	return strings.Join(parts, ", "), job
}

// judgeEnd looks at the end: each job that a client was told is accepted was
// released once and started once.
func (r *run) judgeEnd(b *book, bal spool.Balance) *race.Violation {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := b.keys()
	accepted := 0
	for _, id := range slices.Sorted(maps.Keys(r.sent)) {
		if r.sent[id].accepted == 0 {
			continue
		}
		accepted++
		if k := all[id]; k.releases != 1 || k.starts != 1 {
			return &race.Violation{Class: race.Safety, Kind: "lost", Job: id, Detail: strings.Join(b.history(id), "\n"),
				Text: fmt.Sprintf("job %s was accepted, and was released %d times and started %d times at the cluster, not once", id, k.releases, k.starts)}
		}
	}
	if bal.Accepted != accepted {
		return &race.Violation{Class: race.Safety, Kind: "lost",
			Text: fmt.Sprintf("the clients were told %d times that a job is accepted, the audit counts %d", accepted, bal.Accepted)}
	}
	return nil
}
