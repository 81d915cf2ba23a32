package docs

// Every fault and every reason of a decision stands in faults.md: the person who
// greps for one at night finds it.

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// pkg is the source of one package, without its tests.
type pkg struct {
	dir    string
	files  *token.FileSet
	parsed []*ast.File
	asked  string            // the variable that is being followed
	consts map[string]string // of strings, of all packages: no two have one name for two things
}

// packages are those of the product.
func packages(t *testing.T) []*pkg {
	t.Helper()
	byDir, consts := map[string]*pkg{}, map[string]string{}
	for _, root := range []string{"cmd", "fencing", "preflight", "sentinel", "systemd", "watchdog"} {
		err := filepath.WalkDir(filepath.Join("..", root), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			p := byDir[filepath.Dir(path)]
			if p == nil {
				p = &pkg{dir: filepath.Dir(path), files: token.NewFileSet(), consts: consts}
				byDir[p.dir] = p
			}
			file, err := parser.ParseFile(p.files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			p.parsed = append(p.parsed, file)
			for _, decl := range file.Decls {
				p.addConsts(decl)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return slices.SortedFunc(maps.Values(byDir), func(a, b *pkg) int { return strings.Compare(a.dir, b.dir) })
}

func (p *pkg) addConsts(decl ast.Decl) {
	group, ok := decl.(*ast.GenDecl)
	if !ok || group.Tok != token.CONST {
		return
	}
	for _, spec := range group.Specs {
		values := spec.(*ast.ValueSpec)
		for i, value := range values.Values {
			if text, ok := literal(value); ok {
				p.consts[values.Names[i].Name] = text
			}
		}
	}
}

func literal(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}

// faults are the ids of all faults that the package makes: of every literal of a
// type Fault the field ID, or what is first in it, followed to where it is a
// string. One that cannot be followed is an error, for it would be missed.
func (p *pkg) faults(t *testing.T) (ids []string) {
	for _, file := range p.parsed {
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				lit, ok := n.(*ast.CompositeLit)
				if !ok || !isFault(lit.Type) || len(lit.Elts) == 0 {
					return true
				}
				found, err := p.strings(f, idOf(lit))
				if err != nil {
					t.Errorf("%s: the id of this fault: %v", p.files.Position(lit.Pos()), err)
				}
				ids = append(ids, found...)
				return true
			})
		}
	}
	return append(ids, p.renamed()...)
}

// renamed are the ids that a fault is given later.
func (p *pkg) renamed() (ids []string) {
	for _, file := range p.parsed {
		ast.Inspect(file, func(n ast.Node) bool {
			assign, ok := n.(*ast.AssignStmt)
			if !ok {
				return true
			}
			for i, left := range assign.Lhs {
				field, ok := left.(*ast.SelectorExpr)
				if !ok || field.Sel.Name != "ID" || i >= len(assign.Rhs) {
					continue
				}
				if name, ok := assign.Rhs[i].(*ast.Ident); ok && strings.HasPrefix(name.Name, "Fault") {
					ids = append(ids, p.consts[name.Name])
				}
			}
			return true
		})
	}
	return ids
}

func isFault(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == "Fault"
	case *ast.SelectorExpr:
		return e.Sel.Name == "Fault"
	}
	return false
}

func idOf(lit *ast.CompositeLit) ast.Expr {
	for _, elt := range lit.Elts {
		pair, ok := elt.(*ast.KeyValueExpr)
		if !ok {
			return lit.Elts[0]
		}
		if key, ok := pair.Key.(*ast.Ident); ok && key.Name == "ID" {
			return pair.Value
		}
	}
	return nil
}

// strings are what an expression in a function can be.
func (p *pkg) strings(f *ast.FuncDecl, e ast.Expr) ([]string, error) {
	if text, ok := literal(e); ok {
		return []string{text}, nil
	}
	switch e := e.(type) {
	case *ast.Ident:
		if text, ok := p.consts[e.Name]; ok {
			return []string{text}, nil
		}
		return p.variable(f, e.Name)
	case *ast.SelectorExpr:
		switch e.Sel.Name {
		case "ID":
			return nil, nil // of a fault that was made elsewhere
		case "Check":
			return nil, nil // of a finding: checks.md has it
		}
		if text, ok := p.consts[e.Sel.Name]; ok {
			return []string{text}, nil
		}
		return fieldOfTable(f, e.Sel.Name)
	case *ast.CallExpr:
		return p.result(e, 0)
	}
	return nil, fmt.Errorf("%T can be anything", e)
}

