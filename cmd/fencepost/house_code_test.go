package main_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path"
	"regexp"
	"slices"
	"strings"
)

// layers are the packages from the bottom up: each imports what is below it,
// and what is in its own directory. The first that matches counts.
func layers() []string {
	return []string{"codec", "spool/vfs", "spool/env", "spool", "lease", "submit", "cmd"}
}

// noEdges are edges that the layers would allow and that must not be: what a
// job file contains is none of the business of those who move it, and the
// protocol of submit knows no backend.
func noEdges() [][2]string {
	return [][2]string{{"spool", "codec"}, {"spool/vfs", "codec"}, {"spool/env", "codec"}, {"lease", "codec"}}
}

func layerOf(dir string) int {
	return slices.IndexFunc(layers(), func(l string) bool { return dir == l || strings.HasPrefix(dir, l+"/") })
}

func importsOneWay(h *house) (found []string) {
	for _, p := range h.pkgs {
		from := layerOf(p.dir)
		if from < 0 {
			found = append(found, p.dir+": a package outside the layout")
			continue
		}
		for _, f := range p.files {
			for _, imp := range f.imports() {
				dir, ok := strings.CutPrefix(imp, module+"/")
				if !ok {
					continue
				}
				to := layerOf(dir)
				edge := [2]string{layers()[from], layers()[max(to, 0)]}
				backend := p.dir == "submit" && !f.test && strings.HasPrefix(dir, "submit/") && !strings.HasPrefix(dir, "submit/internal/")
				if to < 0 || to > from || slices.Contains(noEdges(), edge) || backend {
					found = append(found, fmt.Sprintf("%s: %s must not import %s", f.path, p.dir, dir))
				}
			}
		}
	}
	return found
}

func codecIsPure(h *house) (found []string) {
	bad := regexp.MustCompile(`^(os|net|syscall|log|math/rand|crypto/rand|path/filepath|io/fs|io/ioutil|golang\.org/x/sys)(/|$)`)
	for _, p := range h.pkgs {
		if layerOf(p.dir) != 0 {
			continue
		}
		for _, f := range p.shipped() {
			for _, imp := range f.imports() {
				if bad.MatchString(imp) {
					found = append(found, f.path+": imports "+imp+": bytes in, bytes out")
				}
			}
			ast.Inspect(f.syntax, func(n ast.Node) bool {
				if imp, name := p.selected(n); imp == "time" && slices.Contains(clockNames(), name) {
					found = append(found, h.at(n, "time.%s: a codec knows no clock", name))
				}
				return true
			})
		}
	}
	return found
}

// supportNotShipped: a package that imports testing is for tests alone.
func supportNotShipped(h *house) (found []string) {
	support := map[string]bool{}
	for _, p := range h.pkgs {
		support[p.dir] = p.support()
	}
	for _, p := range h.pkgs {
		if support[p.dir] {
			continue
		}
		for _, f := range p.shipped() {
			for _, imp := range f.imports() {
				if dir := strings.TrimPrefix(imp, module+"/"); support[dir] {
					found = append(found, fmt.Sprintf("%s: imports %s, which is for tests", f.path, dir))
				}
			}
		}
	}
	return found
}

// protocol are the packages that reach the outside world by package env alone,
// so that the same code runs in the simulator: those directories themselves,
// not what is below them.
func protocol() []string { return []string{"spool", "lease", "submit", "cmd/fencepost/node"} }

// ownDoors are files of protocol packages that reach outside by themselves.
func ownDoors() map[string]string {
	return map[string]string{
		"lease/identity.go": "reads who this machine and this process are, once, before there is an Env",
		"spool/format.go":   "draws the id of a new spool, once, when it is made",
	}
}

func clockNames() []string {
	return []string{"Now", "Sleep", "After", "AfterFunc", "Since", "Until", "Tick", "NewTimer", "NewTicker"}
}

