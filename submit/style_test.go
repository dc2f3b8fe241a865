package submit_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The protocol's code runs in the simulator one task at a time: so it starts no
// goroutine, waits on no channel and asks no clock but its environment's.
func TestNothingPastTheEnvironment(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	barred := []string{"context.WithTimeout", "context.WithDeadline", "context.AfterFunc", "time.Now", "time.Since", "time.Sleep",
		"time.After", "time.NewTimer", "time.NewTicker", "time.AfterFunc", "sync.WaitGroup", "sync.Cond", "rand.IntN", "rand.Int"}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			what := ""
			switch n := n.(type) {
			case *ast.GoStmt, *ast.ChanType, *ast.SendStmt, *ast.SelectStmt:
				what = fmt.Sprintf("%T", n)
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && slices.Contains(barred, x.Name+"."+n.Sel.Name) {
					what = x.Name + "." + n.Sel.Name
				}
			}
			if what != "" {
				t.Errorf("%s: %s", set.Position(n.Pos()), what)
			}
			return true
		})
	}
}
