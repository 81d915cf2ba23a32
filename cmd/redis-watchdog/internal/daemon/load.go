package daemon

// How much there is to do, and how late it is done.

import (
	"context"
	"time"

	"github.com/redis-watchdog/redis-watchdog/cmd/internal/memory"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/metrics"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// beatEvery is how often it is measured how late we are.
const beatEvery = 500 * time.Millisecond

// beat measures how late this process is run, until ctx ends.
func (d *Daemon) beat(ctx context.Context) error {
	var heap memory.Heap
	for {
		late, err := nextBeat(ctx, beatEvery)
		if err != nil {
			return err
		}
		d.counts.Late(late)
		d.late.seen(late, agent.Boottime())
		heap.Hurry(d.lately() > 0)
	}
}

// load is what is to be done now.
func (d *Daemon) load() metrics.Load {
	l := metrics.Load{LeftOut: d.late.left.Load()}
	now := agent.Boottime()
	for i, n := range d.nodes() {
		if i == 0 { // they share it
			l.Records, l.Claims, l.PassedOver = n.store.Waiting(), n.store.Claiming(), n.store.PassedOver()
		}
		if at := n.agent.State().Coordinator.Grant.RenewedAt; at != 0 && n.renewing() {
			l.OldestRenewal = max(l.OldestRenewal, now.Sub(at).Seconds())
		}
	}
	if r := d.auditing.Load(); r != nil {
		s := r.State()
		l.Auditing, l.Waits = s.Auditing, s.Waits
	}
	return l
}

// renewing is whether the grant of this node is to be renewed.
func (x *node) renewing() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.order.Grant == watchdog.GrantRenew
}
