package daemon

// What is counted, for the metrics. Nothing is decided by it.

import (
	"errors"
	"time"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/metrics"
	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// onTurn counts a decision, and a phase that was seen to change by it.
func (x *node) onTurn(t agent.Turn) {
	x.metrics.Step(t.Waited)
	x.late.seen(t.Waited, agent.Boottime())
	if t.From != t.To {
		x.turned.Store(true)
		x.metrics.Transition(t.From, t.To, t.Reason)
		x.openedAgain(t)
		x.notifyHooks(t)
	}
}

func (x *node) onRound(_ time.Duration, err error) {
	if _, garbage := errors.AsType[*grant.GarbageError](err); garbage {
		x.metrics.BadAnswer(metrics.SourceEtcd)
	}
}

// countAgreement counts a change of the master in etcd, and how long the record
// took after the majority's word. A watchdog that has just started has seen
// neither.
func (x *node) countAgreement(before, now watchdog.Agreement, majority watchdog.Sentinels) {
	if before.Master == "" || now == before {
		return
	}
	if now.Master != before.Master {
		x.metrics.Switched()
	}
	if majority.Master == now.Master && majority.Epoch == now.Epoch {
		x.metrics.Agreed(agent.Boottime().Sub(majority.NamedSince))
	}
}

// countTotals takes over what the adapters count by themselves.
func (x *node) countTotals() {
	d := x.gate.Details()
	t := metrics.Totals{
		Armed: d.Armed, ArmErrors: d.ArmErrors, BadRedis: d.Garbage,
		HistoryDropped: int64(x.keeper.HistoryDropped()),
	}
	for _, s := range x.watcher.View().Sentinels {
		t.BadSentinels += int64(s.Garbage)
	}
	x.metrics.Totals(t)
	if at := d.LastFence.At; at != x.fencedAt {
		x.fencedAt = at
		x.metrics.Refused(d.LastFence.Decision)
	}
}
