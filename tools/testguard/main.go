// Command testguard reads `go test -json` from its standard input and shows
// what a person wants to see: a line a package, and the output of what failed.
// It exits with 1 when anything failed or was skipped, or when a package ran
// no test at all: a green run must mean that the tests were executed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is one line of `go test -json` (see `go doc cmd/test2json`).
type event struct {
	Action  string
	Package string
	Test    string
	Elapsed float64
	Output  string
}

type guard struct {
	out     io.Writer
	output  map[string]*strings.Builder // by package and test, until it has passed
	passed  map[string]int              // top-level tests, by package
	total   int
	faults  []string
	untests int // packages without test files
}

func main() {
	g := &guard{out: os.Stdout, output: map[string]*strings.Builder{}, passed: map[string]int{}}
	if err := g.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testguard:", err)
		os.Exit(1)
	}
	os.Exit(g.verdict())
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
	case "build-output":
		io.WriteString(g.out, e.Output)
	case "output":
		if g.output[key] == nil {
			g.output[key] = new(strings.Builder)
		}
		g.output[key].WriteString(e.Output)
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
	name := strings.TrimSpace(what + " " + e.Package + " " + e.Test)
	g.faults = append(g.faults, name)
	fmt.Fprintf(g.out, "%s (%.1fs)\n", name, e.Elapsed)
	if text := g.output[e.Package+" "+e.Test]; text != nil {
		io.WriteString(g.out, text.String())
	}
}

func (g *guard) verdict() int {
	fmt.Fprintf(g.out, "\n%d tests passed in %d packages (%d have none)\n", g.total, len(g.passed), g.untests)
	if g.total == 0 {
		g.faults = append(g.faults, "NO TESTS RAN at all")
	}
	for _, fault := range g.faults {
		fmt.Fprintln(g.out, fault)
	}
	if len(g.faults) > 0 {
		return 1
	}
	return 0
}
