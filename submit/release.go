package submit

import (
	"errors"
	"fmt"
)

// ReleaseError is what a release of several ids came to: those that are not in it
// were released.
type ReleaseError struct{ Failed []IDError }

// IDError is what one of them came to.
type IDError struct {
	ID  string
	Err error
}

func (e *ReleaseError) Error() string {
	if len(e.Failed) == 0 {
		return "release"
	}
	s := e.Failed[0].Err.Error()
	if n := len(e.Failed) - 1; n > 0 {
		s += fmt.Sprintf(" (and %d more ids)", n)
	}
	return s
}

// Unwrap returns what each of them came to.
func (e *ReleaseError) Unwrap() []error {
	var all []error
	for _, f := range e.Failed {
		all = append(all, f.Err)
	}
	return all
}

// Released says what a release came to for one of its ids: an error that isn't a
// *ReleaseError is that of each.
func Released(err error, id string) error {
	var several *ReleaseError
	if !errors.As(err, &several) {
		return err
	}
	for _, f := range several.Failed {
		if f.ID == id {
			return f.Err
		}
	}
	return nil
}
