package watched

import (
	"context"
	"sync"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
)

const narrateEvery = 20 * time.Millisecond

// Narrate marks on the timeline whatever a watchdog's node turns into, with
// the reason, until the lab ends.
func (w *World) Narrate() {
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	for _, d := range w.Watchdogs {
		watching.Go(func() { d.narrate(ctx) })
	}
	w.T.Cleanup(func() {
		cancel()
		watching.Wait()
	})
}

func (d *Watchdog) narrate(ctx context.Context) {
	tick := time.NewTicker(narrateEvery)
	defer tick.Stop()
	phase, reason := "", ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s, err := d.TryStatus()
		if err != nil || s.Phase == phase && s.Reason == reason {
			continue
		}
		phase, reason = s.Phase, s.Reason
		d.lab.MarkAt(lab.Now(), d.Name, "%s: %s (row %d)", phase, reason, s.Row)
	}
}
