package secure

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// WatchSecret reads a file with one line, a secret, and looks again when it is
// asked for it and every is over. The error of get says why the last look wasn't
// taken: the secret that comes with it is what was read before.
func WatchSecret(file string, every time.Duration) (get func() (string, error), err error) {
	var last error // guarded by w.mu, under which judge and warn are called
	w := &watched[string]{files: []string{file}, every: every, warn: func(err error) { last = err },
		parse: func(contents [][]byte) (string, error) {
			text := bytes.TrimSpace(contents[0])
			if len(text) == 0 || bytes.ContainsAny(text, " \t\r\n") {
				return "", fmt.Errorf("%s: not one line with one word", file)
			}
			return string(text), checkSecret(file)
		}}
	if err := w.start(); err != nil {
		return nil, err
	}
	return func() (string, error) {
		v := w.get()
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.failed == "" {
			last = nil
		}
		return v, errors.Join(last)
	}, nil
}
