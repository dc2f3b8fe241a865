package doctor

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func newPatient(cfg Config) *patient {
	p := &patient{Config: cfg}
	data, err := fs.ReadFile(cfg.Machine, "proc/self/mountinfo")
	if err == nil {
		p.mounts, err = ParseMounts(data)
	}
	p.err = err
	p.real = cfg.Dir
	done := cfg.Begin("resolve", cfg.Dir)
	if real, err := filepath.EvalSymlinks(cfg.Dir); err == nil {
		p.real = real
	}
	done()
	p.mount, p.known = findMount(p.mounts, cfg.MountID, p.real)
	var st unix.Statfs_t
	done = cfg.Begin("statfs", cfg.Dir)
	if unix.Statfs(cfg.Dir, &st) == nil {
		p.magic = int64(st.Type)
	}
	done()
	return p
}

// Find returns the mount that dir is on; see MountOf for its id.
func Find(machine fs.FS, id int, dir string) (Mount, bool) {
	data, err := fs.ReadFile(machine, "proc/self/mountinfo")
	if err != nil {
		return Mount{}, false
	}
	mounts, _ := ParseMounts(data) // what doesn't parse is none of ours
	return findMount(mounts, id, dir)
}

// NFS says whether the mount is one.
func (m Mount) NFS() bool { return m.Type == "nfs" || m.Type == "nfs4" }

// String says where the mount's files come from: the same on all hosts, if they
// are to share them.
func (m Mount) String() string {
	text := m.Source + m.under() + " type " + m.Type
	if v, ok := m.Option("vers"); ok {
		text += " vers=" + v
	}
	return text
}

// under is the directory below the source that is mounted.
func (m Mount) under() string {
	if m.NFS() && m.Root != "/" {
		return " " + m.Root
	}
	return ""
}

// onNFS: checks of mount options make sense.
func (p *patient) onNFS() bool { return p.known && (p.mount.Type == "nfs" || p.mount.Type == "nfs4") }

// remount is the fix for a mount option.
func (p *patient) remount(options string) string {
	return fmt.Sprintf("on every host set in /etc/fstab: %s %s nfs4 vers=4.2,hard,proto=tcp 0 0%s; then umount %s and mount it again (options of a mount that is there stay, also with remount)",
		p.mount.Source, p.mount.Point, options, p.mount.Point)
}

func mountChecks() []check {
	with := func(judge func(*patient) Finding) func(context.Context, *patient) Finding {
		return func(_ context.Context, p *patient) Finding { return judge(p) }
	}
	return []check{
		{"FP001", "file system", "Everything rests on RENAME, LINK and MKDIR that one server decides alone.", false, with(checkType)},
		{"FP002", "NFS version", "Before 4.1 a mere reconnect can make a rename that was done look as if it wasn't, and v3 locks of a dead host stay for ever.", true, with(checkVersion)},
		{"FP003", "hard mount", "On a soft mount an operation is reported as failed and done by the server afterwards.", true, with(checkHard)},
		{"FP004", "locks at the server", "Locks that the client keeps to itself exclude nobody on another host.", true, with(checkLocks)},
		{"FP005", "transport", "UDP repeats and mixes up requests; TCP and RDMA don't.", true, with(checkTransport)},
		{"FP006", "close-to-open", "Without it a listing may be old for as long as the caches please, and an error can't be cleared up by looking.", true, with(checkCto)},
		{"FP007", "caches", "How late this host sees what others did. Only speed depends on it.", true, with(checkCaches)},
		{"FP008", "one superblock", "Two mounts of one export with different options have caches of their own on one machine.", true, with(checkSuperblocks)},
		{"FP009", "writable", "A host that can read but not write takes nothing.", false, with(checkWritable)},
		{"FP010", "lost locks stay lost", "With recover_lost_locks a lock that the server gave away comes back without a word, and two hosts believe that they have it.", true, with(checkLostLocks)},
		{"FP011", "one mount", "A rename between two mounts fails, even of one file system.", false, with(checkSubmounts)},
	}
}

func checkType(p *patient) Finding {
	if !p.known && p.err != nil {
		f := judgeType(p.mount, false, p.magic)
		f.Evidence = append(f.Evidence, "no mount table: "+p.err.Error())
		return f
	}
	return judgeType(p.mount, p.known, p.magic)
}

// nfsVersion parses vers=; minor is 0 for "3" and "4".
func nfsVersion(m Mount) (major, minor int, ok bool) {
	text, ok := m.Option("vers")
	if !ok {
		if text, ok = m.Option("nfsvers"); !ok {
			return 0, 0, false
		}
	}
	a, b, _ := strings.Cut(text, ".")
	major, err := strconv.Atoi(a)
	if err != nil {
		return 0, 0, false
	}
	if b == "" {
		// Before 3.x kernels the minor version stood apart.
		b, _ = m.Option("minorversion")
	}
	if b != "" {
		if minor, err = strconv.Atoi(b); err != nil {
			return 0, 0, false
		}
	}
	return major, minor, true
}

