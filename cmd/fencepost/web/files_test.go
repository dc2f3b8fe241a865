package web_test

import (
	"testing"

	"fencepost/cmd/fencepost/web"
	"fencepost/spool/vfs"
	vfstest "fencepost/spool/vfs/conformance"
)

// What is measured is the same file system still.
func TestFilesConformance(t *testing.T) {
	files := web.NewFiles()
	vfstest.Run(t, func(t *testing.T) vfs.FS {
		fs, err := vfs.OpenOS(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return files.Wrap(fs)
	})
}
