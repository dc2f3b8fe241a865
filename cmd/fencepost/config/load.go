package config

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// DefaultFile is read if it exists and no other file is named.
const DefaultFile = "/etc/fencepost/fencepost.toml"

// Sources are where settings come from.
type Sources struct {
	File     string            // given with --config; "" = FENCEPOST_CONFIG, then DefaultFile
	Environ  []string          // NAME=value
	Flags    map[string]string // key to text, of the flags that were given
	ReadFile func(name string) ([]byte, error)
}

// Loaded is the effective configuration.
type Loaded struct {
	Config
	File   string            // that was read, or ""
	origin map[string]string // key to where it came from, unless by default
}

// Origin says where a setting's value came from.
func (l *Loaded) Origin(s Setting) string {
	if o := l.origin[s.Key]; o != "" {
		return o
	}
	return "default"
}

// Changed lists the settings whose values differ from those of now.
func (l *Loaded) Changed(now *Loaded) (changed []Setting) {
	for _, s := range Settings() {
		if l.Text(s) != now.Text(s) {
			changed = append(changed, s)
		}
	}
	return changed
}

// reserved are variables that are no settings: what programs and jobs are told,
// and what tests use. FENCEPOST_HOST is both.
func reserved(name string) bool {
	switch name {
	case "FENCEPOST_CONFIG", "FENCEPOST_JOB_ID", "FENCEPOST_TOKEN", "FENCEPOST_SPOOL_ID", "FENCEPOST_CLUSTER_ID":
		return true
	}
	return strings.HasPrefix(name, "FENCEPOST_TEST_")
}

// Load reads all sources and validates what comes out. Its errors name the place
// of each mistake.
func Load(src Sources) (*Loaded, error) {
	l := &Loaded{Config: Default(), origin: map[string]string{}}
	if err := l.readFile(src); err != nil {
		return nil, err
	}
	if err := l.readEnv(src.Environ); err != nil {
		return nil, err
	}
	for _, s := range Settings() {
		if text, ok := src.Flags[s.Key]; ok {
			if err := l.setText(s, text); err != nil {
				return nil, fmt.Errorf("flag --%s: %w", s.Flag, err)
			}
			l.origin[s.Key] = "flag --" + s.Flag
			if strings.HasPrefix(s.Key, "cluster.command.") {
				l.origin[s.Key] = "flag --cluster-command"
			}
		}
	}
	// Who names the programs on the command line means them to be used.
	if l.origin["cluster.name"] == "" && src.Flags["cluster.command.submit"] != "" {
		l.Cluster.Name, l.origin["cluster.name"] = "command", "flag --cluster-command"
	}
	if err := l.Validate(); err != nil {
		return nil, l.explain(err)
	}
	return l, nil
}

func (l *Loaded) readFile(src Sources) error {
	name, optional := src.File, false
	if name == "" {
		name = lookup(src.Environ, "FENCEPOST_CONFIG")
	}
	if name == "" {
		name, optional = DefaultFile, true
	}
	data, err := src.ReadFile(name)
	if optional && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	keys, err := l.parseFile(name, data)
	if err != nil {
		return err
	}
	l.File = name
	for _, k := range keys {
		l.origin[k] = "file " + name
	}
	return nil
}

func lookup(environ []string, name string) string {
	for _, kv := range environ {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

// readEnv takes the variables over. An empty one counts as not set, as unit
// files and shells leave them behind.
func (l *Loaded) readEnv(environ []string) error {
	byName := map[string]Setting{}
	var names []string
	for _, s := range Settings() {
		if s.Env != "" {
			byName[s.Env] = s
			names = append(names, s.Env)
		}
	}
	var failed []error
	environ = slices.Sorted(slices.Values(environ))
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, EnvPrefix) || reserved(name) {
			continue
		}
		s, ok := byName[name]
		switch {
		case !ok:
			failed = append(failed, fmt.Errorf("environment: unknown variable %s%s", quoteKey(name), didYouMean(name, names)))
		case value == "":
		default:
			if err := l.setText(s, value); err != nil {
				failed = append(failed, fmt.Errorf("environment: %s: %w", name, err))
			}
			l.origin[s.Key] = "environment " + name
		}
	}
	return errors.Join(failed...)
}

// explain says, for each value that doesn't pass, where it came from.
func (l *Loaded) explain(err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var out []error
	for _, e := range joined.Unwrap() {
		var bad *ValueError
		if errors.As(e, &bad) && l.origin[bad.Key] != "" {
			e = fmt.Errorf("%w (from %s)", e, l.origin[bad.Key])
		}
		out = append(out, e)
	}
	return errors.Join(out...)
}
