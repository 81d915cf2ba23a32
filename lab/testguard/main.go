// Command testguard runs `go test -json` and shows what a person wants to see:
// a line a package, the output of what failed, and a summary.
//
//	testguard go test -race -count=1 ./watchdog/... -- go test -count=1 ./lab/...
//
// Commands between which "--" stands run one after another. It exits with 1 when
// anything failed or was skipped, or when a package ran no test at all: a green
// run must mean that the tests were executed.
//
// A test that failed is run again, alone, once all have run. One that passes then
// is FLAKY: it is counted and named in the summary, for it waits to be mended, and
// the run is green. One that fails again has failed. Where more than a few have
// failed nothing is run again.
//
// Beside the tests it watches for how long the machine stands still at a time,
// and says so of each failure: a watchdog that is not run for a second rightly
// fences its Redis.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// mostAgain is how many tests are run again: more than a few are no flakes.
const mostAgain = 5

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	commands := split(os.Args[1:])
	for _, c := range commands {
		if len(c) < 3 || c[0] != "go" || c[1] != "test" {
			fmt.Fprintln(os.Stderr, "usage: testguard go test ARGUMENTS [-- go test ARGUMENTS]...")
			os.Exit(64)
		}
	}
	os.Exit(run(ctx, os.Stdout, commands))
}

// split is the commands between which "--" stands; at least one.
func split(args []string) [][]string {
	var all [][]string
	for {
		i := slices.Index(args, "--")
		if i < 0 {
			return append(all, args)
		}
		all, args = append(all, args[:i]), args[i+1:]
	}
}

// run is the whole of it; it returns the exit code.
func run(ctx context.Context, out io.Writer, commands [][]string) int {
	m := newMeter()
	done := make(chan struct{})
	go func() { defer close(done); m.run(ctx) }()
	defer func() { m.stop(); <-done }()

	g := newGuard(out, m)
	for _, c := range commands {
		if ctx.Err() != nil {
			break
		}
		g.command = c
		if err := execute(ctx, g, slices.Insert(slices.Clone(c), 2, "-json")); err != nil {
			g.faults = append(g.faults, fault{what: "ERROR", text: err.Error()})
		}
	}
	for _, again := range g.again() {
		if ctx.Err() != nil {
			break
		}
		fmt.Fprintf(out, "AGAIN %s\n", again)
		g.forget(again)
		if err := execute(ctx, g, rerun(again)); err != nil {
			g.faults = append(g.faults, fault{what: "ERROR", text: err.Error()})
		}
	}
	if err := ctx.Err(); err != nil {
		g.faults = append(g.faults, fault{what: "ERROR", text: "interrupted"})
	}
	m.report(out)
	return g.verdict()
}

// rerun is the command for one test alone, with the flags of the first one.
func rerun(f fault) []string {
	args := []string{"go", "test", "-json"}
	for _, a := range f.command[2:] {
		if strings.HasPrefix(a, "-") { // every flag is written -name=value
			args = append(args, a)
		}
	}
	return append(args, "-run=^"+regexp.QuoteMeta(f.test)+"$", f.pkg)
}

// execute runs one go test and takes its events in. What it exits with is of
// no interest: the events say it better.
func execute(ctx context.Context, g *guard, args []string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("run tests: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run tests: %w", err)
	}
	read := g.read(events)
	err = cmd.Wait()
	if read != nil {
		return read
	}
	if err != nil && len(g.faults) == 0 {
		return fmt.Errorf("run tests: %w, and no test says why", err)
	}
	return nil
}
