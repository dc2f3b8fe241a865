package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"fencepost/codec"
	"fencepost/spool"
)

// Backends are the names that --cluster takes.
var backends = []string{"local", "command", "slurm", "slurmrest", "gridengine", "http"}

// StageNames are the words that --stages takes.
var stageNames = []string{string(spool.Ingest), string(spool.Translate), string(spool.Submit)}

// ValueError is a setting whose value can't be used.
type ValueError struct {
	Key string
	Why string
}

func (e *ValueError) Error() string { return e.Key + ": " + e.Why }

type checker struct{ errs []error }

func (c *checker) add(key, format string, args ...any) {
	c.errs = append(c.errs, &ValueError{key, fmt.Sprintf(format, args...)})
}

func (c *checker) duration(key string, d Duration, low, high time.Duration) {
	if d.Duration < low || d.Duration > high {
		c.add(key, "%s is not between %s and %s", d, Duration{low}, Duration{high})
	}
}

// seconds: what a job's time is compared with. A part of one would be cut off, and
// 0 is no limit at all.
func (c *checker) seconds(key string, d Duration) {
	if d.Duration%time.Second != 0 {
		c.add(key, "%s is not a whole number of seconds", d)
	}
}

func (c *checker) count(key string, n, low, high int) {
	if n < low || n > high {
		c.add(key, "%d is not between %d and %d", n, low, high)
	}
}

func (c *checker) word(key, got string, want ...string) {
	if !slices.Contains(want, got) {
		c.add(key, "%q is not one of %s%s", got, strings.Join(want, ", "), didYouMean(got, want))
	}
}

// Validate says everything that is wrong with the settings.
func (c *Config) Validate() error {
	k := &checker{}
	if c.Host != "" && !spool.ValidHost(strings.ToLower(c.Host)) {
		k.add("host", "%q can't be a host's name: 1 to 63 of a-z, 0-9, '.' and '-', beginning and ending with a letter or digit", c.Host)
	}
	if strings.ContainsAny(c.MachineID, " \t\r\n/") || len(c.MachineID) > 128 {
		k.add("machine_id", "%q can't be a machine's id: at most 128 characters, no blanks or slashes", c.MachineID)
	}
	c.checkAddresses(k)
	c.checkStages(k)
	c.checkTimes(k)
	for _, id := range c.UnsafeMount {
		if digits, ok := strings.CutPrefix(id, "FP"); !ok || len(digits) != 3 || strings.Trim(digits, "0123456789") != "" {
			k.add("unsafe_mount", "%q is no id of a check, such as FP002 (fencepost doctor)", id)
		}
	}
	k.count("workers", c.Workers, 1, 1024)
	k.count("max_faults", c.MaxFaults, 0, 1000)
	k.word("log.level", c.Log.Level, "debug", "info", "warn", "error")
	k.word("log.format", c.Log.Format, "auto", "text", "json")
	c.Limits.check(k)
	c.checkTLS(k)
	c.checkClients(k)
	c.Cluster.check(k)
	return errors.Join(k.errs...)
}

func (c *Config) checkAddresses(k *checker) {
	if c.PageTLS() && c.TLS.Cert == "" {
		k.add("http_tls", "TLS for the status page (http_tls, http_client_ca) needs tls.cert and tls.key")
	}
	for _, a := range []struct{ key, addr string }{{"listen", c.Listen}, {"http", c.HTTP}} {
		if a.addr == "" {
			if a.key == "listen" && slices.Contains(c.Stages, string(spool.Ingest)) {
				k.add(a.key, "needed by the stage ingest; 127.0.0.1:0 picks a port")
			}
			continue
		}
		local, err := Loopback(a.addr)
		switch {
		case err != nil:
			k.add(a.key, "%q is not ADDRESS:PORT: %v", a.addr, err)
		case a.key == "http" && (c.HTTPToken != "" || len(c.HTTPClientCA) > 0):
		case a.key == "http" && !local && !c.InsecureListen:
			k.add(a.key, "%s can be reached from other machines, and who reaches it may read everything: use 127.0.0.1, or set http_token_file or http_client_ca, or insecure_listen (--insecure-listen) if the network may be trusted", a.addr)
		case a.key == "listen" && !local:
			if why := c.whyNotListen(a.addr); why != "" {
				k.add(a.key, "%s", why)
			}
		}
	}
}

// PageTLS says whether the status page speaks TLS.
func (c *Config) PageTLS() bool { return c.HTTPTLS || len(c.HTTPClientCA) > 0 }

// Loopback says whether only this machine can reach an address.
func Loopback(addr string) (bool, error) {
	host, port, ok := cutPort(addr)
	if !ok {
		return false, errors.New("no port")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return false, fmt.Errorf("port %q is not between 0 and 65535", port)
	} else if _ = n; host == "localhost" {
		return true, nil
	}
	if host == "" {
		return false, nil
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback(), nil
	}
	if u, err := url.Parse("tcp://" + addr); err != nil || u.Hostname() != host {
		return false, errors.New("not an address or name")
	}
	return false, nil
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

func cutPort(addr string) (host, port string, ok bool) {
	i := strings.LastIndexByte(addr, ':')
	if i < 0 {
		return "", "", false
	}
	host, port = addr[:i], addr[i+1:]
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		return "", "", false
	}
	return strings.Trim(host, "[]"), port, true
}

