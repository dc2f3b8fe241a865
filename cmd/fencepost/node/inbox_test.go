package node_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"fencepost/cmd/fencepost/node"
	"fencepost/codec"
	"fencepost/spool"
	"fencepost/spool/env/envtest"
	"fencepost/spool/vfs/memfs"
)

// TestInboxOfTwoHosts: two hosts watch one inbox, one of them is killed in the
// middle of an adoption: each file is one job, but for the one that is none.
func TestInboxOfTwoHosts(t *testing.T) {
	const files = 20
	w := newWorld(t, "a", "b")
	w.sp.Inboxes = []spool.FormatInbox{{Dir: "in"}}
	legacy := w.w.Host("legacy", w.m.View("legacy"))
	put := func(name string, data []byte) {
		w.w.Do(legacy, "put", func() {
			if _, err := legacy.FS().Create("in/"+name, data); err != nil {
				t.Error(err)
			}
		})
	}
	w.w.Do(legacy, "mkdir", func() {
		if err := legacy.FS().Mkdir("in"); err != nil {
			t.Error(err)
		}
	})
	hosts := []*envtest.Host{w.w.Host("a", w.m.View("a")), w.w.Host("b", w.m.View("b"))}
	ready := 0
	for i, h := range hosts {
		cfg := w.config(h, h.Name())
		cfg.Parse = func(_ spool.Stage, id string, data []byte) (spool.Adoptee, error) {
			r, err := codec.DecodeXML(data)
			if err != nil {
				return spool.Adoptee{}, err
			}
			r.ID = id // each file is a job of its own
			if data, err = codec.EncodeXML(r); err != nil {
				return spool.Adoptee{}, err
			}
			return spool.Adoptee{ID: id, Data: data, Same: func(old []byte) (bool, error) { return bytes.Equal(old, data), nil }}, nil
		}
		n := node.New(cfg)
		hosts[i].Go("node", func() {
			if err := n.Run(context.Background(), func(uint64) { ready++ }); err != nil {
				t.Error(err)
			}
		})
	}
	w.w.RunUntil(time.Minute, func() bool { return ready == 2 })
	w.m.At(memfs.Point{View: "a", Kind: memfs.Link, Name: "gate", N: 3}, hosts[0].Kill)
	for i := range files {
		_, data := xmlJob(t, i)
		put(fmt.Sprintf("ORDER%d.xml", i), data)
	}
	put("notes.xml", []byte("not a job"))
	w.w.RunFor(5 * time.Minute)
	w.c.mu.Lock()
	for id, n := range w.c.runs {
		w.jobs = append(w.jobs, id)
		if n != 1 {
			t.Errorf("job %s: %d submissions", id, n)
		}
	}
	w.c.mu.Unlock()
	if tree := w.m.Tree(); len(w.jobs) != files || strings.Contains(tree, "in/ORDER") ||
		strings.Count(tree, "failed/adopt~") != 1 {
		t.Errorf("%d files are %d jobs\n%s", files, len(w.jobs), tree)
	}
	w.check(hosts[1])
}
