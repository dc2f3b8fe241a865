package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

func machineChecks() []check {
	return []check{
		{"FP050", "NFS client identifier", "The server takes two clients with one identifier for one that restarts: each loses its locks to the other.", true, checkClientID},
		{"FP051", "nobody else's timer", "A crontab or timer of an old installation on a new machine takes jobs that nobody misses for weeks.", false, checkTimers},
		{"FP052", "not root", "As root a mistake in a path or a job's command is everybody's.", false, checkRoot},
	}
}

// maxMachineFile bounds what is read of a file of this machine.
const maxMachineFile = 1 << 20

func readMachine(p *patient, name string) ([]byte, error) {
	f, err := p.Machine.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buf := make([]byte, 0, 4096)
	for len(buf) < maxMachineFile {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := f.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err != nil {
			return buf, nil //nolint:nilerr // what could be read; the end comes as an error
		}
	}
	return buf, nil
}

// The two places where a Linux client is told who it is.
const (
	clientIDFile   = "sys/fs/nfs/net/nfs_client/identifier"
	clientIDModule = "sys/module/nfs/parameters/nfs4_unique_id"
)

func checkClientID(_ context.Context, p *patient) Finding {
	var seen []string
	for _, file := range []string{clientIDFile, clientIDModule} {
		data, err := readMachine(p, file)
		id := strings.TrimSpace(string(data))
		switch {
		case err != nil:
			seen = append(seen, "/"+file+" can't be read")
		case id == "" || id == "(null)":
			seen = append(seen, "/"+file+" is empty")
		default:
			return good("/" + file + " is " + id)
		}
	}
	const fix = "options nfs nfs4_unique_id=SOMETHING-UNIQUE in /etc/modprobe.d/nfsclient.conf (in a container: the same into /" + clientIDFile + "), then mount again"
	f := Finding{Note, append(seen, "this client's identity is its hostname: right as long as no two clients share one"), fix}
	for _, m := range p.members {
		if m.Host != p.Host && m.Pinned != "" && m.Pinned == p.MachineID {
			f.add(Warn, fix, fmt.Sprintf("host %s has the same machine id: is one a clone of the other?", m.Host))
		}
	}
	name, err := readMachine(p, "proc/sys/kernel/hostname")
	if h := strings.TrimSpace(string(name)); err == nil && (h == "localhost" || strings.HasPrefix(h, "localhost.")) {
		f.add(Warn, fix, "the hostname is "+h)
	}
	return f
}

func checkRoot(context.Context, *patient) Finding {
	if os.Getuid() == 0 {
		return Finding{Note, []string{"this is root; on an export with root_squash root is nobody"},
			"run the service as a user of its own, the same uid on all hosts (User= in its unit)"}
	}
	return good(fmt.Sprintf("uid %d", os.Getuid()))
}

// Where timers are. A directory's files are read, one level deep.
func timerPlaces() []string {
	return []string{"etc/crontab", "etc/anacrontab", "etc/cron.d", "etc/cron.hourly", "etc/cron.daily", "etc/cron.weekly",
		"etc/cron.monthly", "var/spool/cron", "var/spool/cron/crontabs", "var/spool/cron/tabs",
		"etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"}
}

func checkTimers(_ context.Context, p *patient) Finding {
	f := good()
	looked, unread, followed := 0, []string{}, map[string]bool{}
	for _, place := range timerPlaces() {
		files, err := filesIn(p.Machine, place)
		if errors.Is(err, fs.ErrPermission) {
			unread = append(unread, "/"+place)
		}
		for _, file := range files {
			if strings.Contains(place, "systemd") && !isUnit(file) {
				continue
			}
			data, err := readMachine(p, file)
			if err != nil {
				if errors.Is(err, fs.ErrPermission) {
					unread = append(unread, "/"+file)
				}
				continue
			}
			looked++
			for _, hit := range findNames(string(data), p.Dir, p.real) {
				f.timer(file, hit)
			}
			p.followScripts(&f, file, string(data), followed)
		}
	}
	f.Evidence = append(f.Evidence, fmt.Sprintf("%d crontabs and units read, and %d scripts that they run", looked, len(followed)))
	if len(unread) > 0 {
		f.add(Note, "run fencepost doctor once as root, too", "can't be read: "+strings.Join(unread, " "))
	}
	return f
}