func (c *Config) checkStages(k *checker) {
	if len(c.Stages) == 0 {
		k.add("stages", "a host serves one stage at least: %s", strings.Join(stageNames, ", "))
	}
	for i, s := range c.Stages {
		if slices.Contains(c.Stages[:i], s) {
			k.add("stages", "%s is named twice", s)
		}
		k.word("stages", s, stageNames...)
	}
}

func (c *Config) checkTimes(k *checker) {
	day := 24 * time.Hour
	k.duration("heartbeat", c.Heartbeat, 20*time.Millisecond, 5*time.Minute)
	k.duration("lease", c.Lease, 100*time.Millisecond, time.Hour)
	if c.Lease.Duration < 4*c.Heartbeat.Duration {
		k.add("lease", "%s is less than four heartbeats of %s: a host that misses a few would be taken for gone", c.Lease, c.Heartbeat)
	}
	k.duration("poll", c.Poll, time.Millisecond, time.Minute)
	k.duration("claim_max", c.ClaimMax, time.Second, 30*day)
	k.duration("seal_max", c.SealMax, time.Second, 30*day)
	// Others finish, or park, what is sealed for longer: never what is still
	// being submitted.
	if limit := c.Cluster.submitTime(); c.SealMax.Duration <= limit || c.ClaimMax.Duration <= limit {
		k.add("seal_max", "%s and claim_max %s must both be longer than a submission may take, %s", c.SealMax, c.ClaimMax, limit)
	}
	k.duration("retention", c.Retention, time.Hour, 10*366*day)
	k.duration("timeout", c.Timeout, time.Millisecond, time.Hour)
}

func (l *Limits) check(k *checker) {
	k.count("limits.connections", l.Connections, 1, 100_000)
	k.count("limits.window", l.Window, 1, 65_535)
	k.count("limits.per_address", l.PerAddress, 0, 100_000)
	k.count("limits.unknown", l.Unknown, 0, 100_000)
	k.count("limits.accepts", l.Accepts, 1, 4096)
	k.count("limits.pending", l.Pending, 1, 1_000_000)
	k.count("limits.rate", l.Rate, 0, 1_000_000)
	k.count("limits.burst", l.Burst, 0, 1_000_000)
	k.count("limits.depth", l.Depth, 0, 1<<30)
	if l.FreeSpace < 0 {
		k.add("limits.free_space", "%s is negative", l.FreeSpace)
	}
	k.count("limits.free_files", l.FreeFiles, 0, 1<<30)
	k.duration("limits.connection_age", l.ConnectionAge, 0, 30*24*time.Hour)
	if l.MinRate < 1 || l.MinRate > 1<<30 {
		k.add("limits.min_rate", "%s is not between 1 and %s", l.MinRate, Size(1<<30))
	}
	if l.Memory < 4*codec.MaxBody || l.Memory > 1<<40 {
		k.add("limits.memory", "%s is not between %s and %s", l.Memory, Size(4*codec.MaxBody), Size(1<<40))
	}
	if l.Job < 256 || l.Job > codec.MaxJob {
		k.add("limits.job", "%s is not between 256 and %s", l.Job, Size(codec.MaxJob))
	}
	for _, d := range []struct {
		key string
		d   Duration
	}{{"handshake_timeout", l.HandshakeTimeout}, {"idle_timeout", l.IdleTimeout}, {"frame_timeout", l.FrameTimeout}, {"write_timeout", l.WriteTimeout},
		{"answer_timeout", l.AnswerTimeout}, {"retry_after", l.RetryAfter}} {
		k.duration("limits."+d.key, d.d, 100*time.Millisecond, 24*time.Hour)
	}
}

func (c *Cluster) check(k *checker) {
	k.word("cluster.name", c.Name, backends...)
	k.duration("cluster.probe_every", c.ProbeEvery, 100*time.Millisecond, time.Hour)
	k.duration("cluster.sweep_every", c.SweepEvery, 100*time.Millisecond, time.Hour)
	c.Command.check(k, c.Name == "command")
	s := &c.Slurm
	k.word("cluster.slurm.guard", s.Guard, "strict", "lenient", "off")
	k.duration("cluster.slurm.confirm_after", s.ConfirmAfter, 0, time.Hour)
	k.duration("cluster.slurm.submit_timeout", s.SubmitTimeout, time.Second, time.Hour)
	k.duration("cluster.slurm.call_timeout", s.CallTimeout, time.Second, time.Hour)
	if s.Output != "" && !path.IsAbs(s.Output) {
		k.add("cluster.slurm.output", "%q is not an absolute path", s.Output)
	}
	for _, a := range s.Args {
		if !strings.HasPrefix(a, "--") || strings.ContainsAny(a, "\x00\n") {
			k.add("cluster.slurm.args", "%q is not of the form --name=value", a)
		}
	}
	k.count("cluster.local.slots", c.Local.Slots, 1, 10_000)
	c.Rest.check(k)
	c.Grid.check(k)
	c.HTTP.check(k, c.Name == "http")
}

