package nfsfacts

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Row is the experiment's row in the table of docs/nfs.md: name, what is done,
// what is answered, what follows.
func (e *Experiment) Row() string {
	did := e.Did
	if e.Only != nil {
		did += " (" + strings.Join(e.Only, ", ") + ")"
	}
	var answers []string
	for _, a := range e.Want {
		text := a.What + ": " + either(a.Is)
		var others []string
		for _, v := range slices.Backward(slices.Sorted(maps.Keys(a.On))) {
			others = append(others, "version "+v+": "+either(a.On[v]))
		}
		if others != nil {
			text += " (" + strings.Join(others, ", ") + ")"
		}
		answers = append(answers, text)
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s |", e.Name, did, strings.Join(answers, "; "), e.So)
}

// either is an answer in words; a bar would end a table's cell.
func either(answer string) string { return strings.ReplaceAll(answer, "|", " or ") }
