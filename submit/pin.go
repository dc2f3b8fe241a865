package submit

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"syscall"
	"time"

	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/env/drill"
	"fencepost/spool/vfs"
)

// PinFile is cluster.json: the one cluster that a spool's jobs go to. It is
// made once, by a link.
type PinFile struct {
	Schema string            `json:"schema"`
	Pin    map[string]string `json:"pin"`
	By     string            `json:"by"`
	At     time.Time         `json:"at"`
}

// ReadPin returns the spool's cluster; nil if there is none yet.
func ReadPin(fs vfs.FS) (map[string]string, error) {
	data, _, err := fs.Read(spool.ClusterFile, 1<<16)
	if errors.Is(err, syscall.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var p PinFile
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil || len(p.Pin) == 0 {
		return nil, fmt.Errorf("%s: not a cluster file (%v): restore it, or remove it if no host has submitted yet", spool.ClusterFile, err)
	}
	return p.Pin, nil
}

// MakePin pins the spool to a cluster, unless somebody did already, and returns
// what it is pinned to.
func MakePin(e env.Env, host string, pin map[string]string) (map[string]string, error) {
	data, err := json.MarshalIndent(PinFile{Schema: "fencepost.cluster/v1", Pin: pin, By: host, At: e.Wall().UTC()}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", spool.ClusterFile, err)
	}
	nonce := make([]byte, 8)
	e.Random(nonce)
	draft := "." + spool.ClusterFile + "." + hex.EncodeToString(nonce)
	fs := e.FS()
	if _, err := fs.Create(draft, append(data, '\n')); err != nil {
		return nil, fmt.Errorf("pin cluster: %w", err)
	}
	lerr := fs.Link(draft, spool.ClusterFile)
	err = errors.Join(fs.Remove(draft), fs.Sync("."))
	got, rerr := ReadPin(fs)
	if rerr != nil || got == nil {
		return nil, fmt.Errorf("pin cluster: %w", errors.Join(lerr, err, rerr))
	}
	return got, nil
}

// checkPin compares the cluster with the spool's cluster file: a host that is
// configured for another one does nothing there, not even as janitor.
func (e *Engine) checkPin(ctx context.Context) error {
	want, err := e.pinned()
	if err != nil {
		return err
	}
	got, err := e.cluster.Pin(ctx)
	if err != nil {
		return fmt.Errorf("ask the cluster who it is: %w", err)
	}
	if want == nil {
		// The first instance that can submit says which cluster it is.
		if err := e.cluster.Probe(ctx); err != nil {
			return err
		}
		if want, err = MakePin(e.env, e.in.Host, got); err != nil {
			return err
		}
		e.setPin(want)
	}
	if !maps.Equal(got, want) && !drill.Broken(e.env, drill.UnfitJanitor) {
		return &Error{Outcome: Unfit, Op: "compare cluster", Detail: fmt.Sprintf(
			"this host is configured for %v, but the spool's %s says %v", got, spool.ClusterFile, want)}
	}
	return nil
}

func (e *Engine) pinned() (map[string]string, error) {
	e.mu.Lock()
	pin := e.pin
	e.mu.Unlock()
	if pin != nil {
		return pin, nil
	}
	pin, err := ReadPin(e.in.FS)
	if err == nil && pin != nil {
		e.setPin(pin)
	}
	return pin, err
}

func (e *Engine) setPin(pin map[string]string) {
	e.mu.Lock()
	e.pin = pin
	e.mu.Unlock()
}
