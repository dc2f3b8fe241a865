package spool

import (
	"context"
	"errors"

	"fencepost/spool/env/drill"
)

// Translator is the translate stage: its work is a pure function.
type Translator struct {
	// Convert turns an accepted file into the next stage's. An error means
	// that the job is bad.
	Convert func(data []byte) ([]byte, error)
}

// Work translates one claim: read, draft, seal, publish.
func (tr Translator) Work(_ context.Context, c *Claim) {
	if err := tr.work(c); err != nil && !errors.Is(err, ErrLost) {
		c.in.Warn("translate", err)
	}
}

func (tr Translator) work(c *Claim) error {
	data, err := c.Read()
	if errors.Is(err, errTooLarge) || errors.Is(err, errNotRegular) {
		return c.Fail(EvQuarantine, err.Error())
	}
	if err != nil {
		return errors.Join(err, c.Return(Why{Reason: err.Error()}))
	}
	out, err := tr.Convert(data)
	if err != nil {
		return c.Fail(EvRejected, err.Error())
	}
	if drill.Broken(c.in.Env, drill.CommitFirst) {
		s, err := c.Seal("")
		if err != nil {
			return err
		}
		return errors.Join(c.Draft(out), s.Publish())
	}
	if err := c.Draft(out); err != nil {
		return errors.Join(err, c.Return(Why{Reason: err.Error()}))
	}
	s, err := c.Seal("")
	if err != nil {
		return err
	}
	return s.Publish()
}
