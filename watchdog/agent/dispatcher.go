package agent

// The dispatcher: the newest want to each adapter, only when it is a new one.

import (
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

type dispatcher struct {
	cfg    Config
	told   bool // something was brought once
	gate   watchdog.Gate
	grant  GrantOrder
	poll   bool
	polled watchdog.Instant // the newest answer when Await last had them asked
	pace   time.Duration
	runID  string
	memory watchdog.Memory
}

func (h *dispatcher) bring(p watchdog.Policy, s watchdog.State) {
	w := s.Want()
	first := !h.told
	h.told = true
	// The gate first: it is the one that must not wait.
	if first || w.Gate != h.gate {
		h.gate = w.Gate
		h.cfg.Gate.Want(w.Gate)
	}
	if again := w.Await && s.Sentinels.SentAt != h.polled; again || w.PollNow && !h.poll {
		h.polled = s.Sentinels.SentAt
		h.cfg.Sentinels.PollNow()
	}
	h.poll = w.PollNow
	if s.Redis.RunID != h.runID {
		h.runID = s.Redis.RunID
		h.cfg.Sentinels.Identify(s.Redis.RunID)
	}
	t := p.Timing(s.Sentinels.DownAfter)
	if t.Poll != h.pace {
		h.pace = t.Poll
		h.cfg.Sentinels.Pace(t.Poll)
	}
	idle := s.Redis.Role == watchdog.Replica && w.Grant == watchdog.GrantLeave && w.Propose == (watchdog.Proposal{})
	g := GrantOrder{
		Self: s.Self(), Grant: w.Grant, Propose: w.Propose, View: s.Coordinator.Agreement,
		Opened: s.Verdict.Row == watchdog.RowServe && s.Memory.Granted != "",
		Disk:   s.Data().FromDisk(),
		Timing: t, Idle: idle,
	}
	if s.Data().Rests() {
		g.Rests = s.Coordinator.Record
	}
	if first || g != h.grant {
		h.grant = g
		h.cfg.Grant.Want(g)
	}
	if first || s.Memory != h.memory {
		h.memory = s.Memory
		h.cfg.Remember(s.Memory)
	}
}
