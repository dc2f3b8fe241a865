package spool_test

import (
	"context"
	"fmt"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/vfs"
)

// benchInstance is an instance on the directory that TMPDIR names.
func benchInstance(b *testing.B) *spool.Instance {
	fs := must(vfs.OpenOS(b.TempDir()))
	b.Cleanup(func() { fs.Close() })
	if _, _, err := spool.Init(fs, must(spool.NewFormat())); err != nil {
		b.Fatal(err)
	}
	mkdirs(fs, spool.HostDir("a"), spool.JournalDir("a"))
	for _, base := range []string{spool.DirClaims, spool.DirSealed, spool.DirDrafts} {
		mkdirs(fs, path.Join(base, "a"), spool.EpochDir(base, "a", 1))
	}
	in := must(spool.NewInstance(must(spool.Open(env.NewReal(fs))), spool.Stamp{Host: "a", Epoch: 1}, nil))
	b.Cleanup(func() { in.Journal.Close() })
	b.ReportAllocs()
	return in
}

func benchID(i int) string { return fmt.Sprintf("01890a5d-ac96-7000-8000-%012x", i) }

// BenchmarkAccept: a job of 1 KiB, from its bytes to ACCEPTED.
func BenchmarkAccept(b *testing.B) {
	in := benchInstance(b)
	data := make([]byte, 1024)
	for i := 0; b.Loop(); i++ {
		if _, err := in.Accept(benchID(i), data, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkClaim: an entry is claimed and given back, under its next name.
func BenchmarkClaim(b *testing.B) {
	in := benchInstance(b)
	in.Limits.Gen = 1 << 30
	must(in.Accept(benchID(0), make([]byte, 1024), nil))
	n := spool.Name{ID: benchID(0), Ext: "xml"}
	for b.Loop() {
		c, err := in.Claim(spool.Translate, n)
		if err == nil {
			n.Gen = (c.Name.Gen + 1) % maxBenchGen
			err = c.Return(spool.Why{Reason: "a benchmark"})
		}
		if err != nil {
			b.Fatal(err)
		}
		if n.Gen == 0 { // names have an end
			n.Gen = maxBenchGen
			mustDo(in.FS.Rename(in.Layout.EntryPath(spool.Translate, n), in.Layout.EntryPath(spool.Translate, spool.Name{ID: n.ID})))
			n.Gen = 0
		}
	}
}

const maxBenchGen = 1000

// BenchmarkAdvance: an entry is claimed, translated by a copy, sealed, published
// and retired.
func BenchmarkAdvance(b *testing.B) {
	in := benchInstance(b)
	tr := spool.Translator{Convert: func(data []byte) ([]byte, error) { return data, nil }}
	data := make([]byte, 1024)
	for i := 0; b.Loop(); i++ {
		n := spool.Name{ID: benchID(i), Ext: "xml"}
		b.StopTimer()
		if _, err := in.FS.Create(in.Layout.EntryPath(spool.Translate, n), data); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		c, err := in.Claim(spool.Translate, n)
		if err != nil {
			b.Fatal(err)
		}
		tr.Work(context.Background(), c)
	}
	if names := must(in.FS.List(in.Layout.Submit)); len(names) == 0 {
		b.Error("nothing was published")
	}
}

// BenchmarkQueue is what a directory queue does, without what makes a job safe
// across hosts: put in, claimed, read, removed. Beside it, where it is installed,
// the same with python3-dirq (add, lock, get, remove), which doesn't sync either:
// on a directory in memory an fsync costs nothing. And beside both the system calls
// that a queue of files can't do without, with no logic: nothing can be faster.
func BenchmarkQueue(b *testing.B) {
	data := make([]byte, 1024)
	pass := func(in *spool.Instance, i int) error {
		id := benchID(i)
		draft := path.Join(spool.EpochDir(spool.DirDrafts, "a", 1), spool.FormatDraft(spool.Name{Stage: spool.KindNew, Seq: uint64(i) + 1, ID: id, Ext: "xml"}))
		if _, err := in.FS.Create(draft, data); err != nil {
			return err
		}
		n := spool.Name{ID: id, Ext: "xml"}
		if err := in.FS.Rename(draft, in.Layout.EntryPath(spool.Translate, n)); err != nil {
			return err
		}
		c, err := in.Claim(spool.Translate, n)
		if err != nil {
			return err
		}
		if _, err := c.Read(); err != nil {
			return err
		}
		return in.FS.Remove(c.Path())
	}
	b.Run("spool", func(b *testing.B) {
		in := benchInstance(b)
		for i := 0; b.Loop(); i++ {
			if err := pass(in, i); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("spool-parallel", func(b *testing.B) {
		in := benchInstance(b)
		var next atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := pass(in, int(next.Add(1))); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("floor", func(b *testing.B) { queueFloor(b, data) })
	b.Run("dirq", func(b *testing.B) {
		for _, python := range []string{"/usr/bin/python3", "python3"} {
			cmd := exec.Command(python, "-c", dirqLoop, b.TempDir(), "5000")
			if out, err := cmd.Output(); err == nil {
				secs, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
				if err != nil {
					b.Fatal(err)
				}
				for b.Loop() { // it was measured elsewhere
				}
				b.ReportMetric(secs/5000*1e9, "ns/op")
				return
			}
		}
		b.Skip("python3-dirq isn't installed")
	})
}

// queueFloor is the system calls of a pass, and nothing else.
func queueFloor(b *testing.B, data []byte) {
	root := must(unix.Open(b.TempDir(), unix.O_RDONLY|unix.O_DIRECTORY, 0))
	defer unix.Close(root)
	mustDo(unix.Mkdirat(root, "d", 0o700))
	mustDo(unix.Mkdirat(root, "q", 0o700))
	mustDo(unix.Mkdirat(root, "c", 0o700))
	in := func(dir string) int { return must(unix.Openat(root, dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)) }
	drafts, queue, claims, buf := in("d"), in("q"), in("c"), make([]byte, 2048)
	for i := 0; b.Loop(); i++ {
		id := benchID(i)
		fd := must(unix.Openat(drafts, id, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o440))
		must(unix.Write(fd, data))
		mustDo(unix.Fsync(fd))
		mustDo(unix.Close(fd))
		mustDo(unix.Renameat(drafts, id, queue, id))
		mustDo(unix.Renameat(queue, id, claims, id))
		fd = must(unix.Openat(claims, id, unix.O_RDONLY, 0))
		must(unix.Read(fd, buf))
		mustDo(unix.Close(fd))
		mustDo(unix.Unlinkat(claims, id, 0))
	}
}

const dirqLoop = `
import sys, time
from dirq.QueueSimple import QueueSimple
q, data = QueueSimple(sys.argv[1] + "/q"), "x" * 1024
began = time.perf_counter()
for i in range(int(sys.argv[2])):
    name = q.add(data)
    assert q.lock(name)
    q.get(name)
    q.remove(name)
print(time.perf_counter() - began)
`
