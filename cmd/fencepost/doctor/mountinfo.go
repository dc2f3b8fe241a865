package doctor

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
)

// Mount is one line of /proc/self/mountinfo, proc_pid_mountinfo(5).
type Mount struct {
	ID      int
	Parent  int
	Dev     string // major:minor of the superblock
	Root    string // directory of the file system that is mounted; not "/" = a bind mount, or an export's directory
	Point   string
	Options []string // of this mount point
	Type    string   // with its subtype: "fuse.sshfs"
	Source  string
	Super   []string // of the superblock: where NFS has its own
}

// Option returns the value of NAME=VALUE, "" for a mere NAME. The superblock's
// count first: they are the file system's own.
func (m Mount) Option(name string) (value string, ok bool) {
	for _, list := range [][]string{m.Super, m.Options} {
		for _, o := range list {
			if n, v, _ := strings.Cut(o, "="); n == name {
				return v, true
			}
		}
	}
	return "", false
}

func (m Mount) has(name string) bool {
	_, ok := m.Option(name)
	return ok
}

// ParseMounts parses a mountinfo file. Lines that don't parse are left out and
// make the error; what did parse is returned with it.
func ParseMounts(data []byte) ([]Mount, error) {
	var mounts []Mount
	var failed []error
	for i, line := range strings.Split(string(data), "\n") {
		if line == "" {
			continue
		}
		m, err := parseMount(line)
		if err != nil {
			failed = append(failed, fmt.Errorf("mountinfo line %d: %w", i+1, err))
			continue
		}
		mounts = append(mounts, m)
	}
	return mounts, errors.Join(failed...)
}

// parseMount parses one line: six fields, any number of optional ones, "-", and
// three more. Blanks inside a field are escaped, so that a field that is empty
// (some file systems have no source) still has its two blanks.
func parseMount(line string) (Mount, error) {
	f := strings.Split(line, " ")
	sep := -1
	for i := 6; i < len(f); i++ {
		if f[i] == "-" {
			sep = i
			break
		}
	}
	if sep < 0 || len(f)-sep-1 < 3 {
		return Mount{}, fmt.Errorf("%q is none", line)
	}
	var m Mount
	var err error
	if m.ID, err = strconv.Atoi(f[0]); err != nil {
		return m, fmt.Errorf("mount id %q", f[0])
	}
	if m.Parent, err = strconv.Atoi(f[1]); err != nil {
		return m, fmt.Errorf("parent id %q", f[1])
	}
	if major, minor, ok := strings.Cut(f[2], ":"); !ok || !number(major) || !number(minor) {
		return m, fmt.Errorf("device %q", f[2])
	}
	m.Dev, m.Root, m.Point = f[2], unescape(f[3]), unescape(f[4])
	m.Options = options(f[5])
	// The source may hold unescaped blanks in old kernels: the type is the
	// first of the rest and the options are the last.
	rest := f[sep+1:]
	m.Type, m.Super = unescape(rest[0]), options(rest[len(rest)-1])
	m.Source = unescape(strings.Join(rest[1:len(rest)-1], " "))
	return m, nil
}

func number(s string) bool {
	_, err := strconv.ParseUint(s, 10, 32)
	return err == nil
}

// options splits at commas; one inside a value is escaped.
func options(s string) []string {
	var out []string
	for _, o := range strings.Split(s, ",") {
		if o != "" {
			out = append(out, unescape(o))
		}
	}
	return out
}

// unescape undoes the kernel's \ooo.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// findMount returns the mount that dir, an absolute path without symbolic links,
// is on: by its id if that is known, else the deepest mount point above it. Of
// two on one point the later one covers the earlier.
func findMount(mounts []Mount, id int, dir string) (Mount, bool) {
	best, found := Mount{}, false
	for _, m := range mounts {
		if id != 0 && m.ID == id {
			return m, true
		}
		if below(dir, m.Point) && (!found || len(m.Point) >= len(best.Point)) {
			best, found = m, true
		}
	}
	return best, found
}

// below says whether dir is point or something in it.
func below(dir, point string) bool {
	dir, point = path.Clean(dir), path.Clean(point)
	return point == "/" && strings.HasPrefix(dir, "/") || dir == point || strings.HasPrefix(dir, point+"/")
}

// submounts are mounts inside dir. What is hidden
// under a later mount of a directory above can't be told from what isn't, and
// counts.
func submounts(mounts []Mount, dir string) []Mount {
	var out []Mount
	for _, m := range mounts {
		if below(m.Point, dir) && path.Clean(m.Point) != path.Clean(dir) {
			out = append(out, m)
		}
	}
	return out
}

// MountOf returns the id of the mount that dir is on, as the kernel knows it:
// neither bind mounts nor symbolic links nor a mount over a mount deceive it. To
// open a directory also makes an automounter mount it. 0: not known.
func MountOf(dir string) (int, error) {
	f, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	data, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", f.Fd()))
	if err != nil {
		return 0, nil // without /proc: the mount table isn't there, either
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		if v, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			return strconv.Atoi(strings.TrimSpace(v))
		}
	}
	return 0, nil
}
