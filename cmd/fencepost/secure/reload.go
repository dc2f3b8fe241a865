package secure

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
)

// watched is a value made of a few small files, made again when their contents
// have changed. Files are read, not their times compared: a time may be kept by
// who replaces a file.
type watched[T any] struct {
	files []string
	parse func(contents [][]byte) (T, error)
	judge func(T) error // what is to be said of a value at each look, though it stays in force; may be nil
	every time.Duration // between two looks
	warn  func(error)   // what went wrong with a later look; nil = nobody

	mu       sync.Mutex
	looked   time.Time
	contents [][]byte
	value    T
	failed   string // the last error, so that it is said once
	judged   string // the same of judge
}

// start reads the files for the first time.
func (w *watched[T]) start() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	contents, err := readAll(w.files)
	if err != nil {
		return err
	}
	v, err := w.parse(contents)
	if err != nil {
		return err
	}
	w.contents, w.value, w.looked = contents, v, time.Now()
	w.look()
	return nil
}

// look says what is to be said of the value, once. mu is held.
func (w *watched[T]) look() {
	if w.judge == nil || w.warn == nil {
		return
	}
	said := ""
	if err := w.judge(w.value); err != nil {
		if said = err.Error(); said != w.judged {
			w.warn(err)
		}
	}
	w.judged = said
}

// get is the value of the files as they are, or were at the last good look.
func (w *watched[T]) get() T {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.looked) < w.every {
		return w.value
	}
	w.looked = time.Now()
	contents, err := readAll(w.files)
	if err == nil && !slices.EqualFunc(contents, w.contents, bytes.Equal) {
		var v T
		if v, err = w.parse(contents); err == nil {
			w.contents, w.value = contents, v
		}
	}
	switch {
	case err == nil:
		w.failed = ""
	case err.Error() != w.failed && w.warn != nil:
		w.failed = err.Error()
		w.warn(fmt.Errorf("what was read before stays in force: %w", err))
	}
	w.look()
	return w.value
}

func readAll(files []string) ([][]byte, error) {
	var all [][]byte
	for _, f := range files {
		data, err := readSmall(f)
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

// maxFile bounds such a file, bytes.
const maxFile = 1 << 20

func readSmall(name string) ([]byte, error) {
	fi, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() || fi.Size() > maxFile {
		return nil, fmt.Errorf("read %s: not a regular file of at most %d bytes", name, maxFile)
	}
	return os.ReadFile(name)
}

// checkSecret refuses a file that others may read, or change.
func checkSecret(name string) error {
	fi, err := os.Stat(name)
	if err != nil {
		return err
	}
	if p := fi.Mode().Perm(); p&0o077 != 0 {
		return fmt.Errorf("%s has mode %04o: others may read the secret; chmod 600 %s", name, p, name)
	}
	return nil
}
