package vfs_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"fencepost/spool/vfs"
)

// BenchmarkRename: what it costs that no directory's descriptor is cached
// ("os"), beside the floor ("dirfd": both kept open) and the plain call by
// path, which follows symbolic links.
func BenchmarkRename(b *testing.B) {
	fs, root := benchOS(b)
	for _, dir := range []string{"xml", "claims", "claims/host", "claims/host/12"} {
		if err := fs.Mkdir(dir); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := fs.Create("xml/a", nil); err != nil {
		b.Fatal(err)
	}
	names := [2]string{"xml/a", "claims/host/12/a"}
	there := func(b *testing.B, rename func(from, to string) error) {
		b.ReportAllocs()
		for b.Loop() {
			for i := range names {
				if err := rename(names[i], names[1-i]); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("os", func(b *testing.B) { there(b, fs.Rename) })
	b.Run("walk", func(b *testing.B) {
		walk, err := vfs.OpenOS(root)
		if err != nil {
			b.Fatal(err)
		}
		defer walk.Close()
		vfs.ForceWalk(walk)
		there(b, walk.Rename)
	})
	b.Run("path", func(b *testing.B) {
		there(b, func(from, to string) error { return os.Rename(root+"/"+from, root+"/"+to) })
	})
	b.Run("dirfd", func(b *testing.B) {
		fds := map[string]int{}
		for _, name := range names {
			dir, _ := vfs.Split(name)
			fd, err := unix.Open(root+"/"+dir, unix.O_PATH|unix.O_DIRECTORY, 0)
			if err != nil {
				b.Fatal(err)
			}
			defer unix.Close(fd)
			fds[name] = fd
		}
		there(b, func(from, to string) error { return unix.Renameat(fds[from], "a", fds[to], "a") })
	})
}

func BenchmarkCreate(b *testing.B) {
	fs, _ := benchOS(b)
	data := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := fs.Create("a", data); err != nil {
			b.Fatal(err)
		}
		if err := fs.Remove("a"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	fs, _ := benchOS(b)
	if _, err := fs.Create("a", make([]byte, 4096)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := fs.Read("a", 1<<20); err != nil {
			b.Fatal(err)
		}
	}
}

func benchOS(b *testing.B) (*vfs.OS, string) {
	root := b.TempDir()
	fs, err := vfs.OpenOS(root)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { fs.Close() })
	return fs, root
}