func isUnit(file string) bool {
	if path.Ext(file) == ".conf" {
		return path.Ext(path.Dir(file)) == ".d" // a part of a unit
	}
	return slices.Contains([]string{".timer", ".service", ".path"}, path.Ext(file))
}

func filesIn(fsys fs.FS, place string) ([]string, error) {
	st, err := fs.Stat(fsys, place)
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		return []string{place}, nil
	}
	entries, err := fs.ReadDir(fsys, place)
	var files []string
	for _, e := range entries {
		name := path.Join(place, e.Name())
		switch {
		case !e.IsDir():
			files = append(files, name)
		case path.Ext(name) == ".d" && isUnit(strings.TrimSuffix(name, ".d")):
			parts, _ := fs.ReadDir(fsys, name)
			for _, part := range parts {
				files = append(files, path.Join(name, part.Name()))
			}
		}
	}
	return files, err
}

// mostScripts bounds how many scripts are followed.
const mostScripts = 1000

// followScripts looks into the scripts that a crontab or unit runs: an old
// installation's crontab rarely names the directory itself.
func (p *patient) followScripts(f *Finding, file, text string, followed map[string]bool) {
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		for _, word := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t=;&|()'\"<>`", r) }) {
			script := strings.TrimPrefix(strings.TrimLeft(word, "@-+!:"), "/")
			if !strings.HasPrefix(word, "/") && script == word || followed[script] || len(followed) >= mostScripts || !fs.ValidPath(script) {
				continue
			}
			body, ok := p.script(script)
			if !ok {
				continue
			}
			followed[script] = true
			for _, h := range findNames(body, p.Dir, p.real) {
				h.text += fmt.Sprintf(" (run by /%s:%d)", file, i+1)
				f.timer(script, h)
			}
		}
	}
}

// script returns what a file holds, if it is a script.
func (p *patient) script(name string) (string, bool) {
	defer p.Begin("read", "/"+name)()
	st, err := fs.Stat(p.Machine, name)
	if err != nil || !st.Mode().IsRegular() || st.Size() > maxMachineFile {
		return "", false
	}
	data, err := readMachine(p, name)
	return string(data), err == nil && strings.HasPrefix(string(data), "#!")
}

// hit is a line that names the spool.
type hit struct {
	line int
	text string
}

// findNames returns the lines of a crontab, script or unit that name one of the
// directories, or something in it. A comment counts for nothing.
func findNames(text string, dirs ...string) []hit {
	var hits []hit
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		if slices.ContainsFunc(dirs, func(dir string) bool { return names(line, dir) }) {
			hits = append(hits, hit{i + 1, line})
		}
	}
	return hits
}

// names says whether a line holds dir as a whole path or the beginning of one:
// /srv/spool isn't /srv/spool2.
func names(line, dir string) bool {
	if dir == "" || dir == "/" {
		return false
	}
	for rest := line; ; {
		i := strings.Index(rest, dir)
		if i < 0 {
			return false
		}
		before, after := rest[:i], rest[i+len(dir):]
		if !pathByte(before, len(before)-1) && (strings.HasPrefix(after, "/") || !pathByte(after, 0)) {
			return true
		}
		rest = after
	}
}

// pathByte says whether s[i] goes on with a path's component.
func pathByte(s string, i int) bool {
	if i < 0 || i >= len(s) {
		return false
	}
	c := s[i]
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._-/~", c) >= 0 || c >= 0x80
}

// timer judges one line. What runs fencepost itself, or only says where a unit
// needs the mount, is no rival.
func (f *Finding) timer(file string, h hit) {
	line := fmt.Sprintf("/%s:%d: %s", file, h.line, h.text)
	key, _, _ := strings.Cut(h.text, "=")
	own := slices.ContainsFunc(strings.FieldsFunc(h.text, func(r rune) bool { return strings.ContainsRune(" \t=;&|()'\"@-+!:", r) }),
		func(word string) bool { return path.Base(word) == "fencepost" })
	switch {
	case own, slices.Contains([]string{"RequiresMountsFor", "WantsMountsFor", "ReadWritePaths", "ReadOnlyPaths", "WorkingDirectory", "BindPaths",
		"Where", "Environment", "Description", "Documentation", "InaccessiblePaths"}, strings.TrimSpace(key)):
		f.add(Note, "see that it is meant to be there", line)
	default:
		f.add(Warn, "is it meant to work on this spool beside fencepost? if not, remove it; if so, declare it (docs/nfs.md#2-what-must-hold)", line)
	}
}
