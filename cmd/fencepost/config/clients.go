package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"fencepost/cmd/fencepost/access"
	"fencepost/cmd/fencepost/secure"
	"fencepost/codec"
)

// Clients is what each client may do, by its name: that of its certificate or
// token, else its address. "*" is everybody else.
type Clients map[string]Client

// Client is a rule of [clients.NAME].
type Client struct {
	Queues       List     `toml:"queues" json:"queues,omitempty" help:"queues that it may name; none = any; a word may end with *"`
	Owners       List     `toml:"owners" json:"owners,omitempty" help:"owners that it may name; none = any"`
	Types        List     `toml:"types" json:"types,omitempty" help:"job types that it may send; none = none"`
	Scripts      bool     `toml:"scripts" json:"scripts" help:"it may send scripts and commands of its own"`
	Job          Size     `toml:"job" json:"job,omitempty" help:"largest job, encoded"`
	Rate         float64  `toml:"rate" json:"rate,omitempty" help:"jobs a second"`
	Burst        int      `toml:"burst" json:"burst,omitempty" help:"jobs at once beyond the rate"`
	Connections  int      `toml:"connections" json:"connections,omitempty" help:"connections at once"`
	MaxTimeLimit Duration `toml:"max_time_limit" json:"max_time_limit,omitzero" help:"longest time limit of a job"`
	Disabled     bool     `toml:"disabled" json:"disabled,omitempty" help:"it may do nothing"`
}

func (c Clients) String() string { return jsonText(len(c), c) }

// Types are jobs that clients name instead of sending code.
type Types map[string]Type

// Type is a job of [types.NAME].
type Type struct {
	Script       string   `toml:"script" json:"script,omitempty" help:"the script; one of script, script_file and command"`
	ScriptFile   string   `toml:"script_file" json:"script_file,omitempty" help:"file with the script, read at the start"`
	Command      Argv     `toml:"command" json:"command,omitempty" help:"program and arguments; {NAME} stands for a parameter"`
	Args         Argv     `toml:"args" json:"args,omitempty" help:"arguments that follow"`
	Env          Table    `toml:"env" json:"env,omitempty" help:"variables"`
	Workdir      string   `toml:"workdir" json:"workdir,omitempty" help:"work directory"`
	Params       Table    `toml:"params" json:"params,omitempty" help:"patterns that parameters have to match as a whole"`
	Defaults     Table    `toml:"defaults" json:"defaults,omitempty" help:"of parameters that may be left out"`
	Queue        string   `toml:"queue" json:"queue,omitempty" help:"the only queue; empty = as the client says"`
	CPUs         int      `toml:"cpus" json:"cpus,omitempty" help:"where the job asks for none"`
	MemoryMB     int64    `toml:"memory_mb" json:"memory_mb,omitempty" help:"the same, of 2^20 bytes"`
	TimeLimit    Duration `toml:"time_limit" json:"time_limit,omitzero" help:"the same"`
	MaxCPUs      int      `toml:"max_cpus" json:"max_cpus,omitempty" help:"the most that a job may ask for; 0 = any"`
	MaxMemoryMB  int64    `toml:"max_memory_mb" json:"max_memory_mb,omitempty" help:"the same"`
	MaxTimeLimit Duration `toml:"max_time_limit" json:"max_time_limit,omitzero" help:"the same"`
}

func (t Types) String() string { return jsonText(len(t), t) }

func jsonText(n int, v any) string {
	if n == 0 {
		return ""
	}
	text, _ := json.Marshal(v)
	return string(text)
}

// subKeys are the keys of an entry of a table of tables, "" if key is none.
func subKeys(key string) (keys []string) {
	var t reflect.Type
	switch key {
	case "clients":
		t = reflect.TypeFor[Client]()
	case "types":
		t = reflect.TypeFor[Type]()
	default:
		return nil
	}
	for i := range t.NumField() {
		keys = append(keys, t.Field(i).Tag.Get("toml"))
	}
	return keys
}

// Policy is what the tables say, ready for use. It reads script files.
func (c *Config) Policy() (*access.Policy, error) {
	p := &access.Policy{Rules: map[string]access.Rule{}, Types: map[string]access.Type{},
		Rate: access.Rule{Rate: float64(c.Limits.Rate), Burst: c.Limits.Burst}}
	for name, r := range c.Clients {
		p.Rules[name] = access.Rule{Queues: r.Queues, Owners: r.Owners, Types: r.Types, Scripts: r.Scripts, MaxJob: int(r.Job),
			Rate: r.Rate, Burst: r.Burst, Conns: r.Connections, Shut: r.Disabled, Longest: r.MaxTimeLimit.Duration}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Types)) {
		t := c.Types[name]
		if t.ScriptFile != "" {
			data, err := os.ReadFile(t.ScriptFile)
			if err != nil {
				return nil, &ValueError{"types." + name + ".script_file", err.Error()}
			}
			t.Script = string(data)
		}
		at, err := t.access().Compile()
		if err != nil {
			return nil, &ValueError{"types." + name, err.Error()}
		}
		p.Types[name] = at
	}
	return p, nil
}

