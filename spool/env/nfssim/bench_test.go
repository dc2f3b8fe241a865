package nfssim_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"fencepost/spool/env/nfssim"
	"fencepost/spool/env/simenv"
	"fencepost/spool/vfs"
)

// bench measures calls of one process, b.N at a time; RPCs are counted.
func bench(b *testing.B, setUp func(d vfs.FS), call func(fs vfs.FS, i int) error) {
	w := simenv.New(simenv.Draw(1))
	defer w.Close()
	s := nfssim.New(w, nfssim.Options{})
	setUp(s.Direct())
	m := w.Machine("host")
	p := m.Start("process")
	rpcs := 0
	s.Fate = func(*nfssim.Call) nfssim.Fate { rpcs++; return nfssim.Fate{} }
	s.OnCall = func(*nfssim.Call) {}
	s.OnEffect = func(*nfssim.Effect) {}
	fs := s.Mount(m, nfssim.MountOptions{}).FS(p)
	b.ReportAllocs()
	b.ResetTimer()
	from := cpuTime()
	p.Go("bench", func() {
		for i := range b.N {
			if err := call(fs, i); err != nil {
				panic(err)
			}
		}
	})
	w.Run(w.Now() + 10000*time.Hour)
	if w.Failure() != "" {
		b.Fatal(w.Failure())
	}
	cpu := float64(cpuTime() - from)
	b.ReportMetric(float64(rpcs)/float64(b.N), "rpcs/op")
	b.ReportMetric(cpu/float64(max(rpcs, 1)), "cpu-ns/rpc")
	b.ReportMetric(float64(w.Steps())/cpu*1e9, "steps/cpu-s")
}

func files(dir string, n int) func(d vfs.FS) {
	return func(d vfs.FS) {
		for _, name := range []string{dir, "other"} {
			if err := d.Mkdir(name); err != nil {
				panic(err)
			}
		}
		for i := range n {
			if _, err := d.Create(fmt.Sprintf("%s/translate~%d~0123456789abcdef0123456789abcdef+1.0.xml", dir, i), []byte("content")); err != nil {
				panic(err)
			}
		}
	}
}

func BenchmarkRename(b *testing.B) {
	a, z := "in/translate~0~0123456789abcdef0123456789abcdef+1.0.xml", "other/translate~0~0123456789abcdef0123456789abcdef+1.0.xml"
	bench(b, files("in", 1), func(fs vfs.FS, i int) error {
		if i%2 == 0 {
			return fs.Rename(a, z)
		}
		return fs.Rename(z, a)
	})
}

func BenchmarkList(b *testing.B) {
	for _, n := range []int{3, 100} {
		b.Run(fmt.Sprintf("same/%d", n), func(b *testing.B) {
			bench(b, files("in", n), func(fs vfs.FS, i int) error {
				_, err := fs.List("in")
				return err
			})
		})
		b.Run(fmt.Sprintf("changed/%d", n), func(b *testing.B) {
			bench(b, files("in", n), func(fs vfs.FS, i int) error {
				if err := fs.Mkdir("in/x"); err != nil {
					return err
				}
				if _, err := fs.List("in"); err != nil {
					return err
				}
				return fs.Rmdir("in/x")
			})
		})
	}
}

func BenchmarkCreate(b *testing.B) {
	data := make([]byte, 500)
	bench(b, files("in", 1), func(fs vfs.FS, i int) error {
		if _, err := fs.Create("in/x", data); err != nil {
			return err
		}
		return fs.Remove("in/x")
	})
}

func BenchmarkRead(b *testing.B) {
	bench(b, files("in", 1), func(fs vfs.FS, i int) error {
		_, _, err := fs.Read("in/translate~0~0123456789abcdef0123456789abcdef+1.0.xml", 1<<20)
		return err
	})
}

// cpuTime is what this process has used, which other work on the machine
// doesn't add to.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
