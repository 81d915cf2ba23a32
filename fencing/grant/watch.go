package grant

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// watchAgain is how long a watch that ended rests.
const watchAgain = time.Second

// watch turns changes in etcd into rounds. It is a hint and nothing else: it
// may be late, or silent, and nothing depends on it.
func (k *Keeper) watch(ctx context.Context) {
	for attempt := 0; ; attempt++ {
		at := (int(k.store.preferred.Load()) + attempt) % len(k.store.members)
		if began := time.Now(); k.watchAt(ctx, at) || time.Since(began) > watchAgain {
			attempt = -1 // it watched for a while: the preferred member is next
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchAgain):
		}
	}
}

// watchAt watches at one member until something ends it, or another member has
// become the preferred one, which is what it returns: a watch does not notice
// a frozen member, the rounds do.
func (k *Keeper) watchAt(ctx context.Context, at int) (moved bool) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	m, began := k.store.members[at], k.store.preferred.Load()
	if m.user != "" && m.currentToken() == "" && !m.authOff() {
		return false // the rounds ask for a token
	}
	watched := []string{k.keys.master, k.keys.grant, k.keys.control, k.keys.maintenance, k.keys.asks, k.keys.plannedFailover}
	ended := make(chan struct{}, len(watched))
	for _, key := range watched {
		events := m.client.Watch(ctx, key)
		go func() { // ends with ctx: the client closes events
			defer func() { ended <- struct{}{} }()
			for resp := range events {
				if resp.Err() != nil {
					return
				}
				switch {
				case len(resp.Events) == 0:
				case key == k.keys.asks:
					if kv := resp.Events[len(resp.Events)-1].Kv; kv != nil {
						k.heardAsk(kv.Value)
					}
				default:
					k.Hint()
				}
			}
		}()
	}
	running := len(watched)
	for running == len(watched) && !moved {
		select {
		case <-ended:
			running--
		case <-k.moved:
			moved = k.store.preferred.Load() != began
		}
	}
	cancel()
	for range running {
		<-ended
	}
	return moved
}
