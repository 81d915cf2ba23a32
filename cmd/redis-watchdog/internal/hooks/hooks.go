// Package hooks runs the operator's commands when the phase of a local Redis was
// seen to change. Nothing waits for one: what is decided, and the fence, go on
// whether it ends, fails or hangs.
package hooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Hook is one command.
type Hook struct {
	On      []string      // the phases whose beginning it is run at; empty: all
	Command []string      // the program and its arguments; no shell is between
	Timeout time.Duration // its whole process group is killed then
}

// Event is a change of phase, and what was known at that moment. Master may be
// what a Sentinel has said: it is handed over as data, never as a command.
type Event struct {
	Time       time.Time `json:"time"`
	Group      string    `json:"group"`
	Node       string    `json:"node"`
	Address    string    `json:"address"` // how the Sentinels call this Redis; empty: not known
	From       string    `json:"from"`    // phases, as seen
	To         string    `json:"to"`
	Row        int       `json:"row"` // of the decision table
	Reason     string    `json:"reason"`
	Master     string    `json:"master"`     // of the truth; empty: nobody
	Generation uint64    `json:"generation"` // of the agreement
	Epoch      uint64    `json:"epoch"`
}

// Results of a run, and of one that did not take place.
const (
	Succeeded = "ok"
	Failed    = "failed"
	TimedOut  = "timeout"
	Dropped   = "dropped" // too many were waiting
)

// Results are all there are.
func Results() []string { return []string{Succeeded, Failed, TimedOut, Dropped} }

const (
	waiting   = 64              // events that wait; one more is dropped
	killAfter = 2 * time.Second // how long what is left of a killed command may hold its pipes
	tail      = 2 << 10         // bytes of a command's output that are logged
)

// Runner runs one command after the other, in the order of the events.
type Runner struct {
	log    hclog.Logger
	count  func(result string)
	queued chan Event

	mu    sync.Mutex
	hooks []Hook
}

// New makes a Runner; count is told of every result.
func New(hooks []Hook, count func(result string), log hclog.Logger) *Runner {
	return &Runner{log: log, count: count, queued: make(chan Event, waiting), hooks: hooks}
}

// Set has other hooks run from the next event on.
func (r *Runner) Set(hooks []Hook) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hooks = hooks
}

func (r *Runner) newest() []Hook {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hooks
}

// Happened has the hooks of an event run. It never blocks: where too many wait,
// this one is dropped, counted and logged.
func (r *Runner) Happened(e Event) {
	if !slices.ContainsFunc(r.newest(), func(h Hook) bool { return h.wants(e) }) {
		return
	}
	select {
	case r.queued <- e:
	default:
		r.count(Dropped)
		r.log.Error("hook dropped: too many wait", "group", e.Group, "node", e.Node, "from", e.From, "to", e.To)
	}
}

func (h Hook) wants(e Event) bool { return len(h.On) == 0 || slices.Contains(h.On, e.To) }

// Run runs what is queued until ctx ends. A command under way is killed then,
// and those that wait are dropped.
func (r *Runner) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			r.drop()
			return context.Cause(ctx)
		case e := <-r.queued:
			if ctx.Err() != nil { // select chooses at random
				r.dropped(e)
				continue
			}
			for _, h := range r.newest() {
				if h.wants(e) && ctx.Err() == nil {
					r.run(ctx, h, e)
				}
			}
		}
	}
}

func (r *Runner) drop() {
	for {
		select {
		case e := <-r.queued:
			r.dropped(e)
		default:
			return
		}
	}
}

func (r *Runner) dropped(e Event) {
	r.count(Dropped)
	r.log.Warn("hook dropped: the watchdog stops", "group", e.Group, "node", e.Node, "from", e.From, "to", e.To)
}

func (r *Runner) run(ctx context.Context, h Hook, e Event) {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	begun := time.Now()
	output, err := h.start(ctx, e)
	args := []any{"command", h.Command[0], "group", e.Group, "node", e.Node, "from", e.From, "to", e.To, "took", time.Since(begun).String()}
	switch {
	case err == nil:
		r.count(Succeeded)
		r.log.Debug("hook ran", args...)
		return
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		r.count(TimedOut)
		err = fmt.Errorf("killed after its timeout (%s)", h.Timeout)
	default:
		r.count(Failed)
	}
	r.log.Error("hook failed", append(args, "error", err, "output", strings.ToValidUTF8(string(output), "?"))...)
}

// start runs the command to its end, or kills its process group with ctx.
func (h Hook) start(ctx context.Context, e Event) (output []byte, err error) {
	in, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	out := &last{}
	cmd := exec.CommandContext(ctx, h.Command[0], h.Command[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Dir = e.environment(), bytes.NewReader(append(in, '\n')), out, out, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = killAfter // a grandchild in another group keeps the pipes open
	err = cmd.Run()
	return out.bytes(), err
}

// environment is the event, and of our own environment only where programs are
// found: what else is in it is the watchdog's business.
func (e Event) environment() []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8",
		"REDIS_WATCHDOG_TIME=" + e.Time.Format(time.RFC3339Nano),
		"REDIS_WATCHDOG_ROW=" + strconv.Itoa(e.Row),
		"REDIS_WATCHDOG_GENERATION=" + strconv.FormatUint(e.Generation, 10),
		"REDIS_WATCHDOG_EPOCH=" + strconv.FormatUint(e.Epoch, 10),
	}
	for _, v := range []struct{ name, value string }{
		{"GROUP", e.Group}, {"NODE", e.Node}, {"ADDRESS", e.Address}, {"FROM", e.From}, {"TO", e.To},
		{"REASON", e.Reason}, {"MASTER", e.Master},
	} {
		env = append(env, "REDIS_WATCHDOG_"+v.name+"="+strings.ReplaceAll(v.value, "\x00", ""))
	}
	return env
}

// last keeps the end of what is written.
type last struct {
	mu   sync.Mutex
	kept []byte
}

func (l *last) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = append(l.kept, b...)
	if over := len(l.kept) - tail; over > 0 {
		l.kept = append(l.kept[:0], l.kept[over:]...)
	}
	return len(b), nil
}

func (l *last) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.kept)
}
