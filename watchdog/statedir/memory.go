package statedir

// The record of a node: what must survive a restart of the watchdog. It is
// written off the loop, newest wins; the fence waits for none of it.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Recorder keeps one node's Memory on disk: in state (survives a reboot) all
// of it but the deadline, in runtime (does not) the deadline, which moves with
// every renewal.
type Recorder struct {
	state, runtime string // file names
	boot           string
	log            hclog.Logger
	newest         chan watchdog.Memory
	last           watchdog.Memory // that was to be written
	written        watchdog.Memory // that was, its deadline included
	deadlineAt     time.Time
	deadline       *os.File // runtime, open and rewritten in place; nil: not yet
}

type stateRecord struct {
	Boot   string          `json:"boot_id"`
	Memory watchdog.Memory `json:"memory"`
}

type runtimeRecord struct {
	Boot     string           `json:"boot_id"`
	RunID    string           `json:"run_id"`
	Deadline watchdog.Instant `json:"fence_deadline"`
}

// deadlinePace is how often a deadline that only moved away is written: an
// older one is an earlier one, and so a safe one.
const deadlinePace = time.Second

// NewRecorder keeps the record of the named node below the two directories,
// which it makes where they are missing.
func NewRecorder(stateDir, runtimeDir, group, node string, log hclog.Logger) (*Recorder, error) {
	boot, err := BootID()
	if err != nil {
		return nil, err
	}
	name := FileName(group, node)
	r := &Recorder{
		state: filepath.Join(stateDir, name), runtime: filepath.Join(runtimeDir, name),
		boot: boot, log: log, newest: make(chan watchdog.Memory, 1),
	}
	for _, dir := range []string{stateDir, runtimeDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make record directory: %w", err)
		}
	}
	return r, nil
}

// FileName is the name of a node's record: nothing that a group's name holds
// can lead out of the directory.
func FileName(group, node string) string {
	clean := func(s string) string {
		return strings.Map(func(c rune) rune {
			switch {
			case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
				return c
			}
			return '+'
		}, s)
	}
	return clean(group) + "." + clean(node) + ".json"
}

// Load is the memory of an earlier life; zero if there was none. A record of
// another boot keeps what a reboot does not void.
func (r *Recorder) Load() (watchdog.Memory, error) {
	var s stateRecord
	if err := ReadJSON(r.state, &s); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return watchdog.Memory{}, nil
		}
		return watchdog.Memory{}, fmt.Errorf("load record: %w", err)
	}
	if s.Boot != r.boot {
		return s.Memory.Rebooted(), nil
	}
	m := s.Memory
	m.Deadline = 0
	var d runtimeRecord
	switch err := ReadJSON(r.runtime, &d); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return m, fmt.Errorf("load record: %w", err)
	case d.Boot == r.boot && d.RunID == m.RunID:
		m.Deadline = d.Deadline
	}
	r.written = m
	return m, nil
}

// Remember takes the newest memory. It never blocks.
func (r *Recorder) Remember(m watchdog.Memory) {
	for {
		select {
		case r.newest <- m:
			return
		default:
		}
		select {
		case <-r.newest:
		default:
		}
	}
}

// Run writes until ctx ends, then what is left.
func (r *Recorder) Run(ctx context.Context) error {
	failing := false
	write := func(m watchdog.Memory) {
		err := r.write(m)
		switch {
		case err != nil && !failing:
			r.log.Error("record not written: a restart of the watchdog would not know this", "error", err)
		case err == nil && failing:
			r.log.Info("record written again")
		}
		failing = err != nil
	}
	for {
		select {
		case m := <-r.newest:
			write(m)
		case <-ctx.Done():
			last := r.last
			select {
			case last = <-r.newest:
			default:
			}
			if last != (watchdog.Memory{}) { // else nothing was ever to be written
				r.deadlineAt = time.Time{} // the next life has nothing else to go by
				write(last)
			}
			if err := r.closeDeadline(); err != nil {
				r.log.Warn("record of the deadline not closed", "error", err)
			}
			return context.Cause(ctx)
		}
	}
}

func (r *Recorder) write(m watchdog.Memory) error {
	r.last = m
	lasting, was := m, r.written
	lasting.Deadline, was.Deadline = 0, 0
	if lasting != was {
		if err := WriteJSON(r.state, stateRecord{r.boot, m}, How{Sync: true}); err != nil {
			return err
		}
	}
	// The deadline to disk: at once when there was none, when it came nearer or
	// its Redis is another, seldom when it only moved on.
	if m.Deadline != r.written.Deadline || m.RunID != r.written.RunID {
		nearer := m.Deadline < r.written.Deadline || r.written.Deadline == 0 || m.RunID != r.written.RunID
		if nearer || time.Since(r.deadlineAt) >= deadlinePace {
			if err := r.writeDeadline(runtimeRecord{r.boot, m.RunID, m.Deadline}); err != nil {
				return err
			}
			r.deadlineAt = time.Now()
		} else {
			m.Deadline = r.written.Deadline
		}
	}
	r.written = m
	return nil
}

// deadlineSize is more than a deadline's record takes; spaces fill it.
const deadlineSize = 256

// writeDeadline rewrites the record in place: one small write, which nothing
// but the death of the host can tear, and that voids it. A file made anew every
// second would be the dearest thing an idle watchdog does.
func (r *Recorder) writeDeadline(d runtimeRecord) (err error) {
	b, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode %q: %w", r.runtime, err)
	}
	if r.deadline == nil {
		if err := WriteJSON(r.runtime, d, How{}); err != nil {
			return err
		}
		r.deadline, err = os.OpenFile(r.runtime, os.O_WRONLY, 0)
		return err
	}
	b = append(b, bytes.Repeat([]byte{' '}, max(deadlineSize-len(b), 0))...)
	if _, err := r.deadline.WriteAt(b, 0); err != nil {
		return errors.Join(err, r.closeDeadline())
	}
	return nil
}

// closeDeadline has the next write make the file anew.
func (r *Recorder) closeDeadline() error {
	if r.deadline == nil {
		return nil
	}
	err := r.deadline.Close()
	r.deadline = nil
	return err
}
