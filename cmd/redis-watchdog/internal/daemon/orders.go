package daemon

// The orders given on this host, for the day the coordinator is away.

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/orders"
)

const readOrdersEvery = time.Second

type localOrders struct {
	stateDir, group, node string
	log                   hclog.Logger

	mu  sync.Mutex
	now orders.Order
}

func (o *localOrders) current() orders.Order {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.now
}

// run reads the order's file again and again, and calls changed when it says
// something new. One that cannot be read changes nothing.
func (o *localOrders) run(ctx context.Context, changed func()) error {
	failing := false
	for {
		order, err := orders.Read(o.stateDir, o.group, o.node)
		if err != nil && !failing {
			o.log.Error("local order not read: the one before it is in force", "error", err)
		}
		failing = err != nil
		if err == nil && order != o.current() {
			o.mu.Lock()
			o.now = order
			o.mu.Unlock()
			o.log.Info("local order", "fence", order.Fence, "release", order.Release, "by", order.By, "why", order.Reason)
			changed()
		}
		if err := untilBeat(ctx, readOrdersEvery); err != nil {
			return err
		}
	}
}
