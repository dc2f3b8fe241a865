package doctor

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// fileSystem is what is known of a kind of file system.
// docs/nfs.md#7-other-file-systems has the same table in more words.
type fileSystem struct {
	types   []string // as mountinfo names it; "fuse.x" is x on FUSE
	magic   int64    // of statfs, 0 = not used
	verdict Verdict
	what    string
	fix     string
}

const (
	useNFS    = "put the spool on NFS 4.1 or later (docs/nfs.md), or on a local disk if one machine is enough"
	oneHost   = "for more than one machine put the spool on NFS 4.1 or later (docs/nfs.md)"
	tryFirst  = "try it before you rely on it, with the hosts that will use it, and tell us; NFS 4.1 is what fencepost is made for"
	notShared = "local file system: fine for one machine"
)

func fileSystems() []fileSystem {
	return []fileSystem{
		{[]string{"nfs", "nfs4"}, unix.NFS_SUPER_MAGIC, OK, "NFS", ""},
		{[]string{"ext2", "ext3", "ext4"}, unix.EXT4_SUPER_MAGIC, Note, notShared, oneHost},
		{[]string{"xfs"}, unix.XFS_SUPER_MAGIC, Note, notShared, oneHost},
		{[]string{"btrfs"}, unix.BTRFS_SUPER_MAGIC, Note, notShared, oneHost},
		{[]string{"f2fs"}, unix.F2FS_SUPER_MAGIC, Note, notShared, oneHost},
		{[]string{"zfs"}, 0x2fc12fc1, Note, notShared, oneHost},
		{[]string{"bcachefs", "jfs", "reiserfs", "nilfs2", "hostfs", "rootfs"}, 0, Note, notShared, oneHost},
		{[]string{"tmpfs", "ramfs"}, unix.TMPFS_MAGIC, Note, notShared + ", and gone when it restarts", oneHost},
		{[]string{"overlay", "aufs", "fuse.fuse-overlayfs"}, unix.OVERLAYFS_SUPER_MAGIC, Warn,
			"a container's own layer: nobody else sees it, it goes with the container, and files of lower layers change their identity when they are touched",
			"mount a volume into the container and put the spool there"},
		{[]string{"autofs"}, unix.AUTOFS_SUPER_MAGIC, Refuse, "an automounter's directory, with nothing mounted on it",
			"let the automounter mount it (ls DIR/.), see that its map is right, and name the directory itself, not the one above"},
		{[]string{"cifs", "smb3", "smbfs"}, unix.CIFS_SUPER_MAGIC, Refuse,
			"SMB: an open file can't be renamed or removed, locks are mandatory or (nobrl) of this client alone, and hard links depend on the server", useNFS},
		{nil, unix.SMB2_SUPER_MAGIC, Refuse, "SMB: an open file can't be renamed or removed, and hard links depend on the server", useNFS},
		{[]string{"ceph", "fuse.ceph", "fuse.ceph-fuse"}, unix.CEPH_SUPER_MAGIC, Warn,
			"CephFS: rename and link are atomic in the metadata server, and a client that was cut off is shut out; not tried with fencepost",
			tryFirst + "; never recover_session=clean"},
		{[]string{"lustre"}, 0x0bd00bd0, Warn, "Lustre: rename and link are atomic in the metadata target; not tried with fencepost", tryFirst + "; mount it with flock"},
		{[]string{"gpfs"}, 0x47504653, Note, "GPFS (Storage Scale): coherent, rename, link and flock hold between hosts; not tried with fencepost", tryFirst},
		{[]string{"gfs2"}, 0x01161970, Warn, "GFS2: coherent by a lock manager; not tried with fencepost", tryFirst},
		{[]string{"ocfs2"}, 0x7461636f, Warn, "OCFS2: coherent by a lock manager, but flock was seen to be given to two hosts; not tried with fencepost", tryFirst},
		{[]string{"beegfs"}, 0x19830326, Warn, "BeeGFS: flock is of this client alone unless tuneUseGlobalFileLocks is set; not tried with fencepost",
			"set tuneUseGlobalFileLocks = true in beegfs-client.conf on all hosts, and " + tryFirst},
		{[]string{"9p", "virtiofs"}, unix.V9FS_MAGIC, Warn, "shared between one machine and its virtual machines; locks are of this client alone by default", oneHost},
		{[]string{"fuse.glusterfs"}, 0, Refuse, "GlusterFS: locks are dropped when a connection breaks, and a rename may touch two bricks", useNFS},
		{[]string{"fuse.juicefs"}, 0, Refuse, "JuiceFS: a host whose session timed out loses its locks and goes on writing", useNFS},
		{[]string{"fuse.sshfs"}, 0, Refuse, "sshfs: no locks between hosts, and rename may be done in two steps", useNFS},
		{[]string{"fuse.s3fs", "fuse.goofys", "fuse.gcsfuse", "fuse.blobfuse", "fuse.blobfuse2", "fuse.mount-s3", "fuse.mountpoint-s3", "fuse.rclone", "fuse.s3ql"}, 0, Refuse,
			"an object store: rename is a copy and a removal, and there are no hard links", useNFS},
		{[]string{"afs", "coda", "ncpfs"}, 0, Refuse, "no hard links between directories", useNFS},
		{[]string{"vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuseblk"}, unix.MSDOS_SUPER_MAGIC, Refuse, "no hard links, or none that can be relied on", useNFS},
		{[]string{"vboxsf", "fuse.vmhgfs-fuse", "prl_fs"}, 0, Refuse, "a virtual machine's shared folder: no hard links, no locks", useNFS},
	}
}

