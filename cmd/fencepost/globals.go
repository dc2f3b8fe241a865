package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"fencepost/cmd/fencepost/config"
	"fencepost/cmd/fencepost/show"
	"fencepost/spool"
	"fencepost/spool/vfs"
)

// globals is what every command gets: the outside world, and the flags that all
// take. Tests make their own.
type globals struct {
	stdin    io.Reader
	stdout   io.Writer // data
	stderr   io.Writer // talk
	environ  []string
	hostname func() (string, error)
	readFile func(string) ([]byte, error)
	openFS   func(dir string) (vfs.FS, error)
	machine  fs.FS  // the machine's own files, from its root
	self     string // this program, to be started again; "" in tests, whose binary is another one

	configFile string
	json       bool
	live       bool              // a view is redrawn in place
	given      map[string]string // settings that were given as flags, by key
	touched    string            // the spool that is worked on, for messages
	loaded     *config.Loaded
}

func newGlobals() *globals {
	return &globals{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(),
		hostname: os.Hostname, readFile: os.ReadFile, given: map[string]string{},
		openFS: openOS, machine: os.DirFS("/")}
}

// openOS opens a directory for a spool's files.
func openOS(dir string) (vfs.FS, error) {
	fs, err := vfs.OpenOS(dir)
	if err != nil {
		return nil, err
	}
	fs.Unique = spool.Unique
	return fs, nil
}

// bind adds the flags of some settings to a command; see config.ServeKeys.
// With the cluster's name comes --cluster-command.
func (g *globals) bind(cmd *cobra.Command, keys ...string) {
	config.Bind(cmd.Flags(), g.given, keys...)
	if slices.Contains(keys, "cluster.name") {
		config.BindCommand(cmd.Flags(), g.given)
	}
}

// config is the effective configuration; what is wrong with it is a usage error.
func (g *globals) config(cmd *cobra.Command) (*config.Loaded, error) {
	if g.loaded != nil {
		return g.loaded, nil
	}
	l, err := config.Load(g.sources())
	if err != nil {
		return nil, usagef(cmd, "%w", err)
	}
	if len(l.SpoolUsers) > 0 && g.self != "" {
		unix.Umask(0o007) // several users, one group
	}
	g.loaded = l
	return l, nil
}

// sources are where settings come from.
func (g *globals) sources() config.Sources {
	return config.Sources{File: g.configFile, Environ: g.environ, Flags: g.given, ReadFile: g.readFile}
}

// spoolDir is the spool's directory; without one the command can't go on.
func (g *globals) spoolDir(cmd *cobra.Command) (string, error) {
	c, err := g.config(cmd)
	if err != nil {
		return "", err
	}
	if c.Spool == "" {
		return "", usagef(cmd, "which spool? give --spool DIR, FENCEPOST_SPOOL, or spool in the configuration")
	}
	return c.Spool, nil
}

// host is this host's name on the spool.
func (g *globals) host(cmd *cobra.Command) (string, error) {
	c, err := g.config(cmd)
	if err != nil {
		return "", err
	}
	if c.Host != "" {
		return strings.ToLower(c.Host), nil
	}
	name, err := g.hostname()
	if err != nil {
		return "", fmt.Errorf("ask for the host name: %w", err)
	}
	name, _, _ = strings.Cut(strings.ToLower(name), ".")
	if !spool.ValidHost(name) {
		return "", usagef(cmd, "host name %q can't be used on a spool: choose one with --host", name)
	}
	return name, nil
}

// where says, for a message of failure, on which host and spool.
func (g *globals) where() string {
	if g.touched == "" {
		return ""
	}
	name, err := g.hostname()
	if err != nil {
		name = "unknown"
	}
	return fmt.Sprintf("host %s, spool %s: ", name, g.touched)
}

// print writes data: one JSON document, or what table prints.
func (g *globals) print(schema string, doc any, table func(*show.Out)) error {
	if g.json {
		return show.JSON(g.stdout, schema, doc)
	}
	o := show.NewOut(g.stdout, g.environ)
	table(o)
	return o.Flush()
}
