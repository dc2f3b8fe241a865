package config_test

import (
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"fencepost/cmd/fencepost/config"
)

// load loads from a file's text, variables and flags.
func load(file string, environ []string, flags map[string]string) (*config.Loaded, error) {
	return config.Load(config.Sources{File: "f.toml", Environ: environ, Flags: flags,
		ReadFile: func(string) ([]byte, error) { return []byte(file), nil }})
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct {
		name string
		file string
		env  string
		want string
	}{
		{"unknown", "haertbeat = '1s'", "", "f.toml:1:1: unknown key haertbeat; did you mean heartbeat?"},
		{"unknown far", "zzzzzzzzzzzz = 1", "", "f.toml:1:1: unknown key zzzzzzzzzzzz"},
		{"unknown table", "\n[cluser]\nname='x'", "", "f.toml:2:2: unknown key cluser; did you mean cluster?"},
		{"unknown in table", "[limits]\n  conections = 1", "", "f.toml:2:3: unknown key limits.conections; did you mean limits.connections?"},
		{"dotted", "log.lvel = 'info'", "", "f.toml:1:1: unknown key log.lvel; did you mean log.level?"},
		{"control characters", "\"a\\u001b[31m\" = 1", "", `unknown key "a\x1b[31m"`},
		{"two mistakes", "a1 = 1\nb2 = 2", "", "f.toml:2:1: unknown key b2"},
		{"syntax", "lease = ", "", "f.toml:1:"},
		{"twice", "workers = 1\nworkers = 2", "", "f.toml:2:1: workers"},
		{"number for duration", "lease = 7", "", `f.toml:1:9: lease wants a duration in quotes, such as "7s"`},
		{"bad duration", "lease = 'soon'", "", `f.toml:1:9: lease: "soon" is not a duration`},
		{"negative duration", "lease = '-7s'", "", `"-7s" is not a duration`},
		{"huge duration", "retention = '9999999999999d'", "", `is not a duration`},
		{"text for number", "workers = 'x'", "", "f.toml:1:11: workers wants a whole number"},
		{"text for list", "stages = 'ingest'", "", "f.toml:1:10: stages wants an array of texts"},
		{"text for argv", "[cluster.command]\nsubmit = '/x y'", "", "f.toml:2:10: cluster.command.submit wants an array of texts"},
		{"number for text", "spool = 3", "", "f.toml:1:9: spool wants a text in quotes"},
		{"text for bool", "insecure_listen = 'yes'", "", "insecure_listen wants true or false"},
		{"bad size", "[limits]\njob = '1 potato'", "", `"1 potato" is not a size`},
		{"cluster as text", "cluster = 'slurm'", "", "name is the key name in [cluster]"},

		{"environment unknown", "", "FENCEPOST_LAESE=1", "environment: unknown variable FENCEPOST_LAESE; did you mean FENCEPOST_LEASE?"},
		{"environment value", "", "FENCEPOST_WORKERS=x", `environment: FENCEPOST_WORKERS: "x" is not a whole number`},
		{"environment bool", "", "FENCEPOST_INSECURE_LISTEN=maybe", "neither true nor false"},
		{"environment argv", "", "FENCEPOST_CLUSTER_COMMAND_SUBMIT=[1]", "neither a program nor a JSON array"},
		{"environment table", "", "FENCEPOST_CLUSTER_COMMAND_ENV=x", "unknown variable"},

		{"host", "host = 'a/b'", "", `host: "a/b" can't be a host's name`},
		{"origin in file", "host = 'a/b'", "", "(from file f.toml)"},
		{"origin in environment", "", "FENCEPOST_HOST=a_b", "(from environment FENCEPOST_HOST)"},
		{"stage", "stages = ['sumbit']", "", `stages: "sumbit" is not one of ingest, translate, submit; did you mean submit?`},
		{"stage twice", "stages = ['submit', 'submit']", "", "submit is named twice"},
		{"no stage", "stages = []", "", "a host serves one stage at least"},
		{"listen everywhere", "listen = ':7433'", "", "listen: :7433 can be reached from other machines"},
		{"listen wildcard", "listen = '[::]:1'", "", "can be reached from other machines"},
		{"listen without port", "listen = '127.0.0.1'", "", "is not ADDRESS:PORT: no port"},
		{"listen port", "listen = '127.0.0.1:99999'", "", "port \"99999\" is not between"},
		{"listen garbage", "listen = 'a b:1'", "", "not an address or name"},
		{"listen none", "listen = ''", "", "needed by the stage ingest"},
		{"http", "http = '10.0.0.1:80'", "", "http: 10.0.0.1:80 can be reached"},
		{"lease and heartbeat", "heartbeat = '5s'", "", "lease: 10s is less than four heartbeats of 5s"},
		{"workers", "workers = 0", "", "workers: 0 is not between 1 and 1024"},
		{"log level", "[log]\nlevel = 'warning'", "", "did you mean warn?"},
		{"limits", "[limits]\nwindow = 0", "", "limits.window: 0 is not between"},
		{"job size", "[limits]\njob = '1GiB'", "", "limits.job: 1GiB is not between"},
		{"free space", "[limits]\nfree_space = -1", "", "limits.free_space: -1 is negative"},
		{"no number", "[clients.a]\nscripts = true\nrate = nan", "", "clients.a: job, rate"},
		{"negative job", "[clients.a]\nscripts = true\njob = -1", "", "clients.a: job, rate"},
		// Cut to whole seconds it would be 0, which is no limit.
		{"half a second", "[clients.a]\nscripts = true\nmax_time_limit = '500ms'", "", "clients.a.max_time_limit: 500ms is not a whole number"},
		{"half a second of a type", "[types.a]\ncommand = ['/x']\nmax_time_limit = '1.5s'", "", "types.a.max_time_limit: 1.5s is not a whole number"},
		{"less than nothing", "[types.a]\ncommand = ['/x']\nmax_cpus = -1", "", "types.a: max_cpus is negative"},
		{"cluster", "[cluster]\nname = 'slrum'", "", "did you mean slurm?"},
		{"command without submit", "[cluster]\nname = 'command'", "", "cluster.command.submit: missing"},
		{"empty program", "[cluster.command]\nsubmit = ['']", "", "cluster.command.submit: empty program name"},
		{"key and release", "[cluster.command]\nkey = true\nrelease = ['/r']", "", "needs no key"},
		{"guard", "[cluster.slurm]\nguard = 'on'", "", "cluster.slurm.guard"},
		{"slurm args", "[cluster.slurm]\nargs = ['-p', 'x']", "", "not of the form --name=value"},
		{"rest address", "[cluster.slurmrest]\naddress = 'localhost:6820'", "", "cluster.slurmrest.address"},
		{"rest version", "[cluster.slurmrest]\nversion = '38'", "", "cluster.slurmrest.version"},
		{"rest token", "[cluster.slurmrest]\naddress = 'http://localhost:6820'", "", "cluster.slurmrest.token_file: missing"},
		{"all of them", "workers = 0\n[cluster.local]\nslots = 0", "", "cluster.local.slots: 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var environ []string
			if c.env != "" {
				environ = []string{c.env}
			}
			_, err := load(c.file, environ, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want %q", err, c.want)
			}
		})
	}
}

