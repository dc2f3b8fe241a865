package node

import (
	"context"
	"errors"

	"fencepost/spool"
)

// adopt takes over what a foreign writer puts into an inbox: looked at quicker
// while something comes, slower while nothing does.
func (s *session) adopt(ctx context.Context, box spool.Inbox) {
	cfg := s.n.cfg
	a := spool.NewAdopter(s.in, box)
	pause := cfg.Poll
	for cfg.Env.Sleep(ctx, pause) == nil {
		pause = min(2*pause, cfg.MaxPoll)
		if s.paused() {
			continue
		}
		adopted, err := a.Pass(ctx)
		if adopted > 0 {
			pause = cfg.Poll
			if s.translate != nil {
				s.translate.Hint()
			}
			s.hintSubmit()
		}
		switch {
		case errors.Is(err, spool.ErrFenced):
			return
		case err != nil:
			s.in.Warn("adopt from "+box.Dir, err)
		}
	}
}
