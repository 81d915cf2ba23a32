package daemon

// What the service manager is told: READY once protection is in force, the
// phase and reason, and WATCHDOG=1 only while every decision loop turns.

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/cmd/internal/memory"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

const (
	notifyEvery   = time.Second
	notifyAtFirst = 250 * time.Millisecond // until protection is in force: somebody waits for it
)

func (d *Daemon) notify(ctx context.Context) error {
	probe, cancel := context.WithTimeout(ctx, 2*time.Second)
	kept, err := d.fds.Probe(probe)
	cancel()
	if err != nil && ctx.Err() == nil {
		d.log.Warn("descriptor store not probed", "error", err)
	}
	if !kept {
		d.log.Info("no descriptor store: the fence is armed only while the watchdog lives")
	}
	t := serviceState{d: d, later: patience{late: &d.late}}
	for {
		t.turn()
		every := notifyEvery
		if !t.ready {
			every = notifyAtFirst
		}
		if err := untilBeat(ctx, every); err != nil {
			return err
		}
	}
}

type serviceState struct {
	d       *Daemon
	trimmed time.Time
	thrift  memory.Thrift
	ready   bool
	line    string
	failing bool
	later   patience
}

func (t *serviceState) turn() {
	d := t.d
	var errs []error
	later := t.ready && t.later.waits(agent.Boottime())
	line, ready := t.line, t.ready
	if !later {
		line, ready = summary(d)
	}
	if ready && !t.ready {
		err := d.notifier.Ready(line)
		t.ready = err == nil
		d.ready.Store(t.ready)
		if t.ready {
			d.log.Info("protection in force", "status", line)
		}
		errs = append(errs, err)
	}
	if line != t.line {
		err := d.notifier.Status(line)
		if err == nil {
			t.line = line
		}
		errs = append(errs, err)
	}
	if d.Alive() {
		errs = append(errs, d.notifier.Alive())
	}
	failed := false
	for _, err := range errs {
		if err != nil {
			failed = true
			if !t.failing {
				d.log.Warn("service manager not told", "error", err)
			}
		}
	}
	t.failing = failed
	if t.ready && !later && time.Since(t.trimmed) >= memory.TrimEvery {
		t.trimmed = time.Now()
		was := t.thrift.Tight()
		tight, err := t.thrift.Turn()
		if err != nil {
			d.log.Debug("memory not given back or not locked", "error", err)
		}
		if tight != was {
			d.log.Info("memory of the host", "short", tight)
		}
	}
}

// summary is the line `systemctl status` shows, and whether every node is ready:
// a build that cannot do its part is said, and not waited for.
func summary(d *Daemon) (string, bool) {
	ready := true
	var words []string
	for _, s := range d.Status() {
		word := fmt.Sprintf("%s/%s: %s (%s)", s.Group, s.Node, s.Phase, s.Reason)
		ready = ready && s.Ready
		if !s.Guarded {
			word += ", not guarded"
			for _, f := range s.Faults {
				word += ": " + f.ID
				break
			}
		}
		words = append(words, word)
	}
	if text, _ := d.reloads.refused(); text != "" {
		words = append(words, "the configuration on disk was refused")
	}
	return strings.Join(words, "; "), ready
}
