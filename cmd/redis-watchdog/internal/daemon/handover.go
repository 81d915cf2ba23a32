package daemon

// A handover that somebody has ordered: Redis is looked at often, and what is
// seen goes to etcd at once, where the command waits for it.

import (
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// handoverPoll is how often Redis is looked at while an order stands: writers
// wait for the offsets to be found equal.
const handoverPoll = 20 * time.Millisecond

// ordered is the handover that was last heard of, standing or not.
func (x *node) ordered() watchdog.Handover {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.handover
}

// followHandover sets how often the gate looks, and has it look when an order
// is new.
func (x *node) followHandover(h watchdog.Handover) {
	x.mu.Lock()
	news, every := h != x.handover, x.polls
	x.handover = h
	x.mu.Unlock()
	if h.ID != "" && agent.Boottime() < h.Until {
		every = handoverPoll
	}
	if every > 0 {
		x.gate.SetPollEvery(every)
	}
	if news {
		x.gate.ObserveNow()
	}
}

// answerHandover tells the one who gave the order what is seen.
func (x *node) answerHandover(r watchdog.Redis) {
	h := x.ordered()
	if h.ID == "" {
		return
	}
	if agent.Boottime() >= h.Until {
		x.followHandover(watchdog.Handover{})
		return
	}
	d := x.gate.Details()
	a := grant.HandoverAnswer{
		ID: h.ID, Stop: h.Stop, Role: r.Role.String(), RunID: r.RunID,
		Following: r.Following, LinkUp: r.LinkUp, Offset: r.Offset,
		Vetoed: d.Priority == "0", Priority: d.Originals.ReplicaPriority,
		Held:    h.Stop && r.Role == watchdog.Master && r.Locked,
		Serving: r.Role == watchdog.Master && !r.Held && !r.Locked,
	}
	if r.Answer != watchdog.Up {
		a.Fault = "Redis is " + r.Answer.String()
	}
	x.keeper.AnswerHandover(a)
}
