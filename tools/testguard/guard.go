package main

// What the tests say of themselves.

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab/pace"
)

// event is one line of `go test -json` (see `go doc cmd/test2json`).
type event struct {
	Time    time.Time
	Action  string
	Package string
	Test    string
	Elapsed float64
	Output  string
}

// fault is what keeps a run from being green.
type fault struct {
	what         string // FAIL, SKIP, NO TESTS RAN, ERROR
	pkg, test    string // test is empty for a whole package
	begun, ended time.Time
	text         string
}

func (f fault) String() string {
	return strings.TrimSpace(f.what + " " + f.pkg + " " + f.test + " " + f.text)
}

type guard struct {
	out     io.Writer
	output  map[string]*strings.Builder // by package and test, until it has passed
	begun   map[string]time.Time        // of the top-level tests
	passed  map[string]int              // top-level tests, by package
	died    map[string]bool             // packages that ended in a panic or a timeout: the rest of their tests did not run
	total   int
	faults  []fault
	untests int      // packages without test files
	left    []string // tests that package pace leaves out on this machine
}

func newGuard(out io.Writer) *guard {
	return &guard{out: out, output: map[string]*strings.Builder{}, begun: map[string]time.Time{}, passed: map[string]int{}, died: map[string]bool{}}
}

func (g *guard) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				g.out.Write(line) // of go itself, not of a test
			} else {
				g.take(e)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read test output: %w", err)
		}
	}
}

func (g *guard) take(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "run":
		g.begun[key] = e.Time
	case "build-output":
		io.WriteString(g.out, e.Output)
	case "output":
		if g.output[key] == nil {
			g.output[key] = new(strings.Builder)
		}
		g.output[key].WriteString(e.Output)
		if strings.HasPrefix(e.Output, "panic: ") || strings.HasPrefix(e.Output, "fatal error: ") {
			g.died[e.Package] = true
		}
	case "pass":
		if e.Test == "" {
			g.packagePassed(e)
		} else if !strings.Contains(e.Test, "/") {
			g.passed[e.Package]++
			g.total++
		}
		delete(g.output, key)
	case "skip":
		switch text := g.output[key]; {
		case e.Test == "":
			g.untests++ // no test files
		case text != nil && strings.Contains(text.String(), pace.LeftOut):
			g.left = append(g.left, e.Test)
			delete(g.output, key)
		default:
			g.fault("SKIP", e)
		}
	case "fail":
		g.fault("FAIL", e)
	}
}

func (g *guard) packagePassed(e event) {
	if g.passed[e.Package] == 0 {
		g.fault("NO TESTS RAN", e)
		return
	}
	fmt.Fprintf(g.out, "ok    %4d tests %7.1fs  %s\n", g.passed[e.Package], e.Elapsed, e.Package)
}

func (g *guard) fault(what string, e event) {
	f := fault{what: what, pkg: e.Package, test: e.Test, begun: g.begun[e.Package+" "+e.Test], ended: e.Time}
	g.faults = append(g.faults, f)
	fmt.Fprintf(g.out, "%s (%.1fs)\n", f, e.Elapsed)
	if text := g.output[e.Package+" "+e.Test]; text != nil {
		io.WriteString(g.out, text.String())
		delete(g.output, e.Package+" "+e.Test) // another attempt has its own
	}
}

// disturbed is the top-level tests that failed while the machine stood still.
func (g *guard) disturbed(m *meter) []fault {
	var again []fault
	for _, f := range g.faults {
		if f.what == "FAIL" && f.test != "" && !g.died[f.pkg] && !strings.Contains(f.test, "/") && m.worst(f.begun, f.ended) >= standstill {
			again = append(again, f)
		}
	}
	return again
}

// forget takes back what a test that is run again has done to the verdict: its
// own fault, those of its parts, and its package's where nothing else failed
// there.
func (g *guard) forget(f fault) {
	var kept []fault
	others := false
	for _, o := range g.faults {
		if o.pkg == f.pkg && (o.test == f.test || strings.HasPrefix(o.test, f.test+"/")) {
			continue
		}
		others = others || o.pkg == f.pkg && o.test != ""
		kept = append(kept, o)
	}
	g.faults = nil
	for _, o := range kept {
		if o.pkg == f.pkg && o.what == "FAIL" && o.test == "" && !others && !g.died[f.pkg] {
			continue
		}
		g.faults = append(g.faults, o)
	}
}

func (g *guard) verdict() int {
	fmt.Fprintf(g.out, "\n%d tests passed in %d packages (%d have none)\n", g.total, len(g.passed), g.untests)
	if len(g.left) > 0 {
		fmt.Fprintf(g.out, "%d tests were left out: this machine stands still again and again. They are run where it does not: %s\n", len(g.left), strings.Join(g.left, " "))
	}
	if g.total == 0 {
		g.faults = append(g.faults, fault{what: "NO TESTS RAN at all"})
	}
	for _, f := range g.faults {
		fmt.Fprintln(g.out, f)
	}
	if len(g.faults) > 0 {
		return 1
	}
	return 0
}
