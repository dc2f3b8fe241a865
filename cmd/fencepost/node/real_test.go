package node_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"fencepost/cmd/fencepost/node"
	"fencepost/codec"
	"fencepost/lease"
	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/vfs"
	"fencepost/submit"
)

// TestRealFiles runs two nodes on the operating system's files, in real time:
// what the race detector is for.
func TestRealFiles(t *testing.T) {
	jobs := 200
	if v := os.Getenv("FENCEPOST_TEST_JOBS"); v != "" {
		fmt.Sscan(v, &jobs)
	}
	dir := t.TempDir()
	c := &plain{runs: map[string]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var nodes []*node.Node
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b"} {
		fs, err := vfs.OpenOS(dir)
		if err != nil {
			t.Fatal(err)
		}
		e := env.NewReal(fs)
		f, err := spool.NewFormat()
		if err != nil {
			t.Fatal(err)
		}
		if f, _, err = spool.Init(fs, f); err != nil {
			t.Fatal(err)
		}
		if _, err := lease.Enroll(ctx, e, lease.Member{Host: name, By: "test"}); err != nil {
			t.Fatal(err)
		}
		ready := make(chan uint64, 1)
		n := node.New(node.Config{Env: e, Spool: spool.New(e, f), Identity: lease.Identity{Host: name, MachineID: "m-" + name, BootID: "boot",
			PID: os.Getpid(), Nonce: "nonce-" + name, Version: "test", ConfigDigest: "digest"}, Heartbeat: time.Second, TTL: 10 * time.Second,
			Stages: []spool.Stage{spool.Ingest, spool.Translate, spool.Submit}, Workers: 4, Poll: 200 * time.Millisecond,
			MaxPoll: time.Second, ClaimMax: time.Minute, SealMax: time.Minute, Grace: 10 * time.Second, Cluster: c,
			Submit: submit.DefaultOptions(), Convert: convert})
		wg.Go(func() {
			if err := n.Run(ctx, func(epoch uint64) { ready <- epoch }); err != nil {
				t.Error(err)
			}
		})
		select {
		case <-ready:
		case <-time.After(20 * time.Second):
			t.Fatal("not ready")
		}
		nodes = append(nodes, n)
	}
	start := time.Now()
	sendAll(t, nodes, jobs)
	accepted := time.Since(start)
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c.mu.Lock()
		done := len(c.runs)
		c.mu.Unlock()
		if done == jobs {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("got %d jobs submitted, want %d", done, jobs)
		}
	}
	t.Logf("%d jobs: accepted in %s, submitted after %s", jobs, accepted.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
	cancel()
	wg.Wait()
	for id, n := range c.runs {
		if n != 1 {
			t.Errorf("job %s: got %d submissions, want 1", id, n)
		}
	}
}

// sendAll sends jobs from eight goroutines, to the nodes in turn.
func sendAll(t *testing.T, nodes []*node.Node, jobs int) {
	t.Helper()
	var senders sync.WaitGroup
	for w := range 8 {
		senders.Go(func() {
			for i := w; i < jobs; i += 8 {
				id, data := xmlJob(t, i)
				if _, err := nodes[i%len(nodes)].Accept(id, data, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	senders.Wait()
}

func convert(data []byte) ([]byte, error) {
	r, err := codec.DecodeXML(data)
	if err != nil {
		return nil, err
	}
	return codec.EncodeJSON(r)
}

func xmlJob(t *testing.T, i int) (id string, data []byte) {
	t.Helper()
	id = fmt.Sprintf("0190a1b2-c3d4-7000-8000-%012x", i)
	return id, jobData(t, id)
}

func jobData(t *testing.T, id string) []byte {
	t.Helper()
	r := codec.Record{ID: id, Job: codec.Job{Name: "j", Script: "#!/bin/sh\n"}, Client: "test", ReceivedAt: time.UnixMilli(0).UTC(), ReceivedBy: "a"}
	r.Digest = codec.Digest(r.Job)
	data, err := codec.EncodeXML(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
