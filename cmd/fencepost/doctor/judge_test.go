package doctor_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"fencepost/cmd/fencepost/doctor"
	"fencepost/lease"
	"fencepost/submit"
)

func TestTimers(t *testing.T) {
	const dir = "/srv/spool"
	for _, c := range []struct {
		name, file, text string
		want             doctor.Verdict
		line             string // of the evidence, if it isn't ok
	}{
		{"the story", "var/spool/cron/crontabs/batch", "# old\n* * * * * batch /opt/legacy/xml2json /srv/spool/xml\n", doctor.Warn, "/var/spool/cron/crontabs/batch:2: * * * * *"},
		{"cron.d", "etc/cron.d/legacy", "SHELL=/bin/sh\n\n*/5 * * * * root find /srv/spool -mtime +3 -delete\n", doctor.Warn, "/etc/cron.d/legacy:3"},
		{"a script", "etc/cron.daily/tidy", "#!/bin/sh\ncd '/srv/spool' && rm -f failed/*\n", doctor.Warn, "/etc/cron.daily/tidy:2"},
		{"a service", "etc/systemd/system/pick.service", "[Service]\nExecStart=/opt/pick --dir=/srv/spool/json\n", doctor.Warn, "pick.service:2"},
		{"a comment", "etc/crontab", "# * * * * * /opt/x /srv/spool\n; /srv/spool\n", doctor.OK, ""},
		{"another directory", "etc/crontab", "* * * * * root /opt/x /srv/spool2 /srv/spool-old /mnt/srv/spool /srv/spool.bak\n", doctor.OK, ""},
		{"another first, then this", "etc/crontab", "* * * * * root /opt/x /srv/spool2 /srv/spool\n", doctor.Warn, "/etc/crontab:1"},
		{"fencepost itself", "etc/cron.d/audit", "0 * * * * fp /usr/local/bin/fencepost audit --spool /srv/spool\n", doctor.Note, "/etc/cron.d/audit:1"},
		{"its unit", "etc/systemd/system/fencepost.service", "[Unit]\nRequiresMountsFor=/srv/spool\n[Service]\nExecStart=/usr/local/bin/fencepost serve --spool /srv/spool\n", doctor.Note, "fencepost.service:2"},
		{"not a unit", "etc/systemd/system/notes.txt", "/srv/spool\n", doctor.OK, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := doctor.Timers(fstest.MapFS{c.file: {Data: []byte(c.text)}}, dir)
			if got.Verdict != c.want || c.line != "" && !strings.Contains(got.Evidence[0], c.line) {
				t.Errorf("got %+v, want %s at %q", got, c.want, c.line)
			}
		})
	}
}

// An old crontab runs a script, and the script names the spool.
func TestTimersFollowScripts(t *testing.T) {
	const script = "#!/bin/sh\n# /srv/spool\nIN=/srv/spool/xml\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  doctor.Verdict
		line  string
	}{
		"a crontab's script": {map[string]string{"etc/cron.d/legacy": "*/5 * * * * root /opt/legacy/run.sh -v\n", "opt/legacy/run.sh": script},
			doctor.Warn, "/opt/legacy/run.sh:3: IN=/srv/spool/xml (run by /etc/cron.d/legacy:1)"},
		"a unit's script": {map[string]string{"etc/systemd/system/x.service": "[Service]\nExecStart=-/opt/run.sh\n", "opt/run.sh": script},
			doctor.Warn, "/opt/run.sh:3"},
		"a part of a unit": {map[string]string{"etc/systemd/system/x.service.d/more.conf": "[Service]\nExecStart=/opt/x /srv/spool\n"},
			doctor.Warn, "more.conf:2"},
		"another script":        {map[string]string{"etc/cron.d/x": "* * * * * root /opt/run.sh\n", "opt/run.sh": "#!/bin/sh\nls /srv/spool2\n"}, doctor.OK, ""},
		"a program":             {map[string]string{"etc/cron.d/x": "* * * * * root /opt/run\n", "opt/run": "ELF /srv/spool\n"}, doctor.OK, ""},
		"a comment":             {map[string]string{"etc/cron.d/x": "# * * * * * root /opt/run.sh\n", "opt/run.sh": script}, doctor.OK, ""},
		"a .conf of no unit":    {map[string]string{"etc/systemd/system/notes.conf": "/srv/spool\n"}, doctor.OK, ""},
		"a relative name isn't": {map[string]string{"etc/cron.d/x": "* * * * * root opt/run.sh\n", "opt/run.sh": script}, doctor.OK, ""},
	} {
		machine := fstest.MapFS{}
		for file, text := range c.files {
			machine[file] = &fstest.MapFile{Data: []byte(text)}
		}
		got := doctor.Timers(machine, "/srv/spool")
		if got.Verdict != c.want || c.line != "" && !strings.Contains(got.Evidence[0], c.line) {
			t.Errorf("%s: got %+v, want %s at %q", name, got, c.want, c.line)
		}
	}
}

