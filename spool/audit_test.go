package spool_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"fencepost/spool"
	"fencepost/spool/vfs/memfs"
)

// audit is a balance, counted by a host that does nothing else.
func (w *world) audit(t *testing.T) spool.Balance {
	t.Helper()
	s := must(spool.Open(newEnv(w.m.View("auditor"))))
	b, err := s.Audit(t.Context(), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

//nolint:funlen // one table of worlds and what an audit says of each
func TestAuditFinds(t *testing.T) {
	const aVanished, aDuplicate, anUngated = "vanished", "duplicated", "ungated"
	tests := map[string]struct {
		do   func(w *world, a *spool.Instance)
		want string
	}{
		"nothing": {func(*world, *spool.Instance) {}, ""},
		"files where directories should be": {func(w *world, a *spool.Instance) {
			for _, f := range []string{"gate/x", "done/x", "drafts/x", "claims/x", "sealed/x", "claims/a/7"} {
				must(a.FS.Create(f, nil))
			}
		}, ""},
		"a file that a stranger took": {func(w *world, a *spool.Instance) {
			mustDo(a.FS.Remove("xml/" + jobA + ".xml"))
		}, aVanished},
		"a claim that a stranger removed": {func(w *world, a *spool.Instance) {
			mustDo(a.FS.Remove(must(claimIn(a, spool.Translate, jobA)).Path()))
		}, aVanished},
		"an operator's copy": {func(w *world, a *spool.Instance) {
			must(a.FS.Create("xml/"+jobA+"+1.0.xml", payload(jobA)))
		}, aDuplicate},
		"a copy that is sealed": {func(w *world, a *spool.Instance) {
			must(a.FS.Create("sealed/a/1/translate~77~"+jobA+".xml", payload(jobA)))
		}, aDuplicate},
		"two copies that are sealed": {func(w *world, a *spool.Instance) {
			mustDo(a.FS.Remove("xml/" + jobA + ".xml"))
			must(a.FS.Create("sealed/a/1/translate~77~"+jobA+".xml", payload(jobA)))
			must(a.FS.Create("sealed/a/1/translate~78~"+jobA+".xml", payload(jobA)))
		}, aDuplicate},
		"a copy before and after": {func(w *world, a *spool.Instance) {
			must(a.FS.Create("json/"+jobA+".json", payload(jobA)))
		}, aDuplicate},
		"a foreign writer's": {func(w *world, a *spool.Instance) {
			must(a.FS.Create("json/"+jobB+".json", payload(jobB)))
		}, anUngated},
		"between publish and retire": {func(w *world, a *spool.Instance) {
			mustDo(advance(must(claimIn(a, spool.Translate, jobA))))
			must(a.FS.Create("sealed/a/1/translate~77~"+jobA+".xml", payload(jobA)))
		}, ""},
		"a retried job": {func(w *world, a *spool.Instance) {
			mustDo(must(claimIn(a, spool.Translate, jobA)).Fail(spool.EvRejected, "test"))
			mustDo(a.FS.Rename("failed/translate~"+jobA+".xml", "xml/"+jobA+"+1.0.xml"))
		}, ""},
		"a second copy, parked": {func(w *world, a *spool.Instance) {
			must(a.FS.Create("parked/copy~submit~b~3.4~"+jobA+".json", payload(jobA)))
		}, ""},
		"a draft of a duplicate, of a dead host": {func(w *world, a *spool.Instance) {
			must(a.FS.Create("drafts/a/1/accept~9~"+jobA+".xml", payload(jobA)))
		}, ""},
		// Found by these tests: the draft hid it.
		"a job that vanished, with such a draft": {func(w *world, a *spool.Instance) {
			must(a.FS.Create("drafts/a/1/accept~9~"+jobA+".xml", payload(jobA)))
			mustDo(a.FS.Remove("xml/" + jobA + ".xml"))
		}, aVanished},
		"an accept under way": {func(w *world, a *spool.Instance) {
			must(a.FS.Create("drafts/a/1/accept~9~"+jobB+".xml", payload(jobB)))
		}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := memWorld(t)
			a := w.start("a")
			must(w.accept(a, jobA))
			must(w.accept(a, jobC))
			tt.do(w, a)
			b := w.audit(t)
			got := map[string][]string{aVanished: b.Vanished, aDuplicate: b.Duplicated, anUngated: b.Ungated}
			for kind, ids := range got {
				want := "[]"
				if kind == tt.want {
					want = "[" + map[bool]string{true: jobB, false: jobA}[kind == anUngated] + "]"
				}
				if fmt.Sprint(ids) != want {
					t.Errorf("%s %v, want %v", kind, ids, want)
				}
			}
			if got, want := b.OK(), tt.want == "" || tt.want == anUngated; got != want {
				t.Errorf("OK = %v, want %v: %+v", got, want, b)
			}
			if sum := b.Accepting + b.Waiting + b.Claimed + b.Sealed + b.Held + b.Parked + b.Failed + b.Done; b.Accepted-sum != b.Difference {
				t.Errorf("the balance isn't one: %+v", b)
			}
		})
	}
}

// TestAuditDraftGoesOn: an accept goes on while an audit looks at its draft.
func TestAuditDraftGoesOn(t *testing.T) {
	w := memWorld(t)
	a := w.start("a")
	must(a.FS.Create("drafts/a/1/accept~9~"+jobB+".xml", payload(jobB)))
	w.m.At(memfs.Point{View: "auditor", Kind: memfs.Identify}, func() {
		mustDo(a.FS.Remove("drafts/a/1/accept~9~" + jobB + ".xml"))
	})
	if b := w.audit(t); !b.OK() || len(b.Ungated) > 0 {
		t.Errorf("%+v", b)
	}
}

// TestAuditEnds: it waits between its looks, and says so if it may not.
func TestAuditEnds(t *testing.T) {
	w := memWorld(t)
	a := w.start("a")
	must(w.accept(a, jobA))
	mustDo(a.FS.Remove("xml/" + jobA + ".xml"))
	e := newEnv(w.m.View("auditor"))
	s := must(spool.Open(e))
	if b := must(s.Audit(t.Context(), time.Minute)); b.OK() || e.Now() != 2*time.Minute {
		t.Errorf("after %v: %+v, want three looks, a minute apart", e.Now(), b)
	}
	why := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := s.Audit(ctx, time.Minute); !errors.Is(err, why) {
		t.Errorf("audit = %v, want %v", err, why)
	}
}

// TestAuditOfNothing: a share that isn't there is no balanced spool.
func TestAuditOfNothing(t *testing.T) {
	w := memWorld(t)
	a := w.start("a")
	mustDo(a.FS.Rename("gate", "moved"))
	if b, err := a.Audit(t.Context(), time.Second); err == nil {
		t.Errorf("audit without a gate: %+v", b)
	}
}