// otherDoors are ways around package env: an import path, and the names in it
// (none = all of them).
func otherDoors() map[string][]string {
	return map[string][]string{
		"time":                       clockNames(),
		"context":                    {"WithTimeout", "WithTimeoutCause", "WithDeadline", "WithDeadlineCause", "AfterFunc"},
		"sync":                       {"WaitGroup", "Cond", "NewCond"},
		"math/rand":                  nil,
		"math/rand/v2":               nil,
		"crypto/rand":                nil,
		"os":                         {"Open", "OpenFile", "Create", "ReadFile", "WriteFile", "ReadDir", "Rename", "Link", "Mkdir", "MkdirAll", "Remove", "RemoveAll", "Stat", "Lstat", "Getenv", "LookupEnv", "Environ"},
		"os/exec":                    nil,
		"github.com/google/uuid":     {"New", "NewString", "NewRandom", "NewUUID", "NewV6", "NewV7"},
		"os/signal":                  nil,
		"net":                        nil,
		"net/http":                   nil,
		"path/filepath":              {"Walk", "WalkDir", "Glob", "EvalSymlinks", "Abs"},
		"golang.org/x/sync/errgroup": nil,
	}
}

func onlyDoor(h *house) (found []string) {
	for _, p := range h.pkgs {
		if !slices.Contains(protocol(), p.dir) {
			continue
		}
		for _, f := range p.shipped() {
			if ownDoors()[f.path] != "" {
				continue
			}
			ast.Inspect(f.syntax, func(n ast.Node) bool {
				if what := p.aroundDoor(n); what != "" {
					found = append(found, h.at(n, "%s in %s: go through env.Env", what, p.dir))
				}
				return true
			})
		}
	}
	return found
}

// aroundDoor names what n does, if that is none of a protocol package's.
func (p *pkg) aroundDoor(n ast.Node) string {
	switch n := n.(type) {
	case *ast.GoStmt:
		return "go statement"
	case *ast.SelectStmt:
		return "select"
	case *ast.ChanType:
		return "channel"
	case *ast.SendStmt:
		return "send"
	case *ast.UnaryExpr:
		if n.Op == token.ARROW {
			return "receive"
		}
	case *ast.SelectorExpr:
		imp, name := p.selected(n)
		names, listed := otherDoors()[imp]
		if listed && (names == nil || slices.Contains(names, name)) {
			return path.Base(imp) + "." + name
		}
	}
	return ""
}

// noMutableVars finds package variables that are there to be changed: without a
// value at first, made to be filled, of a type of package sync, or written to.
func noMutableVars(h *house) (found []string) {
	for _, p := range h.pkgs {
		if layerOf(p.dir) < 0 || p.support() {
			continue
		}
		for _, f := range p.shipped() {
			for _, d := range f.syntax.Decls {
				if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR && !embedded(g) {
					for _, s := range g.Specs {
						found = append(found, p.mutableSpec(h, s.(*ast.ValueSpec))...)
					}
				}
			}
			ast.Inspect(f.syntax, func(n ast.Node) bool {
				for _, e := range written(n) {
					if id := p.packageVar(e); id != nil {
						found = append(found, h.at(n, "package variable %s is changed", id.Name))
					}
				}
				return true
			})
		}
	}
	return found
}

// embedded: the value is a file's, put there by the compiler.
func embedded(g *ast.GenDecl) bool {
	return g.Doc != nil && slices.ContainsFunc(g.Doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

func (p *pkg) mutableSpec(h *house, s *ast.ValueSpec) (found []string) {
	for i, id := range s.Names {
		if id.Name == "_" {
			continue
		}
		why := ""
		switch {
		case len(s.Values) == 0:
			why = "has no value"
		case i < len(s.Values):
			if call, ok := s.Values[i].(*ast.CallExpr); ok {
				if fn, ok := call.Fun.(*ast.Ident); ok && (fn.Name == "make" || fn.Name == "new") {
					why = "is made to be filled"
				}
			}
		}
		if imp, name := p.selected(s.Type); imp == "sync" || imp == "sync/atomic" {
			why = "is a " + path.Base(imp) + "." + name
		}
		if why != "" {
			found = append(found, h.at(id, "package variable %s %s", id.Name, why))
		}
	}
	return found
}

// written are the expressions that n changes or may change.
func written(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			return n.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			return []ast.Expr{n.X}
		}
	case *ast.CallExpr:
		if fn, ok := n.Fun.(*ast.Ident); ok && (fn.Name == "delete" || fn.Name == "clear") && len(n.Args) > 0 {
			return n.Args[:1]
		}
	}
	return nil
}

