package lease

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/vfs"
)

// The limits of what this package reads.
const maxFile = 64 << 10

// tries of an operation that may be tried again, and the first pause between.
const (
	attempts   = 5
	firstPause = 50 * time.Millisecond
)

// draftPrefix begins the names under which files are written before they are
// linked: no host and no number begins so.
const draftPrefix = "new~"

// files are the file operations of this package that need more than one call.
type files struct {
	env env.Env
	fs  vfs.FS
}

func filesOf(e env.Env) files { return files{env: e, fs: e.FS()} }

// again calls try until it is nil or final, with pauses in between.
func (f files) again(ctx context.Context, try func() error) error {
	pause := firstPause
	for i := 1; ; i++ {
		err := try()
		if err == nil || i == attempts || isFinal(err) {
			return err
		}
		if f.env.Sleep(ctx, pause) != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		pause *= 2
	}
}

// isFinal tells answers from failures: what is not the system's error.
func isFinal(err error) bool {
	var errno syscall.Errno
	return !errors.As(err, &errno)
}

func isErr(err error, errnos ...syscall.Errno) bool {
	return slices.ContainsFunc(errnos, func(e syscall.Errno) bool { return errors.Is(err, e) })
}

// notThere are the answers of a read that may mean "no such name". They may be
// stale: only a listing afterwards counts.
func notThere(err error) bool { return isErr(err, syscall.ENOENT, syscall.ESTALE) }

// has lists the parent of name afresh. A parent that isn't there is an error.
func has(fs vfs.FS, name string) (bool, error) {
	names, err := vfs.ListAfresh(fs, path.Dir(name))
	return slices.Contains(names, path.Base(name)), err
}

// names lists dir; a directory that isn't there is empty.
func names(fs vfs.FS, dir string) ([]string, error) {
	got, err := vfs.ListAfresh(fs, dir)
	if notThere(err) {
		return nil, nil
	}
	slices.Sort(got)
	return got, err
}

// ensureDir makes dir, which others may make at the same time. Its parent must
// exist. Never used for a directory that belongs to one instance.
func (f files) ensureDir(ctx context.Context, dir string) error {
	return f.again(ctx, func() error {
		there, err := has(f.fs, dir)
		if err != nil || there {
			return err
		}
		merr := f.fs.Mkdir(dir)
		if there, err = has(f.fs, dir); err != nil {
			return errors.Join(merr, err)
		}
		if !there {
			return errOr(merr, fmt.Errorf("make directory %s: %w", dir, syscall.ENOENT))
		}
		return f.fs.Sync(path.Dir(dir))
	})
}

// hostDirs makes what every host or command has below hosts/.
func (f files) hostDirs(ctx context.Context, owner string) error {
	for _, dir := range []string{spool.HostDir(owner), spool.EpochsDir(owner), spool.FencedDir(owner),
		spool.JournalDir(owner), blameDir(owner)} {
		if err := f.ensureDir(ctx, dir); err != nil {
			return fmt.Errorf("make directories of host %s: %w", owner, err)
		}
	}
	return nil
}

// publish makes name with data, unless it exists: ours says who made it. The
// data is written under a name of its own and linked: create alone would let
// others, and those who come after a crash, see an empty file.
func (f files) publish(ctx context.Context, name string, data []byte) (ours bool, err error) {
	var draft string
	var id vfs.ID
	err = f.again(ctx, func() (err error) {
		draft = path.Join(path.Dir(name), draftPrefix+f.nonce()+"~"+path.Base(name))
		if id, err = f.fs.Create(draft, data); err != nil {
			_ = f.fs.Remove(draft) // what is left over is ignored by all
		}
		return err
	})
	if err != nil {
		return false, err
	}
	// One draft for all tries: EEXIST may be the answer to our own link, done
	// the first time, and only the file's identity tells. Any other error is no
	// better known.
	err = f.again(ctx, func() error {
		lerr := f.fs.Link(draft, name)
		ours = lerr == nil
		if lerr != nil {
			other, err := f.fs.Identify(name)
			if err != nil {
				return errors.Join(lerr, err)
			}
			ours = other == id
		}
		return f.fs.Sync(path.Dir(name))
	})
	_ = f.fs.Remove(draft)
	return ours, err
}

// remove takes a name away; done says whether it was there when first looked.
func (f files) remove(ctx context.Context, name string) (done bool, err error) {
	err = f.again(ctx, func() error {
		there, err := has(f.fs, name)
		if notThere(err) {
			return nil // nor is its directory
		}
		if err != nil || !there {
			return err
		}
		done = true
		rerr := f.fs.Remove(name)
		if there, err = has(f.fs, name); err != nil || there {
			return errors.Join(rerr, err)
		}
		return f.fs.Sync(path.Dir(name))
	})
	return done, err
}

func (f files) nonce() string {
	var b [8]byte
	f.env.Random(b[:])
	return hex.EncodeToString(b[:])
}

// readJSON reads a small JSON file, strictly.
func readJSON(fs vfs.FS, name string, v any) error {
	data, _, err := fs.Read(name, maxFile)
	if err != nil {
		return err
	}
	if err := decodeStrict(data, v); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// decodeStrict refuses unknown keys and anything after the value.
func decodeStrict(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}

func encode(v any) []byte {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic("lease: " + err.Error()) // plain structs of strings, numbers and times
	}
	return append(data, '\n')
}

func errOr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// blameDir holds a file for each false fence that a host is blamed for.
func blameDir(host string) string { return path.Join(spool.HostDir(host), "blamed") }

// ownerName splits a name below claims/, sealed/ or drafts/: a host, or a
// host's commands. ok is false for what fencepost never makes.
func ownerName(owner string) (host string, command, ok bool) {
	host, command = strings.CutSuffix(owner, spool.CommandHost(""))
	return host, command, spool.ValidHost(host)
}
