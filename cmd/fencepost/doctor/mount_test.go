package doctor_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"fencepost/cmd/fencepost/doctor"
)

// start makes the mount checks on a spool whose mount table has one line more.
func start(t *testing.T, files map[string]string, ignore ...string) map[string]doctor.Result {
	t.Helper()
	machine := fstest.MapFS{}
	for name, text := range files {
		machine[name] = &fstest.MapFile{Data: []byte(text)}
	}
	out := map[string]doctor.Result{}
	for _, r := range doctor.Start(context.Background(), doctor.Config{Dir: t.TempDir(), Machine: machine, Ignore: ignore,
		Begin: func(string, string) func() { return func() {} }}) {
		out[r.ID] = r
	}
	return out
}

func mounted(format string, args ...any) map[string]string {
	return map[string]string{"proc/self/mountinfo": fmt.Sprintf(format, args...) + "\n"}
}

// Each line: the type and options of the mount, and which checks don't say ok or
// skipped.
func TestMountOptions(t *testing.T) {
	const good = "rw,vers=4.2,hard,proto=tcp,local_lock=none,addr=10.9.0.1"
	for _, c := range []struct{ typ, options, want string }{
		{"nfs4", good, ""},
		{"nfs4", "rw,vers=4.1,hard,proto=tcp6,lookupcache=pos", ""},
		{"nfs4", "rw,vers=4.2,hard,proto=rdma", ""},
		{"nfs4", "rw,vers=4,minorversion=1,hard,proto=tcp", ""},
		{"nfs4", "rw,vers=4.0,hard,proto=tcp", "FP002 warn"},
		{"nfs4", "rw,vers=4,hard,proto=tcp", "FP002 warn"},
		{"nfs", "rw,vers=3,hard,proto=tcp,local_lock=none", "FP002 warn"},
		{"nfs", "rw,vers=2,hard,proto=tcp", "FP002 refuse"},
		{"nfs", "rw,hard", "FP002 warn"},
		{"nfs", "rw,vers=four,hard", "FP002 warn"},
		{"nfs", "rw,vers=3,hard,nolock,proto=tcp,local_lock=all", "FP002 warn FP004 refuse"},
		{"nfs", "rw,vers=3,hard,local_lock=flock", "FP002 warn FP004 refuse"},
		{"nfs", "rw,vers=3,hard,local_lock=all", "FP002 warn FP004 refuse"},
		{"nfs", "rw,vers=3,hard,local_lock=posix", "FP002 warn"},
		{"nfs4", "rw,vers=4.2,hard,nolock,local_lock=all", ""},
		{"nfs4", "rw,vers=4.2,soft,proto=tcp", "FP003 refuse"},
		{"nfs4", "rw,vers=4.2,softerr", "FP003 refuse"},
		{"nfs4", "rw,vers=4.2,softreval,hard", "FP003 warn"},
		{"nfs", "rw,vers=3,hard,proto=udp", "FP002 warn FP005 refuse"},
		{"nfs4", good + ",nocto", "FP006 refuse"},
		{"nfs4", good + ",acregmin=1,acregmax=3600,acdirmax=61", "FP007 warn"},
		{"nfs4", good + ",acregmax=60,acdirmax=60", ""},
		{"nfs4", good + ",noac,acregmax=0", "FP007 note"},
		{"nfs4", "ro,vers=4.2,hard", "FP009 refuse"},
		{"cifs", "rw,vers=3.1.1,nobrl,soft", "FP001 refuse"},
		{"ext4", "rw", "FP001 note"},
		{"lustre", "rw,flock", "FP001 warn"},
		{"lustre", "rw,localflock", "FP001 refuse"},
		{"ceph", "rw,name=x", "FP001 warn"},
		{"ceph", "rw,recover_session=clean", "FP001 refuse"},
		{"fuse.sshfs", "rw", "FP001 refuse"},
		{"fuse.whatever", "rw", "FP001 refuse"},
		{"newfs", "rw", "FP001 refuse"},
		{"autofs", "rw,direct", "FP001 refuse"},
		{"overlay", "rw,lowerdir=/a", "FP001 warn"},
	} {
		got := []string{}
		results := start(t, mounted("9 1 0:52 / / rw - %s nas:/x %s", c.typ, c.options))
		for _, id := range doctor.MountIDs() {
			r := results[id]
			switch r.Verdict {
			case doctor.OK, doctor.Skipped:
				if r.Fix != "" {
					t.Errorf("%s %s: %s is %s and has a fix", c.typ, c.options, id, r.Verdict)
				}
				continue
			}
			if r.Fix == "" || r.Means == "" || len(r.Evidence) == 0 {
				t.Errorf("%s %s: %s lacks its evidence, meaning or fix: %+v", c.typ, c.options, id, r)
			}
			got = append(got, id+" "+string(r.Verdict))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s %s: got %q, want %q", c.typ, c.options, got, c.want)
		}
	}
}

