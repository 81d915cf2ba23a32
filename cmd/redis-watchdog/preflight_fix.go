package main

import (
	"context"
	"fmt"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/terminal"
	"github.com/redis-watchdog/redis-watchdog/preflight"
)

// changer sends one command to a Redis of the group and returns its answer.
type changer func(ctx context.Context, address string, command ...string) (string, error)

// fixed is a fix that was offered, and what became of it.
type fixed struct {
	preflight.Fix
	Check string `json:"check"`
	Done  bool   `json:"done"` // carried out, and read back
	Error string `json:"error,omitempty"`
}

// fixer offers the fixes of a report, one by one, and judges anew after each:
// one fix may make another needless, or need it (a running value that is set
// must be written down).
type fixer struct {
	app     *app
	printer *terminal.Printer
	judge   func() (preflight.Report, error)
	change  changer
	yes     bool
	quiet   bool

	offered map[preflight.Fix]bool
}

// fixRounds bounds how many fixes are offered in one run.
const fixRounds = 100

func (f *fixer) run(ctx context.Context, report preflight.Report) (preflight.Report, []fixed, error) {
	f.offered = map[preflight.Fix]bool{}
	var done []fixed
	for range fixRounds {
		finding, fix, ok := f.next(report)
		if !ok {
			break
		}
		f.offered[keyOf(fix)] = true
		f.show(report, finding, fix)
		if agreed, err := f.agreed(); err != nil {
			return report, done, err
		} else if !agreed {
			continue
		}
		one := fixed{Fix: fix, Check: finding.Check}
		if err := f.apply(ctx, fix); err != nil {
			one.Error = err.Error()
			f.say(terminal.Red, "         not done: %s", one.Error)
		} else {
			one.Done = true
			f.say(terminal.Green, "         done, and read back")
		}
		done = append(done, one)
		var err error
		if report, err = f.judge(); err != nil {
			return report, done, err
		}
	}
	if len(done) == 0 {
		f.say(terminal.Plain, "nothing was changed")
	}
	f.say(terminal.Plain, "")
	return report, done, nil
}

// next is the first fix that was not offered yet. Without a person to choose,
// only the first of a finding's alternatives counts.
func (f *fixer) next(r preflight.Report) (preflight.Finding, preflight.Fix, bool) {
	for _, finding := range r.Findings {
		fixes := finding.Fixes
		if f.yes && len(fixes) > 1 {
			fixes = fixes[:1]
		}
		for _, fix := range fixes {
			if f.yes && finding.Check == "drift_running" && fix.Kind != preflight.FixRewrite {
				continue // whether the file or what runs is right, a person must say
			}
			if !f.offered[keyOf(fix)] {
				return finding, fix, true
			}
		}
	}
	return preflight.Finding{}, preflight.Fix{}, false
}

// keyOf is what makes two fixes the same: a rewrite writes everything.
func keyOf(fix preflight.Fix) preflight.Fix {
	if fix.Kind == preflight.FixRewrite {
		return preflight.Fix{Kind: fix.Kind, Node: fix.Node}
	}
	return fix
}

func (f *fixer) show(r preflight.Report, finding preflight.Finding, fix preflight.Fix) {
	where := fix.Node
	if fix.Node == r.Master {
		where += ", WHICH IS THE MASTER"
	}
	f.say(terminal.Plain, "")
	switch fix.Kind {
	case preflight.FixSet:
		f.say(terminal.Bold, "FIX      CONFIG SET %s %s at %s", fix.Parameter, fix.Value, where)
		f.say(terminal.Plain, "         it is %s now; undo: CONFIG SET %s %s", orDash(fix.Was), fix.Parameter, fix.Was)
	case preflight.FixRewrite:
		f.say(terminal.Bold, "FIX      CONFIG REWRITE at %s", where)
		f.say(terminal.Plain, "         everything it runs with is written to its redis.conf; undo: a copy of the file taken before")
	}
	f.say(terminal.Plain, "         for %s: %s", finding.Check, finding.Reason)
}

func (f *fixer) agreed() (bool, error) {
	if f.yes {
		return true, nil
	}
	f.printer.Prompt("         do it? [y/N] ")
	return f.app.ask()
}

// apply carries one fix out and reads it back.
func (f *fixer) apply(ctx context.Context, fix preflight.Fix) error {
	if fix.Kind == preflight.FixRewrite {
		// What was written is judged anew from the file itself.
		_, err := f.change(ctx, fix.Node, "CONFIG", "REWRITE")
		return err
	}
	if _, err := f.change(ctx, fix.Node, "CONFIG", "SET", fix.Parameter, fix.Value); err != nil {
		return err
	}
	now, err := f.change(ctx, fix.Node, "CONFIG", "GET", fix.Parameter)
	if err != nil {
		return fmt.Errorf("read it back: %w", err)
	}
	if now != fix.Value {
		return fmt.Errorf("it is %q after it was set to %q", now, fix.Value)
	}
	return nil
}

func (f *fixer) say(c terminal.Colour, format string, args ...any) {
	if !f.quiet {
		f.printer.Line(c, format, args...)
	}
}
