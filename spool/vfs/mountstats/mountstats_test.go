package mountstats_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"fencepost/spool/vfs/mountstats"
)

// The samples were recorded on Linux 6.1 after three files had been made,
// renamed and linked, a directory made and removed, a listing, and one removal.
func sample(t *testing.T, file string) mountstats.Mount {
	t.Helper()
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := mountstats.Parse(data)
	if err != nil || len(mounts) != 1 {
		t.Fatalf("got %d NFS mounts, %v, want 1: the others are none", len(mounts), err)
	}
	m, ok := mountstats.At(mounts, "/mnt/spool")
	if !ok {
		t.Fatalf("nothing at /mnt/spool: %+v", mounts)
	}
	return m
}

func TestRecorded(t *testing.T) {
	for file, c := range map[string]struct {
		source, typ, counts string
	}{
		"v4.2.txt": {"10.9.0.1:/", "nfs4", "47 (GETATTR 8, ACCESS 4, CLOSE 3, LINK 3, LOOKUP 3, OPEN 3, RENAME 3, SERVER_CAPS 3, WRITE 3, EXCHANGE_ID 2, FSINFO 2, " +
			"REMOVE 2, CREATE 1, CREATE_SESSION 1, LOOKUP_ROOT 1, NULL 1, PATHCONF 1, READDIR 1, RECLAIM_COMPLETE 1, SECINFO_NO_NAME 1)"},
		"v3.txt": {"10.9.0.1:/tmp/export", "nfs", "33 (LOOKUP 6, ACCESS 4, CREATE 3, GETATTR 3, LINK 3, RENAME 3, WRITE 3, FSINFO 2, MKDIR 1, NULL 1, PATHCONF 1, " +
			"READDIRPLUS 1, REMOVE 1, RMDIR 1)"},
	} {
		m := sample(t, file)
		if m.Source != c.source || m.Type != c.typ || m.Counts().String() != c.counts {
			t.Errorf("%s: got %s %s %s\nwant %s %s %s", file, m.Source, m.Type, m.Counts(), c.source, c.typ, c.counts)
		}
	}
	want := mountstats.Op{Calls: 3, Sends: 3, Sent: 504, Received: 288, Errors: 3}
	if got := sample(t, "v4.2.txt").Ops["LOOKUP"]; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := sample(t, "v4.2.txt").Ops["EXCHANGE_ID"]; got.RTT != 165*time.Millisecond || got.Total != 166*time.Millisecond {
		t.Errorf("got %+v", got)
	}
}

func TestSince(t *testing.T) {
	before := sample(t, "v3.txt").Counts()
	after := mountstats.Counts{"RENAME": 13, "LOOKUP": 6, "COMMIT": 1}
	got := after.Since(before)
	if got.String() != "11 (RENAME 10, COMMIT 1)" || got.Total() != 11 {
		t.Errorf("got %s, %d", got, got.Total())
	}
	if s := before.Since(before).String(); s != "0" {
		t.Errorf("nothing was called: got %q", s)
	}
}

const head = "device nas:/a\\040b mounted on /srv/a\\040b with fstype nfs4 statvers=1.1\n\topts:\trw\n\tper-op statistics\n"

func TestOdd(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want uint64 // renames at "/srv/a b"
		bad  bool
	}{
		"escaped names":      {head + "\tRENAME: 1 1 0 1 1 0 0 0 0\n", 1, false},
		"version 1.0":        {head + "\tRENAME: 2 2 0 1 1 0 0 0\n", 2, false},
		"a later version":    {head + "\tRENAME: 3 3 0 1 1 0 0 0 0 77\n", 3, false},
		"covered by another": {head + "\tRENAME: 4 4 0 1 1 0 0 0 0\n" + head + "\tRENAME: 5 5 0 1 1 0 0 0 0\n", 5, false},
		"others between": {head + "\tRENAME: 6 6 0 1 1 0 0 0 0\ndevice x mounted on /x with fstype ext4\n\tRENAME: 9 9\n" +
			"device proc mounted on /proc with fstype proc\n", 6, false},
		"before the heading": {"device nas:/a mounted on /srv/a\\040b with fstype nfs statvers=1.1\n\tRENAME: 9 9 0 1 1 0 0 0 0\n", 0, false},
		"too few":            {head + "\tRENAME: 7 7 0\n", 0, true},
		"no number":          {head + "\tRENAME: x 7 0 1 1 0 0 0 0\n", 0, true},
		"negative":           {head + "\tRENAME: -1 7 0 1 1 0 0 0 0\n", 0, true},
		"no colon":           {head + "\tRENAME 7 7 0 1 1 0 0 0 0\n", 0, true},
	} {
		mounts, err := mountstats.Parse([]byte(c.text))
		m, ok := mountstats.At(mounts, "/srv/a b")
		if !ok || m.Counts()["RENAME"] != c.want || (err != nil) != c.bad {
			t.Errorf("%s: got %+v, %v", name, mounts, err)
		}
	}
	if _, ok := mountstats.At(nil, "/"); ok {
		t.Error("a mount of nothing")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(head + "\tRENAME: 1 1 0 1 1 0 0 0 0\n")
	f.Add("device a mounted on b with fstype nfs\nper-op statistics\nX:")
	f.Fuzz(func(t *testing.T, text string) {
		mounts, _ := mountstats.Parse([]byte(text))
		if len(mounts) > strings.Count(text, "device ") {
			t.Errorf("%d mounts", len(mounts))
		}
	})
}
