package main

// What the tests say of themselves.

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
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
	what      string   // FAIL, SKIP, NO TESTS RAN, ERROR; FLAKY is none
	pkg, test string   // test is empty for a whole package
	command   []string // that ran it
	still     time.Duration
	text      string
}

func (f fault) String() string {
	if f.still >= standstill {
		f.text = strings.TrimSpace(fmt.Sprintf("%s (the machine stood still for %v while it ran)", f.text, f.still.Round(time.Millisecond)))
	}
	return strings.TrimSpace(f.what + " " + f.pkg + " " + f.test + " " + f.text)
}

type guard struct {
	out     io.Writer
	meter   *meter
	started time.Time
	command []string                    // that runs now
	output  map[string]*strings.Builder // by package and test, until it has passed
	begun   map[string]time.Time        // of the top-level tests
	passed  map[string]int              // top-level tests, by package
	died    map[string]bool             // packages that ended in a panic or a timeout: the rest of their tests did not run
	total   int
	faults  []fault
	flaky   []fault // failed first, and passed when run again
	untests int     // packages without test files
}

func newGuard(out io.Writer, m *meter) *guard {
	return &guard{out: out, meter: m, started: time.Now(), output: map[string]*strings.Builder{}, begun: map[string]time.Time{}, passed: map[string]int{}, died: map[string]bool{}}
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
		text := g.output[key]
		if text == nil {
			text = &strings.Builder{}
			g.output[key] = text
		}
		text.WriteString(e.Output)
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
		if e.Test == "" {
			g.untests++ // no test files
		} else {
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
	key := e.Package + " " + e.Test
	f := fault{what: what, pkg: e.Package, test: e.Test, command: g.command}
	if begun, ok := g.begun[key]; ok {
		f.still = g.meter.worst(begun, e.Time)
	}
	g.faults = append(g.faults, f)
	fmt.Fprintf(g.out, "%s (%.1fs)\n", f, e.Elapsed)
	if text := g.output[key]; text != nil {
		io.WriteString(g.out, text.String())
		delete(g.output, key) // another attempt has its own
	}
}

// again is the tests that are run once more: those that failed, of packages that
// ran to their end. None where there are too many for flakes.
func (g *guard) again() []fault {
	var again []fault
	for _, f := range g.faults {
		if f.what == "FAIL" && f.test != "" && !g.died[f.pkg] && !strings.Contains(f.test, "/") {
			again = append(again, f)
		}
	}
	if len(again) > mostAgain {
		return nil
	}
	return again
}

// forget takes back what a test that is run again has done to the verdict: its
// own fault, those of its parts, and its package's where nothing else failed
// there. It is taken for flaky until it fails again.
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
	f.what = "FLAKY"
	g.flaky = append(g.flaky, f)
}

func (g *guard) verdict() int {
	fmt.Fprintf(g.out, "\n%d tests passed in %d packages (%d have none) after %v\n", g.total, len(g.passed), g.untests, time.Since(g.started).Round(time.Second))
	if g.total == 0 {
		g.faults = append(g.faults, fault{what: "NO TESTS RAN at all"})
	}
	flakes := 0
	for _, f := range g.flaky {
		if !g.failed(f.pkg, f.test) {
			fmt.Fprintln(g.out, f)
			flakes++
		}
	}
	for _, f := range g.faults {
		fmt.Fprintln(g.out, f)
	}
	fmt.Fprintf(g.out, "%d failed, %d flaky\n", len(g.faults), flakes)
	if len(g.faults) > 0 {
		return 1
	}
	return 0
}

// failed is whether the test, or its package as a whole, has failed after all.
func (g *guard) failed(pkg, test string) bool {
	for _, f := range g.faults {
		if f.pkg == pkg && (f.test == test || f.test == "") {
			return true
		}
	}
	return false
}
