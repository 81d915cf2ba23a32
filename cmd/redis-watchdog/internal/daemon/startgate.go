package daemon

// The start gate: what it has to be told before the next start of Redis, and
// what is said of a Redis that it has shut.

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/startgate"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

const (
	lookAtStart = time.Second
	// heldShutAfter is how long a Redis that came up shut may take to be opened
	// before it is a fault: a majority unbroken for 3 s, the grant, and some.
	heldShutAfter = 15 * time.Second
)

// watchStart keeps the note by which the start gate leaves a Redis open that
// nobody would open, and notes since when one is held shut.
func (x *node) watchStart(ctx context.Context) error {
	var written startgate.Note
	known, failing := false, false
	for {
		x.mu.Lock()
		orders, heard := x.ordersNow, x.coordinator.RoundAt != 0
		x.mu.Unlock()
		// Before etcd has been heard an order of it is not known to be gone.
		if note := startgate.Leave(orders); note != written && (heard || note != startgate.Note{}) || heard && !known {
			err := note.Write(x.records.Dir, x.group, x.name)
			if err != nil && !failing {
				x.log.Error("the start gate is not told whether to leave redis open", "error", err)
			}
			if failing = err != nil; !failing {
				written, known = note, true
			}
		}
		s, now := x.agent.Status(agent.Extras{}), agent.Boottime()
		held := s.Redis.StartedFenced && s.Redis.Role == watchdog.Nowhere && s.Redis.Answer == watchdog.Up
		x.shut.see(held, s.Reason, now)
		if err := untilBeat(ctx, lookAtStart); err != nil {
			return err
		}
	}
}

// shut is since when a Redis that was started shut is so. The zero value is one
// that is not.
type shut struct {
	mu    sync.Mutex
	since watchdog.Instant // 0: it is not
	why   string           // it is not opened; empty: it has not been shut for long
}

// see takes a look at it: whether it is shut now, and the reason of the decision.
func (s *shut) see(now bool, reason string, at watchdog.Instant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !now:
		s.since, s.why = 0, ""
	case s.since == 0:
		s.since = at
	case at.Sub(s.since) >= heldShutAfter:
		s.why = reason
	}
}

// because is why it is not opened; empty: it is not shut, or not for long.
func (s *shut) because() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}

// heldShut is the fault of a Redis that came up shut and is not opened.
func (x *node) heldShut() (text, remedy string) {
	why := x.shut.because()
	text = fmt.Sprintf("Redis was started shut and has answered nobody since, because of %s", why)
	switch why {
	case "":
		return "", ""
	case "data_behind", "data_unrelated", "data_unknown":
		s := x.agent.State()
		if s.Data().Good() { // a replica that can be reached has more
			return text + ": its data is empty or behind a reachable replica's", fmt.Sprintf("let Sentinel promote that replica, or accept the loss: redis-watchdog unfence %s --force", x.group)
		}
		return text + ": " + dataText(s), x.dataRemedy(s)
	case "replicas_forgotten":
		return text + ": the Sentinels have forgotten the replicas, which may have more data", fmt.Sprintf("look at their data; accepting the loss: redis-watchdog unfence %s --force", x.group)
	case "maintenance":
		return text, "redis-watchdog maintenance off " + x.group
	case "fenced_by_hand":
		return text, "redis-watchdog unfence " + x.group
	}
	const itself = "it opens by itself once etcd and a majority of the Sentinels answer and name it"
	if x.unit == "" { // shut by its redis.conf: a gate has a unit
		return text, itself
	}
	return text, fmt.Sprintf(itself+"; unguarded, at your own risk: "+
		"systemctl stop %[2]s; redis-watchdog start-gate off --open-files; redis-watchdog release %[1]s --local; systemctl start %[2]s", x.group, x.unit)
}
