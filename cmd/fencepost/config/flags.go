package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// ServeKeys are the settings that have a flag of serve, besides the global ones.
func ServeKeys() []string {
	var keys []string
	for _, s := range Settings() {
		if s.Flag != "" && s.Key != "spool" && s.Key != "timeout" && !strings.HasPrefix(s.Key, "send.") {
			keys = append(keys, s.Key)
		}
	}
	return keys
}

// SendKeys are those that have a flag of send.
func SendKeys() []string {
	var keys []string
	for _, s := range Settings() {
		if s.Flag != "" && strings.HasPrefix(s.Key, "send.") {
			keys = append(keys, s.Key)
		}
	}
	return keys
}

// Bind adds the flags of some settings to fs. What is given ends up in given, by
// key, for Sources. It panics on a key without a flag.
func Bind(fs *pflag.FlagSet, given map[string]string, keys ...string) {
	def := Default()
	for _, key := range keys {
		s, ok := settingOf(key)
		if !ok || s.Flag == "" {
			panic("config: no flag for " + key)
		}
		f := fs.VarPF(&flagValue{given: given, s: s, text: def.Text(s)}, s.Flag, "", s.Help)
		if s.isBool() {
			f.NoOptDefVal = "true"
		}
	}
}

// BindCommand adds --cluster-command.
func BindCommand(fs *pflag.FlagSet, given map[string]string) {
	fs.Var(&commandFlag{given: given}, "cluster-command", "NAME=PROGRAM of the command cluster; NAME is submit, release, cancel, find or probe; may be repeated")
}

// flagValue checks a value where it is given and notes its text.
type flagValue struct {
	given map[string]string
	s     Setting
	text  string
}

func (v *flagValue) String() string { return v.text }

func (v *flagValue) Set(text string) error {
	c := Default()
	if err := c.setText(v.s, text); err != nil {
		return err
	}
	v.text, v.given[v.s.Key] = text, text
	return nil
}

func (v *flagValue) Type() string {
	if v.s.isBool() {
		return "bool" // pflag prints no word for it
	}
	switch Default := Default(); Default.Value(v.s).(type) {
	case int, int64:
		return "N"
	}
	switch {
	case v.s.Key == "listen" || v.s.Key == "http":
		return "ADDR:PORT"
	case v.s.Key == "spool":
		return "DIR"
	case v.s.Key == "log.file" || v.s.Key == "send.token_file" || v.s.Key == "send.cert" || v.s.Key == "send.key":
		return "FILE"
	case strings.Contains(v.s.wants(), "duration"):
		return "DURATION"
	case v.s.Key == "stages" || v.s.Key == "unsafe_mount" || v.s.Key == "send.ca":
		return "LIST"
	}
	return "NAME"
}

type commandFlag struct {
	given map[string]string
	text  []string
}

var programs = []string{"submit", "release", "cancel", "find", "probe"}

func (v *commandFlag) String() string { return strings.Join(v.text, " ") }
func (v *commandFlag) Type() string   { return "NAME=PROGRAM" }

func (v *commandFlag) Set(text string) error {
	name, prog, ok := strings.Cut(text, "=")
	switch {
	case !ok || prog == "":
		return errors.New("must be NAME=PROGRAM")
	case !slices.Contains(programs, name):
		return fmt.Errorf("%q is not one of %s%s", name, strings.Join(programs, ", "), didYouMean(name, programs))
	}
	v.text = append(v.text, text)
	v.given["cluster.command."+name] = Argv{prog}.String()
	return nil
}