func (r *Rest) check(k *checker) {
	k.word("cluster.slurmrest.guard", r.Guard, "strict", "lenient", "off")
	k.duration("cluster.slurmrest.confirm_after", r.ConfirmAfter, 0, time.Hour)
	k.duration("cluster.slurmrest.submit_timeout", r.SubmitTimeout, time.Second, time.Hour)
	k.duration("cluster.slurmrest.call_timeout", r.CallTimeout, time.Second, time.Hour)
	if r.Output != "" && !path.IsAbs(r.Output) {
		k.add("cluster.slurmrest.output", "%q is not an absolute path", r.Output)
	}
	if !regexp.MustCompile(`^(unix:/.+|https?://[^/@]+/?)$`).MatchString(r.Address) {
		k.add("cluster.slurmrest.address", "%q is not unix:/PATH, http://HOST:PORT or https://HOST:PORT", r.Address)
	}
	if r.Version != "" && !regexp.MustCompile(`^v0\.0\.[1-9][0-9]{0,2}$`).MatchString(r.Version) {
		k.add("cluster.slurmrest.version", "%q is not a version such as v0.0.38", r.Version)
	}
	if strings.HasPrefix(r.Address, "http") && r.TokenFile == "" {
		k.add("cluster.slurmrest.token_file", "missing: nothing else says who we are at %s (scontrol token makes a token)", r.Address)
	}
}

func (g *Grid) check(k *checker) {
	k.word("cluster.gridengine.guard", g.Guard, "strict", "lenient", "off")
	k.duration("cluster.gridengine.confirm_after", g.ConfirmAfter, 0, time.Hour)
	k.duration("cluster.gridengine.submit_timeout", g.SubmitTimeout, time.Second, time.Hour)
	k.duration("cluster.gridengine.call_timeout", g.CallTimeout, time.Second, time.Hour)
}

func (h *HTTP) check(k *checker, chosen bool) {
	u, err := url.Parse(h.URL)
	switch {
	case h.URL == "" && chosen:
		k.add("cluster.http.url", `missing: say where jobs are posted, with url = "https://..." in [cluster.http]`)
	case h.URL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https"):
		k.add("cluster.http.url", "%q is not an http or https URL", h.URL)
	}
	if p, err := url.Parse(h.ProbeURL); h.ProbeURL != "" && (err != nil || p.Host == "") {
		k.add("cluster.http.probe_url", "%q is not an http or https URL", h.ProbeURL)
	}
	k.duration("cluster.http.key_window", h.KeyWindow, time.Second, 366*24*time.Hour)
	k.duration("cluster.http.timeout", h.Timeout, time.Second, time.Hour)
}

// submitTime is the longest that a submission to the chosen cluster may take.
func (c *Cluster) submitTime() time.Duration {
	switch c.Name {
	case "command":
		return c.Command.SubmitTimeout.Duration
	case "slurm":
		return c.Slurm.SubmitTimeout.Duration
	case "slurmrest":
		return c.Rest.SubmitTimeout.Duration
	case "gridengine":
		return c.Grid.SubmitTimeout.Duration
	case "http":
		return c.HTTP.Timeout.Duration
	}
	return 30 * time.Second
}

func (c *Command) check(k *checker, chosen bool) {
	for _, p := range []struct {
		key  string
		argv Argv
		used bool // empty is not the same as absent
	}{{"submit", c.Submit, true}, {"release", c.Release, false}, {"cancel", c.Cancel, false}, {"find", c.Find, false}, {"probe", c.Probe, false}} {
		switch {
		case len(p.argv) > 0 && p.argv[0] == "":
			k.add("cluster.command."+p.key, "empty program name")
		case len(p.argv) == 0 && p.used && chosen:
			k.add("cluster.command."+p.key, `missing: say which program submits, with submit = ["/path/prog"] in [cluster.command] or --cluster-command submit=/path/prog`)
		}
	}
	if c.Key && len(c.Release) > 0 {
		k.add("cluster.command.key", "a program that submits held jobs (release is set) needs no key: unset one of the two")
	}
	k.duration("cluster.command.confirm_after", c.ConfirmAfter, 0, time.Hour)
	k.duration("cluster.command.key_window", c.KeyWindow, time.Second, 366*24*time.Hour)
	for _, t := range []struct {
		key string
		d   Duration
	}{{"submit_timeout", c.SubmitTimeout}, {"release_timeout", c.ReleaseTimeout}, {"cancel_timeout", c.CancelTimeout},
		{"find_timeout", c.FindTimeout}, {"probe_timeout", c.ProbeTimeout}} {
		k.duration("cluster.command."+t.key, t.d, 10*time.Millisecond, time.Hour)
	}
	for name := range c.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			k.add("cluster.command.env", "%q can't be a variable's name", name)
		}
	}
}
