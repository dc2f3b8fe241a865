package main_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// The rules of the house, as a test. CONTRIBUTING.md says why each of them is
// there; house_code_test.go and house_text_test.go hold them, and
// house_broken_test.go breaks each of them once.
//
// The files are parsed here: a test that asked the go command for the imports
// would pass from the cache after a violation.

// module is the path of this module.
const module = "fencepost"

// rule is one rule: find returns what breaks it, a line each.
type rule struct {
	name string
	find func(*house) []string
}

func houseRules() []rule {
	return []rule{
		{"imports go one way", importsOneWay},
		{"codec touches nothing outside", codecIsPure},
		{"test support is not shipped", supportNotShipped},
		{"the environment is the only door", onlyDoor},
		{"no effects in the order of a map", noMapOrder},
		{"no mutable package variables", noMutableVars},
		{"no init functions", noInit},
		{"functions fit a page", shortFunctions},
		{"files fit a subject", shortFiles},
		{"packages state their contract", packageContracts},
		{"nothing left open", nothingLeftOpen},
		{"no private paths or hosts", noPrivatePaths},
		{"links resolve", linksResolve},
		{"references resolve", referencesResolve},
		{"top level is the layout", topLevel},
		{"packages to install are named once", packagesNamed},
	}
}

func TestHouse(t *testing.T) {
	h, err := readHouse(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(h.pkgs) < 5 || len(h.text) < 100 {
		t.Fatalf("got %d packages and %d files: this is not the repository", len(h.pkgs), len(h.text))
	}
	for _, r := range houseRules() {
		t.Run(r.name, func(t *testing.T) {
			for _, found := range r.find(h) {
				t.Error(found)
			}
		})
	}
}

// house is the repository, read and parsed.
type house struct {
	fset *token.FileSet
	pkgs []*pkg
	text map[string]string // every text file by its path, testdata left out
	all  map[string]bool   // every file and directory
}

// pkg is one directory with Go files.
type pkg struct {
	dir   string
	files []*goFile // tests too
	info  *types.Info
	scope *types.Scope // of the files that are no tests
}

type goFile struct {
	path   string
	test   bool
	syntax *ast.File
	lines  int
}

// isText tells the files that the rules on text look at.
func isText(name string) bool {
	switch path.Ext(name) {
	case ".go", ".md", ".sh", ".toml", ".json", ".xsd", ".mod", ".txt", ".html", ".js", ".css", ".yml":
		return true
	}
	return strings.HasPrefix(name, ".ci/") || name == ".gitignore" || name == ".gitattributes"
}

func readHouse(root fs.FS) (*house, error) {
	h := &house{fset: token.NewFileSet(), text: map[string]string{}, all: map[string]bool{}}
	byDir := map[string]*pkg{}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // another test's, just removed
		}
		if err != nil {
			return err
		}
		if name == ".git" {
			h.all[name] = true
			return skip(d)
		}
		h.all[name] = true
		if d.IsDir() || !isText(name) || strings.Contains(name, "testdata/") {
			return nil
		}
		data, err := fs.ReadFile(root, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		h.text[name] = string(data)
		if path.Ext(name) != ".go" {
			return nil
		}
		syntax, err := parser.ParseFile(h.fset, name, data, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := path.Dir(name)
		if byDir[dir] == nil {
			byDir[dir] = &pkg{dir: dir}
			h.pkgs = append(h.pkgs, byDir[dir])
		}
		byDir[dir].files = append(byDir[dir].files, &goFile{path: name, test: strings.HasSuffix(name, "_test.go"),
			syntax: syntax, lines: strings.Count(string(data), "\n")})
		return nil
	})
	for _, p := range h.pkgs {
		p.resolve(h.fset)
	}
	return h, err
}

// skip leaves out a directory; in a work tree .git may be a file.
func skip(d fs.DirEntry) error {
	if d.IsDir() {
		return fs.SkipDir
	}
	return nil
}

// resolve finds out what the names in the shipped files mean, as far as that is
// possible without their imports: which are locals, which the package's own,
// which an imported package.
func (p *pkg) resolve(fset *token.FileSet) {
	p.info = &types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}, Types: map[ast.Expr]types.TypeAndValue{}}
	var files []*ast.File
	for _, f := range p.files {
		if !f.test {
			files = append(files, f.syntax)
		}
	}
	c := types.Config{Importer: noImports{}, Error: func(error) {}}
	tp, _ := c.Check(p.dir, fset, files, p.info)
	p.scope = tp.Scope()
}

// noImports gives each import path an empty package.
type noImports struct{}

func (noImports) Import(imported string) (*types.Package, error) {
	name := path.Base(imported)
	if strings.HasPrefix(name, "v") && strings.Trim(name[1:], "0123456789") == "" {
		name = path.Base(path.Dir(imported))
	}
	p := types.NewPackage(imported, name)
	p.MarkComplete()
	return p, nil
}

// selected returns the import path and the name if e is PACKAGE.NAME.
func (p *pkg) selected(e ast.Node) (imported, name string) {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	id, ok := sel.X.(*ast.Ident)
	if !ok {
		return "", ""
	}
	if pn, ok := p.info.Uses[id].(*types.PkgName); ok {
		return pn.Imported().Path(), sel.Sel.Name
	}
	return "", ""
}

// support says whether the package is for tests alone.
func (p *pkg) support() bool {
	return slices.ContainsFunc(p.shipped(), func(f *goFile) bool { return slices.Contains(f.imports(), "testing") })
}

// shipped are the files that are no tests.
func (p *pkg) shipped() []*goFile {
	return slices.DeleteFunc(slices.Clone(p.files), func(f *goFile) bool { return f.test })
}

// imports are a file's imports.
func (f *goFile) imports() (paths []string) {
	for _, i := range f.syntax.Imports {
		paths = append(paths, strings.Trim(i.Path.Value, `"`))
	}
	return paths
}

// at is a finding at a place in a file.
func (h *house) at(n ast.Node, format string, args ...any) string {
	pos := h.fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d: ", pos.Filename, pos.Line) + fmt.Sprintf(format, args...)
}