// packageVar is the package's own variable that e is, or is a part of.
func (p *pkg) packageVar(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.Ident:
			if v, ok := p.info.Uses[x].(*types.Var); ok && v.Parent() == p.scope {
				return x
			}
			return nil
		default:
			return nil
		}
	}
}

func noInit(h *house) (found []string) {
	h.eachFunc(func(f *goFile, d *ast.FuncDecl) {
		if d.Name.Name == "init" && d.Recv == nil {
			found = append(found, h.at(d, "an init function"))
		}
	})
	return found
}

// Limits of size, in lines. A function or a file that is longer says why:
// "//nolint:funlen // REASON" above it, or "//nolint:filelen // REASON" above
// the package clause. A function's tables don't count.
const (
	maxFunction = 70
	maxFile     = 400
)

func shortFunctions(h *house) (found []string) {
	h.eachFunc(func(f *goFile, d *ast.FuncDecl) {
		n := h.lines(d) - h.tableLines(d) + 1
		if n > maxFunction && !excused(d.Doc, "funlen") {
			found = append(found, h.at(d, "%s has %d lines, more than %d, and no reason (//nolint:funlen // REASON)", d.Name.Name, n, maxFunction))
		}
	})
	return found
}

// lines is how far apart the first and the last line of n are.
func (h *house) lines(n ast.Node) int {
	return h.fset.Position(n.End()).Line - h.fset.Position(n.Pos()).Line
}

// tableLines are the lines of a function that are literals without code.
func (h *house) tableLines(d *ast.FuncDecl) (lines int) {
	ast.Inspect(d, func(n ast.Node) bool {
		table, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		code := false
		ast.Inspect(table, func(n ast.Node) bool {
			_, fn := n.(*ast.FuncLit)
			code = code || fn
			return true
		})
		if !code {
			lines += h.lines(table)
		}
		return code
	})
	return lines
}

func shortFiles(h *house) (found []string) {
	for _, p := range h.pkgs {
		for _, f := range p.shipped() {
			if f.lines > maxFile && !slices.ContainsFunc(f.syntax.Comments, func(c *ast.CommentGroup) bool {
				return c.Pos() < f.syntax.Package && excused(c, "filelen")
			}) {
				found = append(found, fmt.Sprintf("%s: %d lines, more than %d, and no reason (//nolint:filelen // REASON)", f.path, f.lines, maxFile))
			}
		}
	}
	return found
}

// excused says whether a comment gives a reason.
func excused(doc *ast.CommentGroup, what string) bool {
	if doc == nil {
		return false
	}
	reason := regexp.MustCompile(`^//nolint:` + what + ` // \S+`)
	return slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return reason.MatchString(c.Text) })
}

func (h *house) eachFunc(do func(*goFile, *ast.FuncDecl)) {
	for _, p := range h.pkgs {
		for _, f := range p.files {
			for _, d := range f.syntax.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok {
					do(f, fn)
				}
			}
		}
	}
}

// packageContracts: doc.go of every package says what it guarantees, what it
// assumes and what it does not do.
func packageContracts(h *house) (found []string) {
	for _, p := range h.pkgs {
		if len(p.shipped()) == 0 {
			continue
		}
		i := slices.IndexFunc(p.files, func(f *goFile) bool { return path.Base(f.path) == "doc.go" })
		if i < 0 {
			found = append(found, p.dir+": has no doc.go")
			continue
		}
		text := p.files[i].syntax.Doc.Text()
		for _, word := range []string{"Guarantees", "Assumes", "Does not"} {
			if !regexp.MustCompile(`(?m)^(# )?` + word + `\b`).MatchString(text) {
				found = append(found, p.files[i].path+": the package comment has no part "+word)
			}
		}
		for _, f := range p.shipped() {
			if f != p.files[i] && f.syntax.Doc != nil {
				found = append(found, f.path+": a package comment beside doc.go's")
			}
		}
	}
	return found
}
