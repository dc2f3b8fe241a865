package web

import (
	"context"
	"sync"
	"time"
)

// shelf keeps a few lookouts, one a question: viewers who ask the same share the
// answer. Those that were asked the longest ago make room.
type shelf[K comparable, V any] struct {
	most  int
	every time.Duration // an answer is as old as this, at most, when somebody asks again
	limit time.Duration
	look  func(context.Context, K) (V, error)

	mu   sync.Mutex
	kept map[K]*shelved[V]
	asks uint64
}

type shelved[V any] struct {
	lookout *lookout[V]
	asked   uint64 // number of the last ask
}

// get answers, within the limit. What isn't fresh is no answer: lists of jobs that
// were there are not shown as if they were.
func (s *shelf[K, V]) get(ctx context.Context, key K) (V, error) {
	got := s.lookoutFor(key).get(ctx, s.limit)
	var none V
	switch {
	case got.trouble != nil:
		return none, got.trouble
	case !got.had && ctx.Err() != nil:
		return none, context.Cause(ctx)
	case !got.had:
		return none, errSlow
	}
	return got.value, nil
}

func (s *shelf[K, V]) lookoutFor(key K) *lookout[V] {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asks++
	if one, ok := s.kept[key]; ok {
		one.asked = s.asks
		return one.lookout
	}
	if len(s.kept) >= s.most {
		s.evict()
	}
	l := &lookout[V]{every: s.every, limit: s.limit, look: func(ctx context.Context) (V, error) { return s.look(ctx, key) }}
	if s.kept == nil {
		s.kept = map[K]*shelved[V]{}
	}
	s.kept[key] = &shelved[V]{l, s.asks}
	return l
}

// evict is called with mu held.
func (s *shelf[K, V]) evict() {
	var oldest K
	least := s.asks + 1
	for key, one := range s.kept {
		if one.asked < least {
			oldest, least = key, one.asked
		}
	}
	delete(s.kept, oldest)
}
