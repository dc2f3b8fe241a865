package submit

import "fmt"

// A black hole is a host on which everything fails quickly, so that it eats the
// work of all. Its probe may pass: what is wrong shows only in real jobs. It is
// known by standing out: most of its last submissions failed, while those of
// its peers, of the same spool's jobs, did not.
const (
	recentKept = 20 // outcomes that are remembered
	badLeast   = 5  // failures among them, at least
	peersLeast = 5  // outcomes of peers that are worth a comparison
)

// Recent sums up this host's last submissions: those that the cluster took, and
// those that failed as if they were the job's fault, or unclear.
func (e *Engine) Recent() (ok, bad int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return sumUp(e.recent)
}

func sumUp(recent []bool) (ok, bad int) {
	for _, took := range recent {
		if took {
			ok++
		} else {
			bad++
		}
	}
	return ok, bad
}

// outcome notes one submission. The error says that this host stands out: then
// nothing that fails here counts against a job, and the host may only try one
// at a time until one succeeds.
func (e *Engine) outcome(took bool) error {
	e.mu.Lock()
	e.recent = append(e.recent, took)
	if len(e.recent) > recentKept {
		e.recent = e.recent[1:]
	}
	ok, bad := sumUp(e.recent)
	e.mu.Unlock()
	if took || e.Peers == nil || bad < badLeast || bad < ok {
		return nil
	}
	peersOK, peersBad := e.Peers()
	if peersOK < peersLeast || peersBad*10 > peersOK+peersBad {
		return nil
	}
	return &Error{Outcome: Unfit, Op: "compare with peers", Detail: fmt.Sprintf(
		"of this host's last %d submissions %d failed, of its peers' last %d only %d", ok+bad, bad, peersOK+peersBad, peersBad)}
}
