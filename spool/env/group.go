package env

import (
	"context"
	"slices"
	"sync"
	"time"
)

// groupPoll bounds one wait for a signal. It costs nothing that it is short of
// for ever, and in the simulator it is one event an hour of virtual time.
const groupPoll = time.Hour

// Group waits for the tasks that it started. It is made of a counter and a
// Signal, not of a sync.WaitGroup: to block on one would stop a simulator that
// runs one task at a time.
type Group struct {
	env  Env
	idle Signal

	mu      sync.Mutex     // never held across a call to env
	running map[string]int // by name; no zero values
}

// NewGroup returns a group without tasks.
func NewGroup(e Env) *Group {
	return &Group{env: e, idle: e.NewSignal(), running: make(map[string]int)}
}

// Go starts a task. It may be called by tasks of the group.
func (g *Group) Go(name string, task func()) {
	g.mu.Lock()
	g.running[name]++
	g.mu.Unlock()
	g.env.Go(name, func() {
		defer g.ended(name)
		task()
	})
}

func (g *Group) ended(name string) {
	g.mu.Lock()
	g.running[name]--
	if g.running[name] == 0 {
		delete(g.running, name)
	}
	last := len(g.running) == 0
	g.mu.Unlock()
	if last {
		g.idle.Notify()
	}
}

// Wait returns nil once no task runs, or the cause of ctx's end. Only one
// caller may wait at a time. The group can be used again afterwards.
func (g *Group) Wait(ctx context.Context) error {
	for len(g.Running()) > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		g.idle.Wait(ctx, groupPoll)
	}
	return nil
}

// Running names the tasks that haven't ended, sorted, each name once: what a
// stop that takes long is waiting for.
func (g *Group) Running() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	names := make([]string, 0, len(g.running))
	for name := range g.running {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
