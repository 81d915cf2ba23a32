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
		m := k.store.members[(int(k.store.preferred.Load())+attempt)%len(k.store.members)]
		k.watchAt(ctx, m)
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchAgain):
		}
	}
}

// watchAt watches at one member until something ends it. A watch by itself
// does not notice a frozen member; the connection's pings do.
func (k *Keeper) watchAt(ctx context.Context, m *member) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	if m.user != "" && m.currentToken() == "" && !m.authOff() {
		return // the rounds ask for a token
	}
	ended := make(chan struct{}, 4)
	watched := []string{k.keys.master, k.keys.grant, k.keys.control, k.keys.maintenance}
	for _, key := range watched {
		events := m.client.Watch(ctx, key)
		go func() { // ends with ctx: the client closes events
			defer func() { ended <- struct{}{} }()
			for resp := range events {
				if resp.Err() != nil {
					return
				}
				if len(resp.Events) > 0 {
					k.Poke()
				}
			}
		}()
	}
	<-ended
	cancel()
	for range len(watched) - 1 {
		<-ended
	}
}
