package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Example is a file with every setting, its meaning and its default, all of them
// commented out: as it is, it sets nothing.
func Example() string {
	var b strings.Builder
	b.WriteString("# Settings of fencepost. A line without # counts; flags and FENCEPOST_* in the environment go before it.\n" +
		"# fencepost config check says whether it is right, fencepost config show what counts, and from where.\n" +
		"# [shared]: all hosts of a spool should agree on it.\n")
	def := Default()
	var later []Setting
	table := ""
	for _, s := range Settings() {
		if reflect.TypeFor[Config]().FieldByIndex(s.index).Type.Kind() == reflect.Map {
			later = append(later, s)
			continue
		}
		in, key := "", s.Key
		if i := strings.LastIndexByte(s.Key, '.'); i >= 0 {
			in, key = s.Key[:i], s.Key[i+1:]
		}
		if in != table {
			table = in
			fmt.Fprintf(&b, "\n[%s]\n", in)
		}
		fmt.Fprintf(&b, "\n# %s\n#%s = %s\n", about(s), key, literal(def.Value(s)))
	}
	for _, s := range later {
		fmt.Fprintf(&b, "\n# %s\n", about(s))
		if keys := subKeys(s.Key); keys != nil {
			fmt.Fprintf(&b, "# [%s.NAME], with %s\n", s.Key, strings.Join(keys, ", "))
		} else {
			fmt.Fprintf(&b, "# [%s], with NAME = \"text\"\n", s.Key)
		}
	}
	return b.String()
}

func about(s Setting) string {
	if s.Shared {
		return s.Help + " [shared]"
	}
	return s.Help
}

// literal is a value as a file has it.
func literal(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case []string:
		quoted := make([]string, len(v))
		for i, w := range v {
			quoted[i] = strconv.Quote(w)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	return fmt.Sprint(v)
}