// local says whether a type is a file system of one machine.
func local(typ string) bool {
	return slices.ContainsFunc(fileSystems(), func(f fileSystem) bool {
		return strings.HasPrefix(f.what, notShared) && slices.Contains(f.types, typ)
	})
}

// judgeType says what is known of a file system: by the mount table's word for
// it, or, if there is none, by statfs.
func judgeType(m Mount, known bool, magic int64) Finding {
	if known {
		for _, fsys := range fileSystems() {
			if slices.Contains(fsys.types, m.Type) {
				return fsys.judge(m)
			}
		}
		what := fmt.Sprintf("%s: nothing is known of it", m.Type)
		if strings.HasPrefix(m.Type, "fuse") {
			what = fmt.Sprintf("%s: a program decides what a rename, a link and a lock are, and nothing is known of this one", m.Type)
		}
		return Finding{Refuse, []string{at(m), what}, useNFS}
	}
	for _, fsys := range fileSystems() {
		if fsys.magic != 0 && fsys.magic == magic {
			return Finding{fsys.verdict, []string{fmt.Sprintf("statfs type %#x", magic), fsys.what}, fsys.fix}
		}
	}
	return Finding{Refuse, []string{fmt.Sprintf("statfs type %#x: nothing is known of it", magic)}, useNFS}
}

func (f fileSystem) judge(m Mount) Finding {
	found := Finding{f.verdict, []string{at(m), f.what}, f.fix}
	switch m.Type {
	case "lustre":
		if m.has("localflock") || m.has("noflock") {
			found.add(Refuse, "mount Lustre with the option flock on every host", "mounted with localflock or noflock: locks are of this client alone, or none")
		}
	case "ceph":
		if v, _ := m.Option("recover_session"); v == "clean" {
			found.add(Refuse, "mount CephFS without recover_session=clean", "recover_session=clean: a client that was shut out goes on as if nothing had been")
		}
	case "nfs", "nfs4":
		found.server(m)
	}
	return found
}

// server adds what is known of a vendor's NFS service, by its name.
func (f *Finding) server(m Mount) {
	host, _, _ := strings.Cut(m.Source, ":/")
	switch {
	case strings.HasSuffix(host, ".blob.core.windows.net"):
		f.add(Refuse, "use Azure Files with NFS 4.1, or Azure NetApp Files with 4.1", "Azure Blob: no hard links and no lock service")
	case strings.HasSuffix(host, ".file.core.windows.net"):
		f.add(Note, "", "Azure Files: not tried with fencepost")
	case strings.Contains(host, ".efs.") && strings.HasSuffix(host, ".amazonaws.com"):
		f.add(Note, "", "Amazon EFS: not tried with fencepost; at most 512 locks a file, which is enough")
	}
}

func at(m Mount) string { return fmt.Sprintf("%s on %s, type %s", m.Source, m.Point, m.Type) }