// forbidden is a machine whose crontabs only root may read.
type forbidden struct{ rest fs.FS }

func (f forbidden) Open(name string) (fs.File, error) {
	if strings.HasPrefix(name, "var/spool/cron") {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return f.rest.Open(name)
}

func TestTimersForbidden(t *testing.T) {
	got := doctor.Timers(forbidden{fstest.MapFS{}}, "/srv/spool")
	if got.Verdict != doctor.Note || !strings.Contains(strings.Join(got.Evidence, " "), "/var/spool/cron/crontabs") {
		t.Errorf("got %+v, want a note that names what can't be read", got)
	}
}

func FuzzNames(f *testing.F) {
	f.Add("rm /srv/spool/x", "/srv/spool")
	f.Fuzz(func(t *testing.T, line, dir string) {
		if doctor.Names(line, dir) && !strings.Contains(line, dir) {
			t.Errorf("%q in %q", dir, line)
		}
		if dir != "" && dir != "/" && !doctor.Names("x "+dir+" y", dir) {
			t.Errorf("%q isn't found", dir)
		}
	})
}

func TestClientID(t *testing.T) {
	clone := lease.Member{Host: "b", Pinned: "m-1"}
	for name, c := range map[string]struct {
		files   fstest.MapFS
		members []lease.Member
		want    doctor.Verdict
	}{
		"set":               {fstest.MapFS{"sys/fs/nfs/net/nfs_client/identifier": {Data: []byte("abc\n")}}, []lease.Member{clone}, doctor.OK},
		"set in the module": {fstest.MapFS{"sys/fs/nfs/net/nfs_client/identifier": {Data: []byte("(null)\n")}, "sys/module/nfs/parameters/nfs4_unique_id": {Data: []byte("abc\n")}}, nil, doctor.OK},
		"not set":           {fstest.MapFS{"sys/fs/nfs/net/nfs_client/identifier": {Data: []byte("(null)\n")}}, nil, doctor.Note},
		"a clone":           {fstest.MapFS{}, []lease.Member{clone}, doctor.Warn},
		"localhost":         {fstest.MapFS{"proc/sys/kernel/hostname": {Data: []byte("localhost.localdomain\n")}}, nil, doctor.Warn},
	} {
		if got := doctor.ClientID(c.files, "m-1", c.members...); got.Verdict != c.want {
			t.Errorf("%s: got %+v, want %s", name, got, c.want)
		}
	}
}

func TestHosts(t *testing.T) {
	cfg := doctor.Config{Host: "a", MachineID: "m-1", Digest: "d1", Heartbeat: time.Second, Lease: 10 * time.Second}
	roster := []lease.Member{{Host: "a", Pinned: "m-1"}, {Host: "b", Pinned: "m-2"}}
	live := func(host, digest, version string, ttl time.Duration) lease.HostState {
		return lease.HostState{Host: host, State: lease.Live, Record: lease.Record{Host: host, ConfigDigest: digest, Version: version, Interval: time.Second, TTL: ttl}}
	}
	alike := []lease.HostState{live("a", "d1", "1", 10*time.Second), live("b", "d1", "1", 10*time.Second)}
	stopped := live("b", "d9", "9", time.Minute)
	stopped.State = lease.Stopped
	for name, c := range map[string]struct {
		cfg     func(*doctor.Config)
		members []lease.Member
		hosts   []lease.HostState
		want    string
	}{
		"all alike":             {nil, roster, alike, "ok ok ok ok ok"},
		"nobody runs":           {nil, roster, nil, "ok ok skipped skipped skipped"},
		"who is stopped":        {nil, roster, []lease.HostState{alike[0], stopped}, "ok ok ok ok ok"},
		"another configuration": {nil, roster, []lease.HostState{alike[0], live("b", "d2", "1", 10*time.Second)}, "ok ok warn ok ok"},
		"another lease":         {nil, roster, []lease.HostState{alike[0], live("b", "d1", "1", 20*time.Second)}, "ok ok ok warn ok"},
		"another version":       {nil, roster, []lease.HostState{alike[0], live("b", "d1", "2", 10*time.Second)}, "ok ok ok ok note"},
		"only here":             {func(c *doctor.Config) { c.Digest, c.Lease = "d2", time.Minute }, roster, alike, "ok ok note note ok"},
		"not enrolled":          {func(c *doctor.Config) { c.Host = "c" }, roster, nil, "warn ok skipped skipped skipped"},
		"another machine":       {func(c *doctor.Config) { c.MachineID = "m-3" }, roster, nil, "warn ok skipped skipped skipped"},
		"not pinned yet":        {nil, []lease.Member{{Host: "a"}, {Host: "b"}}, nil, "ok ok skipped skipped skipped"},
		"twice on one machine":  {nil, []lease.Member{{Host: "a", Pinned: "m-1"}, {Host: "b", Pinned: "m-1"}}, nil, "ok note skipped skipped skipped"},
	} {
		cfg := cfg
		if c.cfg != nil {
			c.cfg(&cfg)
		}
		found := doctor.Hosts(cfg, c.members, c.hosts)
		var got []string
		for _, id := range []string{"FP040", "FP041", "FP042", "FP043", "FP044"} {
			got = append(got, string(found[id].Verdict))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestSmallJudgements(t *testing.T) {
	for mask, want := range map[int]doctor.Verdict{-1: doctor.Skipped, 0o022: doctor.OK, 0o027: doctor.OK, 0o077: doctor.Note, 0o777: doctor.Warn, 0o200: doctor.Warn} {
		if got := doctor.JudgeUmask(mask); got.Verdict != want {
			t.Errorf("umask %o: got %+v, want %s", mask, got, want)
		}
	}
	for free, want := range map[uint64]doctor.Verdict{0: doctor.Refuse, 9: doctor.Refuse, 10: doctor.Warn, 99: doctor.Warn, 100: doctor.OK} {
		if got := doctor.JudgeFree("bytes", free, 10, 100, "/x"); got.Verdict != want {
			t.Errorf("%d free: got %+v, want %s", free, got, want)
		}
	}
	for offset, want := range map[time.Duration]doctor.Verdict{0: doctor.OK, -time.Second: doctor.OK, 3 * time.Second: doctor.Note, -time.Hour: doctor.Note} {
		if got := doctor.ServerClock(offset); got.Verdict != want {
			t.Errorf("offset %s: got %+v, want %s", offset, got, want)
		}
	}
}

// The cluster's part: what the backend says is what is shown.
func TestCluster(t *testing.T) {
	cfg := patient(t, same)
	cfg.Cluster = func() (submit.Cluster, error) { return nil, errors.New("cluster.command.submit: needed") }
	for _, id := range []string{"FP060", "FP061"} {
		if r := examine(t, cfg)[id]; r.Verdict != doctor.Warn || !strings.Contains(r.Evidence[0], "cluster.command.submit") {
			t.Errorf("got %+v", r)
		}
	}
}

// tokened is a cluster whose token ends some time.
type tokened struct {
	submit.Cluster
	end time.Time
}

func (c tokened) TokenExpires() time.Time { return c.end }

func TestClusterToken(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		cluster submit.Cluster
		want    doctor.Verdict
	}{{nil, doctor.Skipped}, {tokened{}, doctor.OK}, {tokened{end: now.Add(2 * time.Hour)}, doctor.OK},
		{tokened{end: now.Add(59 * time.Minute)}, doctor.Warn}, {tokened{end: now.Add(-time.Hour)}, doctor.Warn}} {
		if got := doctor.Token(c.cluster); got.Verdict != c.want {
			t.Errorf("%+v: got %+v, want %s", c.cluster, got, c.want)
		}
	}
}
