package daemon

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate"
	"github.com/redis-watchdog/redis-watchdog/systemd"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
	"github.com/redis-watchdog/redis-watchdog/watchdog/signal"
)

const (
	prepareTimeout = 10 * time.Second
	prepareAgain   = 30 * time.Second
	lookForKilled  = time.Second
	restoreTimeout = 30 * time.Second
)

// redisStop is the last step against a Redis that is not seen to refuse: it is
// killed, kept down where it has a unit, and started again when the node is
// released. It is safe for concurrent use, and implements gate.Killer.
type redisStop struct {
	control redisControl
	unit    string // empty: none is configured
	log     hclog.Logger

	mu        sync.Mutex
	unready   error  // why a Redis that hangs could not be killed; nil: it could
	blockedBy string // the file that keeps a killed Redis down; empty: none does
	killed    string // the run id of one that was killed and that nothing keeps down; empty: none
}

// Kill implements gate.Killer. Where no unit is configured it remembers which
// Redis it was: nothing but that is left of it to be told.
func (s *redisStop) Kill(ctx context.Context, pid int, runID string) error {
	err := s.control.Kill(ctx, pid, runID)
	if err == nil && s.unit == "" {
		s.mu.Lock()
		s.killed = runID
		s.mu.Unlock()
	}
	return err
}

// prepare readies the kill for every new run of Redis, while all is well: when it
// is needed nothing of it may be missing. It ends with ctx.
func (s *redisStop) prepare(ctx context.Context, newRunID signal.Signal, details func() gate.Details) error {
	again := time.NewTimer(prepareAgain)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-newRunID:
		case <-again.C:
		}
		again.Reset(prepareAgain)
		d := details()
		if d.PID == 0 {
			continue
		}
		prepare, cancel := context.WithTimeout(ctx, prepareTimeout)
		err := s.control.Prepare(prepare, systemd.Claim{PID: d.PID, Uptime: agent.Boottime().Sub(d.StartedAt), Executable: d.Executable})
		cancel()
		s.mu.Lock()
		s.unready = err
		s.mu.Unlock()
	}
}

// watch finds out whether a Redis that is gone is one that was killed and is kept
// down, and starts it again when the node is released. It never starts one that
// somebody else has stopped. It ends with ctx.
func (s *redisStop) watch(ctx context.Context, status func() agent.Status) error {
	failing := false
	for {
		if err := untilBeat(ctx, lookForKilled); err != nil {
			return err
		}
		now := status()
		file := ""
		if now.Redis.Answer == watchdog.Absent {
			var err error
			if file, err = s.control.StartBlock(ctx); err != nil && ctx.Err() == nil {
				if !failing {
					s.log.Warn("service manager not asked whether redis is kept down", "unit", s.unit, "error", err)
				}
				failing = true
				continue
			}
			failing = false
		}
		if file != "" && now.Want.Gate.Release {
			s.restore(ctx)
			continue // look again whether it is still kept down
		}
		s.mu.Lock()
		s.blockedBy = file
		if now.Redis.Answer == watchdog.Up && now.Redis.RunID != s.killed || now.Want.Gate.Release {
			s.killed = "" // whoever supervises it, or somebody, has started it again
		}
		s.mu.Unlock()
	}
}

func (s *redisStop) restore(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, restoreTimeout)
	defer cancel()
	s.log.Info("released: starting the redis that was killed", "unit", s.unit)
	if err := s.control.Restore(ctx); err != nil {
		s.log.Error("killed redis not started", "unit", s.unit, "error", err)
	}
}

// faults are what an operator has to know of it.
func (s *redisStop) faults() (all []agent.Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unready != nil {
		all = append(all, agent.Fault{ID: "stop", Severity: agent.SeverityWarning,
			Text:   "a Redis that hangs could not be killed in time: " + s.unready.Error(),
			Remedy: "set nodes[].unit to the systemd unit of this Redis; as another user than root it takes the helper: systemctl status redis-watchdog-helper.socket"})
	}
	if s.blockedBy != "" {
		all = append(all, agent.Fault{ID: agent.FaultKilled, Severity: agent.SeverityError,
			Text:   fmt.Sprintf("%s was killed because it was not seen to refuse clients in time, and is kept down: it might serve beside another master", s.unit),
			Remedy: fmt.Sprintf("when its host is well again: rm %s && systemctl start %s", s.blockedBy, s.unit)})
	}
	if s.killed != "" {
		all = append(all, agent.Fault{ID: agent.FaultKilled, Severity: agent.SeverityError,
			Text:   "this Redis was killed because it was not seen to refuse clients in time: it might have served beside another master; no unit is configured (nodes[].unit), so nothing keeps it down",
			Remedy: "when its host is well again: start this Redis as you always do, if its supervisor has not; it is fenced as long as another is master"})
	}
	return all
}
