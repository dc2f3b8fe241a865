package script

import (
	"errors"
	"strings"
)

// Interpreter takes a script's first line apart as Linux does: the
// interpreter's path, and the rest of the line as one argument, if there is
// one. The script's own path and arguments go behind.
func Interpreter(text string) ([]string, error) {
	line, _, _ := strings.Cut(text, "\n")
	line, ok := strings.CutPrefix(line, "#!")
	if !ok {
		return nil, errors.New(`script doesn't begin with "#!"`)
	}
	line = strings.Trim(line, " \t")
	if line == "" {
		return nil, errors.New("script names no interpreter in its first line")
	}
	i := strings.IndexAny(line, " \t")
	if i < 0 {
		return []string{line}, nil
	}
	return []string{line[:i], strings.TrimLeft(line[i:], " \t")}, nil
}

// Quote quotes a word for a POSIX shell. In single quotes nothing is special
// but the single quote itself.
func Quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// QuoteAll quotes words and joins them with blanks.
func QuoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = Quote(w)
	}
	return strings.Join(quoted, " ")
}
