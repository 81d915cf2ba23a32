package watchdog

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func updating() bool { return flag.Lookup("update").Value.String() == "true" }

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write what the scripts of testdata/scripts say now")
	os.Exit(m.Run())
}

func scripts(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/scripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("find scripts: got %v, %v", files, err)
	}
	return files
}

// play runs a script and returns it with the answers as they are now.
func play(t *testing.T, text string) string {
	t.Helper()
	s, out := newScript(t), strings.Builder{}
	for n, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if strings.HasPrefix(line, ">") {
			continue
		}
		out.WriteString(line + "\n")
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := s.line(line); err != nil {
			t.Fatalf("line %d: %v", n+1, err)
		}
		out.WriteString(s.out.String())
		s.out.Reset()
	}
	return out.String()
}

func TestScriptsSayWhatTheySaid(t *testing.T) {
	for _, file := range scripts(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(text), "#") {
				t.Error("a script begins with a comment that says what it tells and why")
			}
			got := play(t, string(text))
			if updating() {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want := string(text); got != want {
				t.Errorf("%s says otherwise (go test -update writes it down):\n%s", file, difference(want, got))
			}
		})
	}
}

// difference shows the first lines that differ, with what led to them.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	i := 0
	for i < len(w) && i < len(g) && w[i] == g[i] {
		i++
	}
	from := max(0, i-4)
	return "got\n  " + strings.Join(g[from:min(len(g), i+3)], "\n  ") +
		"\nwant\n  " + strings.Join(w[from:min(len(w), i+3)], "\n  ")
}

// TestScriptsTellEveryReason: a reason that no script tells is one that nobody
// has looked at.
func TestScriptsTellEveryReason(t *testing.T) {
	told := map[string]bool{}
	rows := map[string]bool{}
	said := regexp.MustCompile(`(?m)^> .* row=(\d+) reason=([a-z_]+)`)
	for _, file := range scripts(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range said.FindAllStringSubmatch(string(text), -1) {
			rows[m[1]], told[m[2]] = true, true
		}
	}
	for row := RowStart; row <= RowElse; row++ {
		if !rows[strconv.Itoa(int(row))] {
			t.Errorf("no script tells row %d", row)
		}
	}
	reasons := reasonsInSource(t)
	if len(reasons) < 30 {
		t.Fatalf("read reasons: got %d of the source, want all: %v", len(reasons), reasons)
	}
	for reason, where := range reasons {
		if !told[reason] {
			t.Errorf("no script tells %q (%s)", reason, where)
		}
	}
}

// TestScriptsTellEveryFault: issue 2's list, by the first letter of the file.
func TestScriptsTellEveryFault(t *testing.T) {
	told := map[string]bool{}
	for _, file := range scripts(t) {
		letter, _, _ := strings.Cut(filepath.Base(file), "-")
		told[letter] = true
	}
	for fault := 'a'; fault <= 'o'; fault++ {
		if !told[string(fault)] {
			t.Errorf("no script tells fault %c", fault)
		}
	}
}

// reasonsInSource are the string literals of the decision that look like one.
func reasonsInSource(t *testing.T) map[string]string {
	t.Helper()
	shape := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	reasons := map[string]string{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || name == "want.go" || name == "facts.go" || name == "data.go" || name == "settings.go" || name == "fault.go" { // these spell the words of their values
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if _, ok := n.(*ast.ImportSpec); ok {
				return false
			}
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil && shape.MatchString(text) {
					reasons[text] = fset.Position(lit.Pos()).String()
				}
			}
			return true
		})
	}
	return reasons
}
