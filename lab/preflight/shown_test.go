package preflight

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/preflight"
)

// TestEveryCheckIsShownOnRealServers finds the place where each check is made to
// fail and to pass: a check that is new has one, or this fails.
func TestEveryCheckIsShownOnRealServers(t *testing.T) {
	places := map[string][]string{}
	for _, pattern := range []string{"*_test.go", "../scenario/p_checks_test.go", "../field/stall_test.go", "../keyspace/migrate_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			addPlaces(t, file, places)
		}
	}
	for _, c := range preflight.Catalogue() {
		if len(places[c.ID]) == 0 {
			t.Errorf("%s is shown nowhere: add it to the tables here, or to TestCoordinatorAndWatchdogChecksFailAndPass; what a watchdog counts, to a story of lab/field", c.ID)
		}
	}
}

// addPlaces adds where a file makes a check fail: a row of a table that begins
// with its id or has it as check, and the calls that make such rows.
func addPlaces(t *testing.T, file string, places map[string][]string) {
	t.Helper()
	positions := token.NewFileSet()
	tree, err := parser.ParseFile(positions, file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	add := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if id, err := strconv.Unquote(lit.Value); err == nil {
				places[id] = append(places[id], positions.Position(lit.Pos()).String())
			}
		}
	}
	makers := []string{"set", "file", "sentinels", "restarted", "still", "alone", "badFile", "expect", "after"}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			if name, ok := n.Key.(*ast.Ident); ok && name.Name == "check" {
				add(n.Value)
			}
		case *ast.CompositeLit:
			if len(n.Elts) > 0 && n.Type == nil {
				add(n.Elts[0])
			}
		case *ast.CallExpr:
			switch {
			case nameOf(n.Fun) == "becomes" && len(n.Args) > 3: // it takes the world and the servers first
				add(n.Args[3])
			case len(n.Args) > 0 && slices.Contains(makers, nameOf(n.Fun)):
				add(n.Args[0])
			}
		}
		return true
	})
}

func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}
