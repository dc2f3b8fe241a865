package probe_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"fencepost/submit"
	"fencepost/submit/internal/canary"
	"fencepost/submit/internal/probe"
)

// fake is a cluster in memory, with a change to what it does.
type fake struct {
	jobs      []submit.Job
	cancelled []string
	submitErr error
	listErr   error
	cancelErr error
	change    func(*submit.Job)
	hide      bool
}

func (f *fake) Submit(_ context.Context, r submit.Request) (string, error) {
	if f.submitErr != nil {
		return "", f.submitErr
	}
	j := submit.Job{ID: "17", Name: r.Name, Token: r.Token, State: submit.Held}
	if f.change != nil {
		f.change(&j)
	}
	f.jobs = append(f.jobs, j)
	return "17", nil
}

func (f *fake) List(context.Context) ([]submit.Job, error) {
	if f.hide {
		return nil, f.listErr
	}
	return slices.Clone(f.jobs), f.listErr
}

func (f *fake) Cancel(_ context.Context, id string) error {
	f.cancelled = append(f.cancelled, id)
	f.jobs = slices.DeleteFunc(f.jobs, func(j submit.Job) bool { return j.ID == id })
	return f.cancelErr
}

func prober() *probe.Prober {
	return &probe.Prober{Prefix: "fp-", Spool: "s", Host: "h", Epoch: func() uint64 { return 7 }, Patience: 300 * time.Millisecond}
}

func TestRun(t *testing.T) {
	failed := func(o submit.Outcome) error { return &submit.Error{Outcome: o, Op: "test"} }
	tests := []struct {
		name      string
		fake      fake
		ok        bool
		want      submit.Outcome
		cancelled int
	}{
		{"fit", fake{}, true, 0, 1},
		{"list fails", fake{listErr: failed(submit.Unavailable)}, false, submit.Unavailable, 0},
		{"full", fake{submitErr: failed(submit.Unavailable)}, false, submit.Unavailable, 0},
		{"unknown", fake{submitErr: failed(submit.Unknown)}, false, submit.Unknown, 0},
		{"rejected means this host", fake{submitErr: failed(submit.Rejected)}, false, submit.Unfit, 0},
		{"never listed", fake{hide: true}, false, submit.Unfit, 1},
		{"name changed", fake{change: func(j *submit.Job) { j.Name += "x" }}, false, submit.Unfit, 1},
		{"token lost", fake{change: func(j *submit.Job) { j.Token = "" }}, false, submit.Unfit, 1},
		{"not held", fake{change: func(j *submit.Job) { j.State = submit.Running }}, false, submit.Unfit, 1},
		{"not cancelled", fake{cancelErr: failed(submit.Unavailable)}, false, submit.Unavailable, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := prober().Run(t.Context(), &tt.fake)
			if (err == nil) != tt.ok || submit.OutcomeOf(err) != tt.want || len(tt.fake.cancelled) != tt.cancelled {
				t.Errorf("got %v, %d cancelled, want ok %v, %v, %d", err, len(tt.fake.cancelled), tt.ok, tt.want, tt.cancelled)
			}
		})
	}
}

func TestSweepTakesOnlyItsOwn(t *testing.T) {
	job := func(id, host string, epoch uint64, change func(*submit.Job)) submit.Job {
		j := submit.Job{ID: id, Name: "fp-" + canary.Key(host, epoch), Token: canary.Token("s", host, epoch), State: submit.Held}
		if change != nil {
			change(&j)
		}
		return j
	}
	f := &fake{jobs: []submit.Job{
		job("own", "h", 7, nil),
		job("own-earlier", "h", 3, nil),
		job("later", "h", 8, nil),
		job("other-host", "i", 3, nil),
		job("running", "h", 3, func(j *submit.Job) { j.State = submit.Running }),
		job("other-spool", "h", 3, func(j *submit.Job) { j.Token = canary.Token("z", "h", 3) }),
		job("job", "h", 3, func(j *submit.Job) { j.Name = "fp-0196e9f4-2222-7000-8000-000000000001" }),
	}}
	if err := prober().Run(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if want := []string{"own", "own-earlier", "17"}; !slices.Equal(f.cancelled, want) {
		t.Errorf("cancelled %q, want %q", f.cancelled, want)
	}
}

func TestCanaryGoesEvenIfTheCallerGivesUp(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	f := &fake{change: func(*submit.Job) { stop() }, hide: true}
	if err := prober().Run(ctx, f); err == nil || errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
	if len(f.cancelled) != 1 {
		t.Errorf("got %d cancelled", len(f.cancelled))
	}
}
