package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"fencepost/spool"
)

func layoutChecks() []check {
	return []check{
		{"FP030", "no symbolic links", "A directory that is a link somewhere else is none of the spool; fencepost refuses to pass through it.", false, checkSymlinks},
		{"FP031", "owner and modes", "Who can write into the spool can take jobs; who can't write into a part of it gets stuck there.", false, checkModes},
		{"FP032", "umask", "What one host makes, the others must be able to read and move.", false, checkUmask},
		{"FP033", "free space", "Without space nothing is accepted, and a heartbeat that can't be written ends a lease.", false, checkSpace},
		{"FP034", "free inodes", "Each job costs a few files for as long as the retention lasts.", false, checkInodes},
		{"FP035", "drafts left behind", "Drafts of an epoch that is over are cleared up within minutes while a host runs.", false, checkDrafts},
		{"FP036", "sizes of directories", "Every host lists a stage's directory again and again.", false, checkSizes},
		{"FP037", "work of unknown hosts", "Claims of a host that isn't on the roster are moved on by any instance that runs; if they stay, none does.", false, checkUnknown},
	}
}

// layoutDirs are the directories of the layout, the root first.
func layoutDirs(s *spool.Spool) []string {
	flat, deep := stageDirs(s)
	return slices.Concat([]string{"."}, flat, deep,
		[]string{spool.DirRoster, spool.DirRequests, spool.DirIntruders, spool.DirForeign, spool.DirLocal})
}

func checkSymlinks(_ context.Context, p *patient) Finding {
	f := good()
	dirs := layoutDirs(p.Spool)[1:]
	for _, dir := range dirs {
		for part := dir; part != "."; part = path.Dir(part) {
			st, err := p.stat(part)
			switch {
			case errors.Is(err, syscall.ENOENT):
				f.add(Warn, "fencepost init --spool "+p.Dir+" makes what is missing", part+" is missing")
			case err != nil:
				return unable(err)
			case st.Mode()&os.ModeSymlink != 0:
				f.add(Refuse, fmt.Sprintf("stop all hosts, replace the link %s by the directory itself, on the same file system", part), part+" is a symbolic link")
			case !st.IsDir():
				f.add(Refuse, fmt.Sprintf("move %s away, then fencepost init --spool %s", part, p.Dir), part+" is no directory")
			}
		}
	}
	if f.Verdict == OK {
		f.Evidence = append(f.Evidence, fmt.Sprintf("%d directories", len(dirs)))
	}
	return f
}

func checkModes(_ context.Context, p *patient) Finding {
	f := good()
	owners := map[uint32]string{}
	uid := uint32(os.Getuid())
	for _, dir := range layoutDirs(p.Spool) {
		st, err := p.stat(dir)
		if errors.Is(err, syscall.ENOENT) {
			continue // FP030 says so
		}
		if err != nil {
			return unable(err)
		}
		owner := st.Sys().(*syscall.Stat_t).Uid
		owners[owner] = dir
		if st.Mode().Perm()&0o002 != 0 {
			f.add(Warn, "chmod o-w "+path.Join(p.Dir, dir), fmt.Sprintf("everybody can write to %s (mode %04o)", dir, st.Mode().Perm()))
		}
		if st.Mode()&os.ModeSticky != 0 && owner != uid && uid != 0 {
			f.add(Warn, "chmod -t "+path.Join(p.Dir, dir), dir+" has the sticky bit: only its owner can move files away")
		}
		done := p.Begin("access", dir)
		if unix.Access(path.Join(p.Dir, dir), unix.R_OK|unix.W_OK|unix.X_OK) != nil {
			f.add(Warn, fmt.Sprintf("run as the user (uid %d) who owns it, or chown it", owner), fmt.Sprintf("uid %d can't read, write or enter %s (mode %04o, uid %d)", uid, dir, st.Mode().Perm(), owner))
		}
		done()
	}
	if len(owners) > 1 {
		f.add(Note, "run fencepost as one user, with one uid, on all hosts; chown -R that user "+p.Dir, fmt.Sprintf("directories belong to %d users: %v", len(owners), owners))
	}
	if f.Verdict == OK {
		f.Evidence = append(f.Evidence, fmt.Sprintf("all of uid %d, none writable by everybody", firstKey(owners)))
	}
	return f
}

func firstKey[K comparable, V any](m map[K]V) (k K) {
	for k = range m {
		break
	}
	return k
}

func checkUmask(_ context.Context, p *patient) Finding {
	return judgeUmask(readUmask(p))
}

// readUmask is this process's umask, -1 if it can't be read: to ask the system
// would be to change it.
func readUmask(p *patient) int {
	data, err := readMachine(p, "proc/self/status")
	if err != nil {
		return -1
	}
	mask := -1
	for line := range strings.SplitSeq(string(data), "\n") {
		if v, ok := strings.CutPrefix(line, "Umask:"); ok {
			_, _ = fmt.Sscanf(strings.TrimSpace(v), "%o", &mask)
		}
	}
	return mask
}

func judgeUmask(mask int) Finding {
	evidence := fmt.Sprintf("umask %04o here; that of the service may differ (UMask= in its unit)", mask)
	switch {
	case mask < 0:
		return skipped("the umask isn't known")
	case mask&0o700 != 0:
		return Finding{Warn, []string{evidence, "the owner can't read what is made"}, "umask 0027, or UMask=0027 in the unit"}
	case mask&0o070 == 0o070:
		return Finding{Note, []string{evidence, "the group sees nothing: right if all hosts run as one user"}, "umask 0027, if people of the group look at the spool"}
	}
	return good(evidence)
}

