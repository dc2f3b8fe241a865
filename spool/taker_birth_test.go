package spool_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"fencepost/spool"
)

// restingTaker is a taker that has looked, found nothing, and rests. ask is called
// for its room.
func restingTaker(t *testing.T, ctx context.Context, ask func() int) (tk *spool.Taker, passed *atomic.Int64, ended chan struct{}) {
	t.Helper()
	w := memWorld(t)
	passed, ended = &atomic.Int64{}, make(chan struct{})
	tk = &spool.Taker{In: w.start("a"), Stage: spool.Translate, Poll: time.Hour, MaxPoll: time.Hour, Room: ask,
		Passed: func() { passed.Add(1) }, Work: func(context.Context, *spool.Claim) {}}
	tk.Init()
	go func() { tk.Run(ctx, ctx); close(ended) }()
	until(t, "the first look", func() bool { return passed.Load() == 1 })
	return tk, passed, ended
}

func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for range 3000 {
		if so() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s didn't come about", what)
}

// TestHole_6_3_RoomAfterTheEnd: the cluster is asked for free slots while an entry
// is about to be taken at its birth; the instance stops meanwhile, and its taker
// ends. No task may begin that nobody waits for.
func TestHole_6_3_RoomAfterTheEnd(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var late atomic.Bool
	asked, answer := make(chan struct{}), make(chan struct{})
	tk, _, ended := restingTaker(t, ctx, func() int {
		if late.Load() {
			close(asked)
			<-answer
		}
		return 1
	})
	late.Store(true)
	kept := make(chan bool)
	go func() { kept <- tk.Reserve() }()
	<-asked
	stop()
	<-ended
	close(answer)
	if <-kept {
		t.Error("room is kept by a taker that has ended")
	}
	if tk.Busy() != 0 {
		t.Errorf("%d at work", tk.Busy())
	}
}

// TestTurnedAwayIsNoLook: while Reserve waits for an answer about room, the taker
// doesn't look, so it must not pass for one that does: who watches for a hang
// would never see it. Afterwards it looks.
func TestTurnedAwayIsNoLook(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var slow atomic.Bool
	asked, answer := make(chan struct{}), make(chan struct{})
	tk, passed, ended := restingTaker(t, ctx, func() int {
		if slow.CompareAndSwap(true, false) {
			close(asked)
			<-answer
		}
		return 1
	})
	slow.Store(true)
	kept := make(chan bool)
	go func() { kept <- tk.Reserve() }()
	<-asked
	for range 20 {
		tk.Hint()
		time.Sleep(5 * time.Millisecond)
	}
	if n := passed.Load(); n != 1 {
		t.Errorf("%d looks, want 1: none can have been made since", n)
	}
	close(answer)
	if !<-kept {
		t.Error("there was room")
	}
	until(t, "a look", func() bool { return passed.Load() > 1 })
	tk.Begin(nil)
	stop()
	<-ended
}
