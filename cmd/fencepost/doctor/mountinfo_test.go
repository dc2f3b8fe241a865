package doctor_test

import (
	"slices"
	"strings"
	"testing"

	"fencepost/cmd/fencepost/doctor"
)

// Recorded lines, and such as the kernel's source can make.
func TestParseMounts(t *testing.T) {
	for _, c := range []struct {
		name, line                        string
		id                                int
		root, point, typ, source, opt, is string
	}{
		{"ext4", `27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard,resuid=65534`, 27, "/", "/", "ext4", "/dev/vda", "resuid", "65534"},
		{"nfs 4.2", `412 27 0:52 / /srv/spool rw,noatime shared:211 - nfs4 nas:/export/spool rw,vers=4.2,rsize=1048576,hard,proto=tcp,timeo=600,retrans=2,sec=sys,clientaddr=10.9.0.11,lookupcache=pos,local_lock=none,addr=10.9.0.1`,
			412, "/", "/srv/spool", "nfs4", "nas:/export/spool", "lookupcache", "pos"},
		{"a directory of an export, several optional fields", `77 27 0:52 /jobs /srv/jobs rw shared:1 master:2 propagate_from:3 unbindable - nfs4 nas:/export/spool rw,vers=4.1,hard`,
			77, "/jobs", "/srv/jobs", "nfs4", "nas:/export/spool", "hard", ""},
		{"blanks, a tab, a newline, a backslash", `78 27 0:53 /a\040b /srv/my\040spool\011x\012y\134z rw - nfs nas:/my\040export rw,vers=3`,
			78, "/a b", "/srv/my spool\tx\ny\\z", "nfs", "nas:/my export", "vers", "3"},
		{"ipv6 server", `79 27 0:54 / /s rw - nfs4 [fe80::1%eth0]:/x rw,vers=4.2,proto=tcp6`, 79, "/", "/s", "nfs4", "[fe80::1%eth0]:/x", "proto", "tcp6"},
		{"a mount point that is a hyphen", `80 27 0:55 - - rw - tmpfs - rw`, 80, "-", "-", "tmpfs", "-", "rw", ""},
		{"no source", `81 27 0:56 / /s rw -  fuse.x  rw,user_id=0`, 81, "/", "/s", "", "fuse.x ", "user_id", "0"},
		{"empty source", `81 27 0:56 / /s rw - fuse.x  rw,user_id=0`, 81, "/", "/s", "fuse.x", "", "user_id", "0"},
		{"a comma and an equals sign in an option", `82 27 0:57 / /m rw - overlay overlay rw,lowerdir=/a\054b=c:/d,upperdir=/u`, 82, "/", "/m", "overlay", "overlay", "lowerdir", "/a,b=c:/d"},
		{"a bind mount of what was removed", `83 27 0:58 /foo//deleted /m rw - ext4 /dev/sda1 rw`, 83, "/foo//deleted", "/m", "ext4", "/dev/sda1", "rw", ""},
		{"not quite an escape", `84 27 0:59 / /a\9b\04 rw - ext4 x\ rw`, 84, "/", `/a\9b\04`, "ext4", `x\`, "rw", ""},
		{"autofs", `85 27 0:60 / /net rw,relatime - autofs /etc/auto.net rw,fd=7,pgrp=1,timeout=0,minproto=5,maxproto=5,indirect,pipe_ino=1`, 85, "/", "/net", "autofs", "/etc/auto.net", "timeout", "0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := doctor.ParseMounts([]byte(c.line + "\n"))
			if err != nil || len(got) != 1 {
				t.Fatalf("got %v, %v", got, err)
			}
			m := got[0]
			v, ok := m.Option(c.opt)
			if m.ID != c.id || m.Root != c.root || m.Point != c.point || m.Type != c.typ || m.Source != c.source || !ok || v != c.is {
				t.Errorf("got %#v, option %s=%q", m, c.opt, v)
			}
		})
	}
}

func TestParseMountsBad(t *testing.T) {
	const good = "27 1 254:0 / / rw - ext4 /dev/vda rw\n"
	for _, line := range []string{"x", "27", "27 1 254:0 / / rw ext4 /dev/vda rw", "x 1 254:0 / / rw - ext4 a rw", "1 x 254:0 / / rw - ext4 a rw",
		"1 1 254 / / rw - ext4 a rw", "1 1 a:b / / rw - ext4 a rw", "1 1 1:1 / / rw - ext4", "1 1 1:1 / / rw -"} {
		got, err := doctor.ParseMounts([]byte(good + line + "\n" + good))
		if err == nil || len(got) != 2 || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: got %v, %v; want the two good ones and an error that names line 2", line, got, err)
		}
	}
}

const table = `1 0 254:0 / / rw - ext4 /dev/vda rw
2 1 0:40 / /srv rw - autofs auto.srv rw,direct
3 2 0:41 / /srv/spool rw - nfs4 nas:/x rw,vers=4.2
4 3 0:42 / /srv/spool/xml rw - tmpfs none rw
5 1 0:41 /jobs /data rw - nfs4 nas:/x rw,vers=4.2
6 1 0:43 / /data rw - tmpfs covers rw
7 1 0:44 / /srv/spool2 rw - tmpfs none rw
`

func TestFindMount(t *testing.T) {
	mounts, err := doctor.ParseMounts([]byte(table))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		id   int
		dir  string
		want int
	}{
		{0, "/srv/spool", 3}, {0, "/srv/spool/", 3}, {0, "/srv/spool/jobs", 3}, {0, "/srv/spool/xml/a", 4}, {0, "/srv/spool3", 2},
		{0, "/srv/spool2", 7}, {0, "/home", 1}, {0, "/", 1}, {0, "/data/x", 6},
		{5, "/data/x", 5}, {3, "/somewhere/else", 3}, {99, "/srv/spool", 3},
	} {
		if m, ok := doctor.FindMount(mounts, c.id, c.dir); !ok || m.ID != c.want {
			t.Errorf("id %d, %s: got mount %d, want %d", c.id, c.dir, m.ID, c.want)
		}
	}
	if _, ok := doctor.FindMount(nil, 0, "/"); ok {
		t.Error("found a mount in an empty table")
	}
	var inside []string
	for _, m := range doctor.Submounts(mounts, "/srv/spool") {
		inside = append(inside, m.Point)
	}
	if want := []string{"/srv/spool/xml"}; !slices.Equal(inside, want) {
		t.Errorf("inside of the spool: got %q, want %q", inside, want)
	}
}

// FuzzMounts: no panic; what parses has the fields that the checks rely on.
func FuzzMounts(f *testing.F) {
	f.Add([]byte(table), "/srv/spool/a")
	f.Add([]byte(`1 1 1:1 / /a\040 rw a:1 -  x  y,z=\054`), "/a ")
	f.Fuzz(func(t *testing.T, data []byte, dir string) {
		mounts, err := doctor.ParseMounts(data)
		lines := 0
		for line := range strings.SplitSeq(string(data), "\n") {
			if line != "" {
				lines++
			}
		}
		if len(mounts) > lines || err == nil && len(mounts) != lines {
			t.Errorf("%d lines, %d mounts, %v", lines, len(mounts), err)
		}
		if m, ok := doctor.FindMount(mounts, 0, dir); ok {
			m.Option("vers")
			doctor.JudgeType(m, true, 0)
			doctor.Submounts(mounts, m.Point)
		}
	})
}