// variable is what a parameter is called with, or what is assigned to a variable.
func (p *pkg) variable(f *ast.FuncDecl, name string) (all []string, err error) {
	if p.asked == f.Name.Name+" "+name {
		return nil, nil // it is handed on to itself
	}
	was := p.asked
	p.asked = f.Name.Name + " " + name
	defer func() { p.asked = was }()
	found := false
	take := func(e ast.Expr) {
		some, failed := p.strings(f, e)
		found, all = true, append(all, some...)
		if failed != nil {
			err = failed
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		assign, ok := n.(*ast.AssignStmt)
		if !ok {
			return true
		}
		for i, left := range assign.Lhs {
			id, ok := left.(*ast.Ident)
			if !ok {
				continue
			}
			if i >= len(assign.Rhs) {
				if call, ok := assign.Rhs[0].(*ast.CallExpr); ok && id.Name == name {
					some, failed := p.result(call, i)
					found, all, err = true, append(all, some...), failed
				}
				continue
			}
			if id.Name == name {
				take(assign.Rhs[i])
			}
			if inner, ok := assign.Rhs[i].(*ast.FuncLit); ok {
				if at := parameter(inner.Type, name); at >= 0 {
					for _, call := range calls(f, id.Name) {
						take(call.Args[at])
					}
				}
			}
		}
		return true
	})
	if at := parameter(f.Type, name); at >= 0 && !found {
		for _, file := range p.parsed {
			for _, decl := range file.Decls {
				other, ok := decl.(*ast.FuncDecl)
				if !ok || other == f {
					continue
				}
				for _, call := range calls(other, f.Name.Name) {
					some, failed := p.strings(other, call.Args[at])
					found, all = true, append(all, some...)
					if failed != nil {
						err = failed
					}
				}
			}
		}
	}
	if !found {
		return nil, fmt.Errorf("what %q is cannot be told", name)
	}
	return all, err
}

// result is what a function of the package returns in that place, but for "".
func (p *pkg) result(call *ast.CallExpr, at int) (all []string, err error) {
	name := ""
	switch fun := call.Fun.(type) {
	case *ast.Ident:
		name = fun.Name
	case *ast.SelectorExpr:
		name = fun.Sel.Name
	}
	found := false
	for _, file := range p.parsed {
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Name.Name != name || f.Body == nil {
				continue
			}
			ast.Inspect(f.Body, func(n ast.Node) bool {
				back, ok := n.(*ast.ReturnStmt)
				if !ok || at >= len(back.Results) {
					return true
				}
				some, failed := p.strings(f, back.Results[at])
				if failed != nil {
					err = failed
				}
				found = true
				for _, text := range some {
					if text != "" {
						all = append(all, text)
					}
				}
				return true
			})
		}
	}
	if !found {
		return nil, fmt.Errorf("what %s returns cannot be told", name)
	}
	return all, err
}

// parameter is the place of a parameter; -1: there is none of that name.
func parameter(f *ast.FuncType, name string) int {
	at := 0
	for _, field := range f.Params.List {
		for _, n := range field.Names {
			if n.Name == name {
				return at
			}
			at++
		}
	}
	return -1
}

func calls(f *ast.FuncDecl, name string) (all []*ast.CallExpr) {
	ast.Inspect(f, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			switch fun := call.Fun.(type) {
			case *ast.Ident:
				if fun.Name == name {
					all = append(all, call)
				}
			case *ast.SelectorExpr:
				if fun.Sel.Name == name {
					all = append(all, call)
				}
			}
		}
		return true
	})
	return all
}

