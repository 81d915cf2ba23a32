package lab

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
)

// Program is the T of a program that is no test. Run it as
//
//	os.Exit(lab.NewProgram("demo", os.Stderr).Run(func(p *lab.Program) { l := lab.New(p); ... }))
type Program struct {
	name string
	out  io.Writer

	mu       sync.Mutex
	failed   bool
	cleanups []func()
}

// NewProgram makes one that logs to out.
func NewProgram(name string, out io.Writer) *Program { return &Program{name: name, out: out} }

// stop is what Fatalf panics with, to come back to Run.
type stop struct{}

// Run runs f, then what was registered by Cleanup, and is the exit code: 1
// after Fatalf or a panic, 130 when SIGINT, SIGTERM or SIGHUP ended it. Those
// end it even in the middle of f, after the clean-up.
func (p *Program) Run(f func(*Program)) (code int) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer p.recover()
		f(p)
	}()
	select {
	case <-done:
	case <-signals:
		code = 130
	}
	p.cleanup()
	if code == 0 && p.Failed() {
		code = 1
	}
	return code
}

func (p *Program) recover() {
	switch r := recover(); r.(type) {
	case nil, stop:
	default:
		p.fail("panic: %v\n%s", r, debug.Stack())
	}
}

func (p *Program) cleanup() {
	for {
		p.mu.Lock()
		n := len(p.cleanups)
		if n == 0 {
			p.mu.Unlock()
			return
		}
		f := p.cleanups[n-1]
		p.cleanups = slices.Delete(p.cleanups, n-1, n)
		p.mu.Unlock()
		f()
	}
}

func (p *Program) fail(format string, args ...any) {
	p.mu.Lock()
	p.failed = true
	p.mu.Unlock()
	p.Logf(format, args...)
}

// Helper is there for T.
func (p *Program) Helper() {}

// Name is the program's.
func (p *Program) Name() string { return p.name }

// Logf prints a line.
func (p *Program) Logf(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }

// Fatalf prints a line and ends f. It must be called by f's own goroutine.
func (p *Program) Fatalf(format string, args ...any) {
	p.fail(format, args...)
	panic(stop{})
}

// Failed says whether Fatalf was called.
func (p *Program) Failed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// Cleanup registers f to be called at the end, last first.
func (p *Program) Cleanup(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cleanups = append(p.cleanups, f)
}