func TestPrecedence(t *testing.T) {
	flags := map[string]string{}
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.Bind(set, flags, config.ServeKeys()...)
	config.BindCommand(set, flags)
	if err := set.Parse([]string{"--lease=9s", "--insecure-listen", "--stages", "ingest, submit",
		"--cluster-command", "submit=/s", "--cluster-command=find=/f"}); err != nil {
		t.Fatal(err)
	}
	l, err := load("lease = '7s'\npoll = '3s'\nworkers = 7\n[cluster.command.env]\nA = 'b'",
		[]string{"FENCEPOST_LEASE=8s", "FENCEPOST_POLL=2s", "FENCEPOST_HTTP=", "FENCEPOST_JOB_ID=x", "FENCEPOST_TEST_X=1", "OTHER=1"}, flags)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range config.Settings() {
		if o := l.Origin(s); o != "default" {
			got[s.Key] = l.Text(s) + " " + o
		}
	}
	want := map[string]string{
		"lease":                  "9s flag --lease",
		"poll":                   "2s environment FENCEPOST_POLL",
		"workers":                "7 file f.toml",
		"insecure_listen":        "true flag --insecure-listen",
		"stages":                 "ingest,submit flag --stages",
		"cluster.name":           "command flag --cluster-command",
		"cluster.command.submit": "/s flag --cluster-command",
		"cluster.command.find":   "/f flag --cluster-command",
		"cluster.command.env":    `{"A":"b"} file f.toml`,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestWhichFile(t *testing.T) {
	read := func(exists string) func(string) ([]byte, error) {
		return func(name string) ([]byte, error) {
			if name != exists {
				return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
			}
			return []byte("workers = 9"), nil
		}
	}
	for _, c := range []struct {
		name, flag, env, exists, want string
		fails                         bool
	}{
		{"none", "", "", "", "", false},
		{"default", "", "", config.DefaultFile, config.DefaultFile, false},
		{"flag", "x", "y", "x", "x", false},
		{"environment", "", "y", "y", "y", false},
		{"flag missing", "x", "", config.DefaultFile, "", true},
		{"environment missing", "", "y", config.DefaultFile, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := config.Load(config.Sources{File: c.flag, Environ: []string{"FENCEPOST_CONFIG=" + c.env}, ReadFile: read(c.exists)})
			if (err != nil) != c.fails {
				t.Fatalf("got error %v, want one: %v", err, c.fails)
			}
			if err == nil && l.File != c.want {
				t.Errorf("got file %q, want %q", l.File, c.want)
			}
		})
	}
}

// Every setting has a key, a help text, and a variable of its own; every flag is
// used once; and the text of its default is one that it takes.
func TestSettings(t *testing.T) {
	seen := map[string]bool{}
	def := config.Default()
	for _, s := range config.Settings() {
		for _, name := range []string{s.Key, s.Env, "--" + s.Flag} {
			if name != "" && name != "--" && seen[name] {
				t.Errorf("%s is used twice", name)
			}
			seen[name] = true
		}
		if s.Help == "" || s.Key == "" {
			t.Errorf("%+v: no help or key", s)
		}
		if text := def.Text(s); s.Env != "" && text != "" {
			l, err := load("", []string{s.Env + "=" + text}, nil)
			if err != nil {
				t.Errorf("%s=%s: %v", s.Env, text, err)
			} else if !reflect.DeepEqual(l.Value(s), def.Value(s)) {
				t.Errorf("%s=%s: got %v, want %v", s.Env, text, l.Value(s), def.Value(s))
			}
		}
	}
}

func TestDigest(t *testing.T) {
	base, err := load("", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file string
		same bool
	}{
		{"host = 'x'\nlisten = '127.0.0.1:1'\nworkers = 1", true},
		{"[cluster.command]\nsubmit = ['/elsewhere']", true},
		{"lease = '11s'", false},
		{"max_faults = 1", false},
		{"[cluster]\nname = 'slurm'", false},
	} {
		l, err := load(c.file, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if same := l.Digest() == base.Digest(); same != c.same {
			t.Errorf("%q: same digest: %v, want %v", c.file, same, c.same)
		}
	}
}

func TestTexts(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"500ms", "500ms"}, {"1m", "1m"}, {"90s", "1m30s"}, {"2h", "2h"}, {"36h", "36h"}, {"48h", "2d"}, {"30d", "30d"}, {"0.5d", "12h"}, {"0s", "0s"},
	} {
		var d config.Duration
		if err := d.UnmarshalText([]byte(c.in)); err != nil || d.String() != c.want {
			t.Errorf("duration %s: got %s, %v, want %s", c.in, d, err, c.want)
		}
	}
	for _, c := range []struct{ in, want string }{{"4096", "4KiB"}, {"1000", "1000"}, {"16MiB", "16MiB"}, {"1024MiB", "1GiB"}, {"0", "0"}} {
		var z config.Size
		if err := z.UnmarshalText([]byte(c.in)); err != nil || z.String() != c.want {
			t.Errorf("size %s: got %s, %v, want %s", c.in, z, err, c.want)
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"status", "hosts", "jobs", "trace"}
	for _, c := range []struct{ in, want string }{
		{"statsu", "status"}, {"STATUS", "status"}, {"host", "hosts"}, {"tarce", "trace"}, {"xyzzy", ""}, {strings.Repeat("x", 5000), ""},
	} {
		if got := config.Nearest(c.in, words); got != c.want {
			t.Errorf("%.20s: got %q, want %q", c.in, got, c.want)
		}
	}
}

// allKeys is a file with every key.
func allKeys(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile("testdata/all.toml")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestAllKeys(t *testing.T) {
	l, err := load(allKeys(t), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range config.Settings() {
		if l.Origin(s) == "default" {
			t.Errorf("testdata/all.toml lacks %s", s.Key)
		}
	}
	if _, err := l.Policy(); err != nil {
		t.Error(err)
	}
}

// FuzzFile: no file makes the parser panic; what loads passes Validate, keeps
// within its bounds, and every mistake is said with the file's name.
func FuzzFile(f *testing.F) {
	f.Add([]byte("heartbeat = '1s'\n[cluster.command]\nsubmit = ['a']\n[cluster.command.env]\nA='b'"))
	f.Add([]byte("cluster = 'x'"))
	f.Add([]byte("[clients.a]\nscripts = true\nqueues = ['a*']\n[types.b]\ncommand = ['/b', '{c}']\n[types.b.params]\nc = '[a-z]+'"))
	f.Add([]byte("[log]\nlevl = 1"))
	f.Add([]byte("limits.job = 1e9\nstages=[1]"))
	f.Add([]byte("[[cluster]]\nname=1979-05-27"))
	for _, part := range strings.Split(allKeys(f), "\n\n") { // in parts: a long seed takes a minute to be minimised
		f.Add([]byte(part))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := load(string(data), nil, nil)
		if err != nil {
			if text := err.Error(); text == "" || strings.ContainsFunc(text, func(r rune) bool { return r == 0x1b || r == 0 }) {
				t.Errorf("message %q", text)
			}
			return
		}
		if err := l.Validate(); err != nil {
			t.Errorf("loaded, but: %v", err)
		}
		if !strings.Contains(string(data), "script_file") {
			if _, err := l.Policy(); err != nil {
				t.Errorf("loaded, but: %v", err)
			}
		}
		if l.Lease.Duration < 100*time.Millisecond || len(l.Stages) == 0 || slices.Contains(l.Stages, "") {
			t.Errorf("loaded %+v", l.Config)
		}
	})
}