// fieldOfTable is a field of every row of a table of structs in the function.
func fieldOfTable(f *ast.FuncDecl, field string) (all []string, err error) {
	ast.Inspect(f, func(n ast.Node) bool {
		table, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		array, ok := table.Type.(*ast.ArrayType)
		if !ok {
			return true
		}
		row, ok := array.Elt.(*ast.StructType)
		if !ok || parameter(&ast.FuncType{Params: row.Fields}, field) < 0 {
			return true
		}
		at := parameter(&ast.FuncType{Params: row.Fields}, field)
		for _, elt := range table.Elts {
			if text, ok := literal(elt.(*ast.CompositeLit).Elts[at]); ok {
				all = append(all, text)
			} else {
				err = fmt.Errorf("a row of the table has another %q than a string", field)
			}
		}
		return true
	})
	if all == nil {
		return nil, fmt.Errorf("no table in the function has a field %q", field)
	}
	return all, err
}

// rows are the first cells of the tables below a heading of faults.md, each with
// its row.
func rows(t *testing.T, heading string) map[string]string {
	t.Helper()
	page, err := os.ReadFile("faults.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, found := strings.Cut(string(page), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("faults.md has no heading %q", heading)
	}
	part, _, _ = strings.Cut(part, "\n## ")
	all := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_0-9]+)`.*$").FindAllStringSubmatch(part, -1) {
		if all[m[1]] != "" {
			t.Errorf("faults.md has %s twice", m[1])
		}
		all[m[1]] = m[0]
	}
	return all
}

// compare fails for what is in one and not in the other, and for a cell that is
// empty.
func compare(t *testing.T, what string, code []string, rows map[string]string) {
	t.Helper()
	slices.Sort(code)
	code = slices.DeleteFunc(slices.Compact(code), func(id string) bool { return id == "" })
	if len(code) < 20 {
		t.Fatalf("only %d of them were found: %v", len(code), code)
	}
	for _, id := range code {
		if rows[id] == "" {
			t.Errorf("the %s %s is not in docs/faults.md", what, id)
		}
	}
	for id, row := range rows {
		if !slices.Contains(code, id) {
			t.Errorf("docs/faults.md has a %s %s, which nothing raises", what, id)
		}
		for cell := range strings.SplitSeq(strings.Trim(row, "| "), "|") {
			if strings.TrimSpace(cell) == "" {
				t.Errorf("a cell of %s is empty", id)
			}
		}
	}
}

func TestEveryFaultIsDocumented(t *testing.T) {
	var ids []string
	for _, p := range packages(t) {
		if filepath.Base(p.dir) == "config" {
			continue // what is wrong with the file is told with its line
		}
		ids = append(ids, p.faults(t)...)
	}
	compare(t, "fault", ids, rows(t, "Faults"))
}

// reasons are those of every verdict that the package gives.
func (p *pkg) reasons(t *testing.T) (all []string) {
	for _, file := range p.parsed {
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			take := func(at token.Pos, e ast.Expr) {
				some, err := p.strings(f, e)
				if err != nil {
					t.Errorf("%s: the reason of this verdict: %v", p.files.Position(at), err)
				}
				all = append(all, some...)
			}
			for _, call := range calls(f, "verdict") {
				take(call.Pos(), call.Args[1])
			}
			ast.Inspect(f, func(n ast.Node) bool {
				assign, ok := n.(*ast.AssignStmt)
				if !ok {
					return true
				}
				for i, left := range assign.Lhs {
					if field, ok := left.(*ast.SelectorExpr); ok && field.Sel.Name == "Reason" {
						take(assign.Pos(), assign.Rhs[i])
					}
				}
				return true
			})
		}
	}
	return all
}

func TestEveryReasonIsDocumented(t *testing.T) {
	var all []string
	for _, p := range packages(t) {
		if filepath.Base(p.dir) == "watchdog" && filepath.Base(filepath.Dir(p.dir)) == ".." {
			all = p.reasons(t)
		}
	}
	compare(t, "reason", all, rows(t, "Reasons"))
	page, err := os.ReadFile("decision.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range all {
		if reason != "" && !strings.Contains(string(page), "`"+reason+"`") {
			t.Errorf("the table of docs/decision.md lacks the reason %s", reason)
		}
	}
}