// Limits below which space is reported.
const (
	scarceBytes  = 1 << 30
	noBytes      = 64 << 20
	scarceInodes = 100_000
	noInodes     = 5_000
)

func checkSpace(_ context.Context, p *patient) Finding {
	var st unix.Statfs_t
	done := p.Begin("statfs", p.Dir)
	err := unix.Statfs(p.Dir, &st)
	done()
	if err != nil {
		return unable(err)
	}
	return judgeFree("bytes", st.Bavail*uint64(st.Frsize), noBytes, scarceBytes, p.Dir)
}

func checkInodes(_ context.Context, p *patient) Finding {
	var st unix.Statfs_t
	done := p.Begin("statfs", p.Dir)
	err := unix.Statfs(p.Dir, &st)
	done()
	if err != nil {
		return unable(err)
	}
	if st.Files == 0 {
		return skipped("this file system doesn't count inodes")
	}
	return judgeFree("inodes", st.Ffree, noInodes, scarceInodes, p.Dir)
}

func judgeFree(what string, free, none, scarce uint64, dir string) Finding {
	f := good(fmt.Sprintf("%d %s free", free, what))
	switch fix := "make room on the file system of " + dir + " (df; df -i; quota), or shorten the retention"; {
	case free < none:
		f.Verdict, f.Fix = Refuse, fix
	case free < scarce:
		f.Verdict, f.Fix = Warn, fix
	}
	return f
}

// draftAge: drafts of an older epoch should be gone by then.
const draftAge = time.Hour

// checkDrafts looks at epochs below that of their host's record: they are over.
func checkDrafts(_ context.Context, p *patient) Finding {
	if p.probeErr != nil {
		return skipped("the server's clock isn't known, see FP020")
	}
	current := map[string]uint64{}
	for _, h := range p.hosts {
		current[h.Host] = h.Record.Epoch
	}
	epochs, err := p.Spool.Epochs(spool.DirDrafts)
	if err != nil {
		return unable(err)
	}
	f := good()
	for _, e := range epochs {
		now, known := current[e.Host]
		if known && e.Epoch >= now {
			continue
		}
		dir := spool.EpochDir(spool.DirDrafts, e.Host, e.Epoch)
		st, err := p.stat(dir)
		if err != nil {
			continue // gone meanwhile
		}
		// Both times are the server's: its clock is this one plus the offset.
		age := time.Now().Add(p.offset).Sub(st.ModTime())
		if age < draftAge {
			continue
		}
		names, err := p.Spool.FS.List(dir)
		if err == nil {
			f.add(Warn, "start an instance, which clears it up; if one runs, look for \"reclaim\" in its log", fmt.Sprintf("%s: %d files, unchanged for %s", dir, len(names), age.Round(time.Minute)))
		}
	}
	if f.Verdict == OK {
		f.Evidence = append(f.Evidence, fmt.Sprintf("%d epochs have drafts, none that is over for long", len(epochs)))
	}
	return f
}

// largeDir is how many names make a listing slow on a share.
const largeDir = 50_000

func checkSizes(_ context.Context, p *patient) Finding {
	f := good()
	flat, deep := stageDirs(p.Spool)
	largest, most := "", -1
	dirs := slices.Concat(flat, deep, []string{spool.DirIntruders, spool.DirForeign, spool.DirRequests})
	for _, base := range []string{spool.DirClaims, spool.DirSealed, spool.DirDrafts} {
		epochs, err := p.Spool.Epochs(base)
		if err != nil {
			return unable(err)
		}
		for _, e := range epochs {
			dirs = append(dirs, spool.EpochDir(base, e.Host, e.Epoch))
		}
	}
	for _, dir := range dirs {
		names, err := p.Spool.FS.List(dir)
		if errors.Is(err, syscall.ENOENT) {
			continue
		}
		if err != nil {
			return unable(err)
		}
		if len(names) > most {
			largest, most = dir, len(names)
		}
		if len(names) > largeDir {
			f.add(Warn, "fencepost depth and fencepost hosts: is a stage without a host? for failed and parked: retry, unpark or cancel what is there",
				fmt.Sprintf("%s has %d names", dir, len(names)))
		}
	}
	f.Evidence = append(f.Evidence, fmt.Sprintf("the largest, %s, has %d names", largest, max(most, 0)))
	return f
}

func checkUnknown(_ context.Context, p *patient) Finding {
	if p.hostsErr != nil {
		return unable(p.hostsErr)
	}
	f := good()
	for _, base := range []string{spool.DirClaims, spool.DirSealed, spool.DirDrafts} {
		epochs, err := p.Spool.Epochs(base)
		if err != nil {
			return unable(err)
		}
		for _, e := range epochs {
			if p.enrolled(strings.TrimSuffix(e.Host, spool.CommandHost(""))) {
				continue
			}
			dir := spool.EpochDir(base, e.Host, e.Epoch)
			names, err := p.Spool.FS.List(dir)
			if err == nil {
				f.add(Warn, "fencepost serve on an enrolled host moves it on, or fencepost recover; fencepost intruders shows whether somebody was refused",
					fmt.Sprintf("%s: %d files, and host %s isn't on the roster", dir, len(names), e.Host))
			}
		}
	}
	if f.Verdict == OK {
		f.Evidence = append(f.Evidence, "all claims, sealed files and drafts are of enrolled hosts")
	}
	return f
}

func (p *patient) enrolled(host string) bool {
	for _, m := range p.members {
		if m.Host == host {
			return true
		}
	}
	return false
}