func checkVersion(p *patient) Finding {
	major, minor, ok := nfsVersion(p.mount)
	evidence := fmt.Sprintf("version %d.%d", major, minor)
	switch {
	case !ok:
		return Finding{Warn, []string{"the mount doesn't say its version: " + strings.Join(p.mount.Super, ",")}, p.remount("")}
	case major < 3:
		return Finding{Refuse, []string{evidence}, p.remount("")}
	case major == 3 || major == 4 && minor == 0:
		return Finding{Warn, []string{evidence + ": fencepost holds what it promises, but much that could be known stays unclear"}, p.remount("")}
	}
	return good(evidence)
}

func checkHard(p *patient) Finding {
	switch {
	case p.mount.has("soft"), p.mount.has("softerr"):
		return Finding{Refuse, []string{"mounted soft or softerr"}, p.remount("")}
	case p.mount.has("softreval"):
		return Finding{Warn, []string{"softreval: when the server doesn't answer, old listings are taken for new ones"}, p.remount("")}
	}
	return good("mounted hard")
}

func checkLocks(p *patient) Finding {
	major, _, _ := nfsVersion(p.mount)
	local, _ := p.mount.Option("local_lock")
	switch {
	case major >= 4 && (p.mount.has("nolock") || local != "" && local != "none"):
		return good("nolock and local_lock have no effect on version 4")
	case p.mount.has("nolock"):
		return Finding{Refuse, []string{"mounted with nolock"}, p.remount("")}
	case local == "all" || local == "flock":
		return Finding{Refuse, []string{"mounted with local_lock=" + local}, p.remount("")}
	case local == "posix":
		return good("local_lock=posix: flock goes to the server all the same")
	}
	return good("locks are the server's")
}

func checkTransport(p *patient) Finding {
	proto, ok := p.mount.Option("proto")
	switch {
	case strings.HasPrefix(proto, "udp"), p.mount.has("udp"):
		return Finding{Refuse, []string{"proto=udp"}, p.remount("")}
	case !ok:
		return good("the mount doesn't name its transport; TCP is the default")
	}
	return good("proto=" + proto)
}

func checkCto(p *patient) Finding {
	if p.mount.has("nocto") {
		return Finding{Refuse, []string{"mounted with nocto"}, p.remount("")}
	}
	return good("close-to-open is on")
}

// slowCache: above it a listing by name may be later than people expect.
const slowCache = 60

func checkCaches(p *patient) Finding {
	f := good()
	for _, name := range []string{"acregmax", "acdirmax", "actimeo"} {
		text, ok := p.mount.Option(name)
		if secs, err := strconv.Atoi(text); ok && err == nil && secs > slowCache {
			f.add(Warn, p.remount(" (without "+name+")"), fmt.Sprintf("%s=%d seconds: this host may see others' files that late", name, secs))
		}
	}
	if p.mount.has("noac") {
		f.add(Note, "leave noac out, unless somebody else needs it", "noac: right, but slow")
	}
	switch look, ok := p.mount.Option("lookupcache"); {
	case !ok || look == "all":
		f.Evidence = append(f.Evidence, "lookupcache=all, the default: right; lookupcache=pos would show new files sooner")
	default:
		f.Evidence = append(f.Evidence, "lookupcache="+look)
	}
	return f
}

func checkSuperblocks(p *patient) Finding {
	f := good()
	for _, m := range p.mounts {
		same := m.Source == p.mount.Source && (m.Type == "nfs" || m.Type == "nfs4")
		if same && m.Dev != p.mount.Dev {
			f.add(Note, "mount it once, or everywhere with the same options and without nosharecache",
				fmt.Sprintf("%s is mounted on %s, too, as another superblock (%s; this one is %s)", m.Source, m.Point, m.Dev, p.mount.Dev))
		}
	}
	if f.Verdict == OK {
		f.Evidence = append(f.Evidence, "device "+p.mount.Dev)
	}
	return f
}

func checkWritable(p *patient) Finding {
	if !p.known {
		return skipped("the mount isn't known")
	}
	if slices.Contains(p.mount.Options, "ro") || slices.Contains(p.mount.Super, "ro") {
		return Finding{Refuse, []string{p.mount.Point + " is mounted read-only"}, "mount it with rw, and see that the export says rw (on the server: exportfs -v)"}
	}
	return good("mounted read-write")
}

func checkLostLocks(p *patient) Finding {
	const file = "sys/module/nfs/parameters/recover_lost_locks"
	data, err := fs.ReadFile(p.Machine, file)
	if err != nil {
		return skipped("/" + file + " can't be read: the default is N")
	}
	if v := strings.TrimSpace(string(data)); v == "Y" || v == "1" {
		return Finding{Refuse, []string{"/" + file + " is " + v}, "echo N > /" + file +
			", and remove nfs.recover_lost_locks from the kernel's command line and /etc/modprobe.d; then mount again"}
	}
	return good("recover_lost_locks is off")
}

func checkSubmounts(p *patient) Finding {
	if !p.known {
		return skipped("the mount isn't known")
	}
	f := good()
	for _, m := range submounts(p.mounts, p.real) {
		f.add(Refuse, "umount "+m.Point+"; the whole spool has to be on one mount", at(m)+" is inside of the spool")
	}
	if f.Verdict == OK {
		f.Evidence = append(f.Evidence, "nothing is mounted inside of the spool")
	}
	return f
}