func TestMountElsewhere(t *testing.T) {
	const nfs = "9 1 0:52 / / rw - nfs4 nas:/x rw,vers=4.2,hard"
	for name, c := range map[string]struct {
		files map[string]string
		id    string
		want  doctor.Verdict
	}{
		"another superblock of the export": {mounted(nfs + "\n10 9 0:53 / /mnt rw - nfs4 nas:/x rw,vers=4.2,soft"), "FP008", doctor.Note},
		"the same superblock elsewhere":    {mounted(nfs + "\n10 9 0:52 /a /mnt rw - nfs4 nas:/x rw,vers=4.2,soft"), "FP008", doctor.OK},
		"a read-only mount point":          {mounted("9 1 0:52 / / ro - nfs4 nas:/x rw,vers=4.2,hard"), "FP009", doctor.Refuse},
		"lost locks come back": {map[string]string{"proc/self/mountinfo": nfs + "\n", "sys/module/nfs/parameters/recover_lost_locks": "Y\n"},
			"FP010", doctor.Refuse},
		"lost locks stay lost": {map[string]string{"proc/self/mountinfo": nfs + "\n", "sys/module/nfs/parameters/recover_lost_locks": "N\n"},
			"FP010", doctor.OK},
		"azure blob":        {mounted("9 1 0:52 / / rw - nfs acc.blob.core.windows.net:/acc/c rw,vers=3,hard,nolock"), "FP001", doctor.Refuse},
		"azure files":       {mounted("9 1 0:52 / / rw - nfs4 acc.file.core.windows.net:/acc/c rw,vers=4.1,hard"), "FP001", doctor.Note},
		"efs":               {mounted("9 1 0:52 / / rw - nfs4 fs-1.efs.eu-west-1.amazonaws.com:/ rw,vers=4.1,hard"), "FP001", doctor.Note},
		"no mount table":    {nil, "FP009", doctor.Skipped},
		"no table, options": {nil, "FP003", doctor.Skipped},
	} {
		if got := start(t, c.files)[c.id]; got.Verdict != c.want {
			t.Errorf("%s: got %+v, want %s", name, got, c.want)
		}
	}
}

// Without a mount table, as in some sandboxes, statfs decides.
func TestMagic(t *testing.T) {
	for magic, want := range map[int64]doctor.Verdict{0x6969: doctor.OK, 0xef53: doctor.Note, 0xff534d42: doctor.Refuse, 0xfe534d42: doctor.Refuse,
		0x794c7630: doctor.Warn, 0x01021994: doctor.Note, 0x65735546: doctor.Refuse, 0x12345: doctor.Refuse} {
		if got := doctor.JudgeType(doctor.Mount{}, false, magic); got.Verdict != want {
			t.Errorf("%#x: got %+v, want %s", magic, got, want)
		}
	}
}

func TestSubmount(t *testing.T) {
	dir := t.TempDir()
	machine := fstest.MapFS{"proc/self/mountinfo": {Data: fmt.Appendf(nil,
		"9 1 0:52 / / rw - nfs4 nas:/x rw,vers=4.2,hard\n10 9 0:52 /b %s/xml rw - nfs4 nas:/x rw,vers=4.2,hard\n", dir)}}
	for _, r := range doctor.Start(context.Background(), doctor.Config{Dir: dir, Machine: machine, Begin: func(string, string) func() { return func() {} }}) {
		if r.ID == "FP011" && (r.Verdict != doctor.Refuse || !strings.Contains(r.Fix, "umount "+dir+"/xml")) {
			t.Errorf("got %+v", r)
		}
	}
}

func TestIgnore(t *testing.T) {
	files := mounted("9 1 0:52 / / rw - nfs4 nas:/x rw,vers=4.2,soft")
	if got := start(t, files, "fp003")["FP003"]; got.Verdict != doctor.Ignored || len(got.Evidence) == 0 {
		t.Errorf("got %+v, want it ignored, with its evidence", got)
	}
	if got := start(t, files, "FP002")["FP002"]; got.Verdict != doctor.OK {
		t.Errorf("a good one that is ignored: got %+v", got)
	}
}
