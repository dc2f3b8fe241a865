package doctor

import "context"

// tryPair has a second process of this host race with this one: a client may
// keep apart what one process does, and mix up what two do.
func tryPair(ctx context.Context, p *patient) Finding {
	if p.Pair == nil {
		return skipped("no second process was asked for")
	}
	rep, err := p.Pair(ctx, []string{"create", "mkdir", "link", "rename", "fence"})
	if err != nil {
		return unable(err)
	}
	f := good()
	for _, ph := range rep.Phases {
		for _, problem := range ph.Problems {
			f.add(Refuse, useNFS+"; fencepost fstest shows more", ph.Name+": "+problem)
		}
		if ph.Pass {
			f.Evidence = append(f.Evidence, ph.Name+": "+ph.Evidence[0])
		}
	}
	return f
}
