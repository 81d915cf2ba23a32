// Command testguard runs `go test -json` and shows what a person wants to see:
// a line a package, and the output of what failed.
//
//	testguard go test -race -count=1 ./...
//
// It exits with 1 when anything failed or was skipped, or when a package ran
// no test at all: a green run must mean that the tests were executed. The one
// exception is what package pace leaves out on a machine that stands still: it
// is named at the end.
//
// Most of the tests here are about time: a watchdog that is not run for a
// second rightly fences its Redis. So testguard first measures how long the
// machine stands still under load, and stretches the tests' times accordingly
// (package pace; LAB_PACE in the environment overrules it), and it watches the
// machine beside them. A test that failed while the whole machine stood still proves nothing
// and is run again, alone, when the machine is calm, at most twice. It is said
// of each; one that fails without such a stall, or every time, has failed.
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
	"time"
)

const (
	attempts   = 3                // of a test that failed while the machine stood still
	calmBudget = 5 * time.Minute  // for all the waiting of one run together
	lastAgain  = 55 * time.Minute // after the start; what has not had its turn again by then has failed
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) < 3 || os.Args[1] != "go" || os.Args[2] != "test" {
		fmt.Fprintln(os.Stderr, "usage: testguard go test ARGUMENTS")
		os.Exit(64)
	}
	os.Exit(run(ctx, os.Stdout, os.Args[1:]))
}

// run is the whole of it; it returns the exit code.
func run(ctx context.Context, out io.Writer, command []string) int {
	m := newMeter()
	done := make(chan struct{})
	go func() { defer close(done); m.run(ctx) }()
	defer func() { m.stop(); <-done }()

	end := time.Now().Add(lastAgain)
	stretched, err := setPace(ctx, out, m)
	if err != nil {
		fmt.Fprintln(out, "ERROR:", err)
		return 1
	}
	flags := []string{"-json"}
	if stretched { // there is not enough of it for two packages at a time
		flags = append(flags, "-p=1")
	}
	g := newGuard(out)
	if err := execute(ctx, g, slices.Insert(slices.Clone(command), 2, flags...)); err != nil {
		g.faults = append(g.faults, fault{what: "ERROR", text: err.Error()})
	}
	budget := calmBudget
	if stretched {
		budget = 0 // such a machine is never calm
	}
	for attempt := 2; attempt <= attempts && ctx.Err() == nil; attempt++ {
		for _, again := range g.disturbed(m) {
			if time.Now().After(end) {
				break
			}
			waited := m.waitCalm(ctx, budget)
			budget -= waited
			fmt.Fprintf(out, "AGAIN %s: the machine stood still for %v while it ran (attempt %d of %d, waited %v for calm)\n",
				again, m.worst(again.begun, again.ended).Round(time.Millisecond), attempt, attempts, waited.Round(time.Second))
			g.forget(again)
			if err := execute(ctx, g, rerun(command, again)); err != nil {
				g.faults = append(g.faults, fault{what: "ERROR", text: err.Error()})
			}
		}
	}
	m.report(out)
	return g.verdict()
}

// rerun is the command for one test alone, with the flags of the first one.
func rerun(command []string, f fault) []string {
	args := []string{"go", "test", "-json"}
	for _, a := range command[2:] {
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