func (t *Type) access() access.Type {
	return access.Type{Script: t.Script, Command: t.Command, Args: t.Args, Env: t.Env, Workdir: t.Workdir, Params: t.Params,
		Defaults: t.Defaults, Queue: t.Queue,
		Want: codec.Resources{CPUs: t.CPUs, MemoryMB: t.MemoryMB, TimeLimitSeconds: int64(t.TimeLimit.Seconds())},
		Most: codec.Resources{CPUs: t.MaxCPUs, MemoryMB: t.MaxMemoryMB, TimeLimitSeconds: int64(t.MaxTimeLimit.Seconds())}}
}

func (c *Config) checkClients(k *checker) {
	for _, name := range slices.Sorted(maps.Keys(c.Clients)) {
		r, key := c.Clients[name], "clients."+name
		if name != access.Anybody && !secure.ValidName(name) && !isAddress(name) {
			k.add(key, "can't be a client's name: letters, digits, '.', '_', '@' and '-', or an address, or *")
		}
		if !r.Disabled && !r.Scripts && len(r.Types) == 0 {
			k.add(key, "may send nothing: give it types = [...], scripts = true, or disabled = true")
		}
		for _, t := range r.Types {
			if _, ok := c.Types[t]; !ok && !strings.HasSuffix(t, "*") {
				k.add(key+".types", "no type is called %s%s", t, didYouMean(t, slices.Collect(maps.Keys(c.Types))))
			}
		}
		// Written so that nan, which TOML has, is none of them.
		if !(r.Rate >= 0 && r.Rate <= 1e6) || r.Burst < 0 || r.Connections < 0 || r.Job < 0 {
			k.add(key, "job, rate, burst and connections can't be negative, nor a rate above 1000000")
		}
		k.seconds(key+".max_time_limit", r.MaxTimeLimit)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Types)) {
		t, key := c.Types[name], "types."+name
		k.seconds(key+".time_limit", t.TimeLimit)
		k.seconds(key+".max_time_limit", t.MaxTimeLimit)
		given := 0
		for _, set := range []bool{t.Script != "", t.ScriptFile != "", len(t.Command) > 0} {
			if set {
				given++
			}
		}
		switch {
		case given != 1:
			k.add(key, "wants exactly one of script, script_file and command")
		case t.ScriptFile != "" && !path.IsAbs(t.ScriptFile):
			k.add(key+".script_file", "%q is not an absolute path", t.ScriptFile)
		case t.ScriptFile == "":
			if _, err := t.access().Compile(); err != nil {
				k.add(key, "%v", err)
			}
		}
		if (codec.Job{Name: "x", Type: name}).Validate() != nil {
			k.add(key, "can't be a type's name: letters, digits, '.', '_' and '-', beginning with a letter or digit")
		}
	}
}

// checkTLS: what other machines can reach has to know who is there.
func (c *Config) checkTLS(k *checker) {
	t := &c.TLS
	if (t.Cert == "") != (t.Key == "") {
		k.add("tls.cert", "a certificate and its key belong together: set both tls.cert and tls.key")
	}
	if t.Cert == "" && len(t.ClientCA) > 0 {
		k.add("tls.client_ca", "needs tls.cert and tls.key")
	}
	k.word("tls.client_cert", t.ClientCert, "require", "optional")
	k.duration("tls.reload", t.Reload, 0, 24*time.Hour)
	k.duration("token_skew", c.TokenSkew, time.Second, time.Hour)
	k.word("foreign_files", c.ForeignFiles, "quarantine", "allow")
	for _, u := range c.SpoolUsers {
		if strings.ContainsAny(u, " \t\r\n:/") {
			k.add("spool_users", "%q is neither a user's name nor a number", u)
		}
	}
	if (c.Send.Cert == "") != (c.Send.Key == "") {
		k.add("send.cert", "a certificate and its key belong together: give both (--cert, --key)")
	}
}

// identified says what keeps strangers from sending jobs; "" = nothing does.
func (c *Config) identified() string {
	switch {
	case c.TLS.Cert == "":
		return ""
	case len(c.TLS.ClientCA) > 0 && c.TLS.ClientCert == "require":
		return "certificates"
	case c.TokenFile != "":
		return "tokens"
	}
	return ""
}

// whyNotListen says what is wrong with an address that other machines can reach.
func (c *Config) whyNotListen(addr string) string {
	if c.identified() != "" || c.InsecureListen {
		return ""
	}
	const way = "use 127.0.0.1, or insecure_listen = true (--insecure-listen) if the network may be trusted"
	if c.TLS.Cert == "" {
		return fmt.Sprintf("%s can be reached from other machines, without encryption or passwords: set tls.cert, tls.key and tls.client_ca (docs/ops/install.md), or %s", addr, way)
	}
	return fmt.Sprintf("%s can be reached from other machines, and nothing says who may send: set tls.client_ca, or token_file, or %s", addr, way)
}
