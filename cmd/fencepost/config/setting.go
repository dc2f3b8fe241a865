package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// EnvPrefix begins the names of the variables that are settings.
const EnvPrefix = "FENCEPOST_"

// Setting describes one setting.
type Setting struct {
	Key    string // dotted, as in the file: "cluster.slurm.partition"
	Env    string // its variable; "" if only a file can hold it
	Flag   string // its flag, "" if it has none
	Help   string
	Shared bool // all hosts should agree on it
	index  []int
}

// Settings lists all settings, in the order of the struct.
var Settings = sync.OnceValue(func() []Setting {
	var out []Setting
	walk(reflect.TypeFor[Config](), "", nil, &out)
	return out
})

func walk(t reflect.Type, prefix string, index []int, out *[]Setting) {
	for i := range t.NumField() {
		f := t.Field(i)
		key := prefix + f.Tag.Get("toml")
		at := append(append([]int(nil), index...), i)
		if f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[Duration]() {
			walk(f.Type, key+".", at, out)
			continue
		}
		s := Setting{Key: key, Flag: f.Tag.Get("flag"), Help: f.Tag.Get("help"), Shared: f.Tag.Get("shared") != "", index: at}
		if f.Type.Kind() != reflect.Map {
			s.Env = envName(key)
		}
		*out = append(*out, s)
	}
}

// envName is the variable of a key. The backend's name is "name" of [cluster]
// only because TOML can't have a text and a table under one key.
func envName(key string) string {
	if key == "cluster.name" {
		key = "cluster"
	}
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

func settingOf(key string) (Setting, bool) {
	for _, s := range Settings() {
		if s.Key == key {
			return s, true
		}
	}
	return Setting{}, false
}

// Text is a setting's value as it would be written in the environment.
func (c *Config) Text(s Setting) string {
	return fmt.Sprint(reflect.ValueOf(c).Elem().FieldByIndex(s.index).Interface())
}

// Value is a setting's value: text, number, bool, list or table.
func (c *Config) Value(s Setting) any {
	switch v := reflect.ValueOf(c).Elem().FieldByIndex(s.index).Interface().(type) {
	case Duration:
		return v.String()
	case Size:
		return int64(v)
	case List:
		return append([]string{}, v...)
	case Argv:
		return append([]string{}, v...)
	default:
		return v
	}
}

// setText sets a value from a text, as flags and variables give it.
func (c *Config) setText(s Setting, text string) error {
	v := reflect.ValueOf(c).Elem().FieldByIndex(s.index)
	switch p := v.Addr().Interface().(type) {
	case *List:
		p.set(text)
		return nil
	case *Argv:
		return p.set(text)
	case encoding.TextUnmarshaler:
		return p.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		v.SetInt(int64(n))
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(b)
	default:
		return fmt.Errorf("can be set in a file only")
	}
	return nil
}

// wants says which values a setting takes.
func (s Setting) wants() string {
	t := reflect.TypeFor[Config]().FieldByIndex(s.index).Type
	switch t {
	case reflect.TypeFor[Duration]():
		return `a duration in quotes, such as "7s"`
	case reflect.TypeFor[Size]():
		return `a number of bytes, or a text such as "16MiB"`
	}
	switch t.Kind() {
	case reflect.Slice:
		return `an array of texts, such as ["/path/prog", "arg"]`
	case reflect.Int:
		return "a whole number"
	case reflect.Bool:
		return "true or false"
	case reflect.Map:
		return "a table of texts"
	}
	return "a text in quotes"
}

// isBool says whether the flag needs no value.
func (s Setting) isBool() bool {
	return reflect.TypeFor[Config]().FieldByIndex(s.index).Type.Kind() == reflect.Bool
}
