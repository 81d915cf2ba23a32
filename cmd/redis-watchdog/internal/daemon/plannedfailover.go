package daemon

// A planned failover that somebody has ordered: Redis is looked at often, and what is
// seen goes to etcd at once, where the command waits for it.

import (
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// plannedFailoverPoll is how often Redis is looked at while an order stands: writers
// wait for the offsets to be found equal.
const plannedFailoverPoll = 20 * time.Millisecond

// ordered is the planned failover that was last heard of, standing or not.
func (x *node) ordered() watchdog.PlannedFailover {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.planned
}

// followPlannedFailover sets how often the gate looks, and has it look when an order
// is new.
func (x *node) followPlannedFailover(h watchdog.PlannedFailover) {
	x.mu.Lock()
	news, every := h != x.planned, x.polls
	x.planned = h
	x.mu.Unlock()
	if h.ID != "" && agent.Boottime() < h.Until {
		every = plannedFailoverPoll
	}
	if every > 0 {
		x.gate.SetPollEvery(every)
	}
	if news {
		x.gate.ObserveNow()
	}
}

// answerPlannedFailover tells the one who gave the order what is seen.
func (x *node) answerPlannedFailover(r watchdog.Redis) {
	h := x.ordered()
	if h.ID == "" {
		return
	}
	if agent.Boottime() >= h.Until {
		x.followPlannedFailover(watchdog.PlannedFailover{})
		return
	}
	d := x.gate.Details()
	a := grant.PlannedFailoverAnswer{
		ID: h.ID, Stop: h.Stop, Role: r.Role.String(), RunID: r.RunID,
		Following: r.Following, LinkUp: r.LinkUp, Offset: r.Offset,
		Vetoed: d.Priority == "0", Priority: d.Originals.ReplicaPriority,
		Held:    h.Stop && r.Role == watchdog.Master && r.Locked,
		Serving: r.Role == watchdog.Master && !r.Held && !r.Locked,
	}
	if r.Answer != watchdog.Up {
		a.Fault = "Redis is " + r.Answer.String()
	}
	x.keeper.AnswerPlannedFailover(a)
}
