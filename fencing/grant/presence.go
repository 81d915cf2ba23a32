package grant

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// A node is present in etcd by a lease, and not by writing again and again: what
// it says of itself hangs on the lease, is written when it has changed, and
// disappears with a watchdog that has died. A keep-alive is answered by the
// leader from memory: it costs no space and no write.

const (
	presenceLasts = 30 * time.Second
	presenceEvery = presenceLasts / 3
)

// presence is the lease of one node.
type presence struct {
	making chan struct{} // holds one: who has it may make the lease

	mu    sync.Mutex
	lease clientv3.LeaseID // zero: none, or it is gone
	at    watchdog.Address // under which the node is known
}

func newPresence() *presence { return &presence{making: make(chan struct{}, 1)} }

func (p *presence) current() (clientv3.LeaseID, watchdog.Address) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lease, p.at
}

func (p *presence) set(lease clientv3.LeaseID, at watchdog.Address) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lease, p.at = lease, at
}

// lost forgets a lease that is gone, unless there is another by now.
func (p *presence) lost(lease clientv3.LeaseID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lease == lease {
		p.lease = 0
	}
}

// presentAs is the lease to write under as self. Under another address it is
// another lease: what stands there lapses with its own.
func (p *publisher) presentAs(ctx context.Context, self watchdog.Address) (clientv3.LeaseID, error) {
	own := p.present
	select {
	case own.making <- struct{}{}:
		defer func() { <-own.making }()
	case <-ctx.Done():
		return 0, fmt.Errorf("make lease of presence: %w", context.Cause(ctx))
	}
	if lease, at := own.current(); lease != 0 && at == self {
		return lease, nil
	}
	id := randomLease()
	_, err := ask(ctx, p.store, "make lease of presence", besideTimeout, func(ctx context.Context, m *member) (*pb.LeaseGrantResponse, error) {
		return m.lease.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: id, TTL: int64(presenceLasts / time.Second)})
	})
	if err != nil && !errors.Is(err, rpctypes.ErrLeaseExist) {
		return 0, err
	}
	own.set(clientv3.LeaseID(id), self)
	return clientv3.LeaseID(id), nil
}

// keepPresent keeps the lease alive until ctx ends. When it is gone, or our
// address is another, all that was said is said again under a new one.
func (p *publisher) keepPresent(ctx context.Context) {
	every := time.NewTicker(presenceEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		lease, at := p.present.current()
		self := p.writer()
		if self == "" || lease != 0 && at == self && !p.presenceGone(ctx, lease) {
			continue
		}
		p.present.lost(lease)
		p.statuses.again()
		p.reports.again()
		p.disks.again()
	}
}

// presenceGone renews the lease, and says whether etcd has it no more. One that
// could not be asked for may stand yet.
func (p *publisher) presenceGone(ctx context.Context, lease clientv3.LeaseID) bool {
	r := p.store.keepAlive(ctx, lease, besideTimeout)
	return r.err == nil && r.ttl <= 0
}

// say writes one key under the presence. The error of a lease that went while
// nobody looked is no reason to wait: it is made anew, once.
func (p *publisher) say(ctx context.Context, step, key string, self watchdog.Address, data []byte) error {
	for attempt := 0; ; attempt++ {
		lease, err := p.presentAs(ctx, self)
		if err != nil {
			return err
		}
		_, err = p.store.transact(ctx, step, besideTimeout, nil,
			[]clientv3.Op{clientv3.OpPut(key, string(data), clientv3.WithLease(lease))}, nil)
		if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return err
		}
		p.present.lost(lease)
		if attempt > 0 {
			return err
		}
	}
}
