package grant

// How a grant that nobody asks for any more gets off the lease that others renew: see
// leases.go.

import (
	"context"
	"errors"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// letGo moves the grants whose Keepers have ceased to ask off a lease that others have
// just renewed.
func (s *Store) letGo(lease clientv3.LeaseID, ttl int64) {
	l, now := &s.leases, s.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count(lease, now)
	ceased := l.ceased(lease, now, time.Duration(ttl)*time.Second)
	look := now.Sub(l.looked[lease]) >= attachedEvery || l.looked[lease] == 0
	if len(ceased) == 0 && !look || l.sweeps[lease] {
		return
	}
	l.sweeps[lease] = true
	for k, h := range ceased {
		l.given[k.keys.grant] = h.grant.modified
	}
	s.requests.Go(func() {
		defer func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			delete(l.sweeps, lease)
		}()
		for k, h := range ceased {
			left := h.asked.Add(time.Duration(ttl) * time.Second).Sub(s.now())
			if err := s.moveOff(k.keys.grant, h.grant, left); err != nil {
				k.log.Warn("a grant that is not renewed could not be taken off the lease of this host; tried again", "error", err)
				continue
			}
			l.mu.Lock()
			if now := l.hangs[k]; now.grant.modified == h.grant.modified {
				delete(l.hangs, k)
			}
			l.mu.Unlock()
		}
		if !look {
			return
		}
		if err := s.moveStrangersOff(lease, ttl); err != nil {
			s.log.Warn("what hangs on the lease of this host could not be looked through; tried again", "error", err)
			return
		}
		l.mu.Lock()
		l.looked[lease] = now
		l.mu.Unlock()
	})
}

// count notes a beat in which the lease was renewed. Who calls it holds mu.
func (l *leases) count(lease clientv3.LeaseID, now watchdog.Instant) {
	if now.Sub(l.beats[lease]) < missedApart {
		return
	}
	l.beats[lease] = now
	for k, h := range l.hangs {
		if h.grant.lease == lease {
			h.missed++
			l.hangs[k] = h
		}
	}
}

// ceased are the grants on that lease whose Keepers have not asked for a while. Who
// calls it holds mu.
func (l *leases) ceased(lease clientv3.LeaseID, now watchdog.Instant, ttl time.Duration) map[*Keeper]hanging {
	recent := func(k *Keeper, h hanging) bool {
		patience := letGoAfter
		if h.fresh || !h.ended && k.newestWant().holding() {
			patience = max(patience, ttl)
		}
		return h.missed < letGoMissed || now.Sub(h.asked) < patience
	}
	asks := map[string]bool{} // perhaps the next life of one that has ended
	for k, h := range l.hangs {
		if !h.ended && recent(k, h) {
			asks[k.keys.grant] = true
		}
	}
	all := map[*Keeper]hanging{}
	for k, h := range l.hangs {
		switch {
		case h.grant.lease != lease:
			if h.ended && now.Sub(h.asked) > attachedEvery {
				delete(l.hangs, k) // what it hangs on is looked through without it
			}
		case recent(k, h):
		case asks[k.keys.grant]:
			delete(l.hangs, k)
		default:
			all[k] = h
		}
	}
	return all
}

// moveOff puts a grant, if it stands as it was read, under a lease of its own, which
// ends no earlier than left from now.
func (s *Store) moveOff(key string, grant entry, left time.Duration) error {
	id := randomLease()
	ttl := int64((max(left, leaseAtLeast) + time.Second - 1) / time.Second)
	_, err := ask(context.Background(), s, "make lease to let a grant lapse", besideTimeout, func(ctx context.Context, m *member) (*pb.LeaseGrantResponse, error) {
		return m.lease.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: id, TTL: ttl})
	})
	if err != nil && !errors.Is(err, rpctypes.ErrLeaseExist) {
		return err
	}
	_, err = s.transact(context.Background(), "let a grant lapse", besideTimeout, []clientv3.Cmp{unchanged(key, grant)},
		[]clientv3.Op{clientv3.OpPut(key, string(grant.value), clientv3.WithLease(clientv3.LeaseID(id)))}, nil)
	return err // lost: it was written or deleted meanwhile, and is looked at again
}

// moveStrangersOff moves off what no Keeper of this process knows to hang there: the
// grant of a group that is configured no more.
func (s *Store) moveStrangersOff(lease clientv3.LeaseID, ttl int64) error {
	resp, err := ask(context.Background(), s, "ask what hangs on a lease", besideTimeout, func(ctx context.Context, m *member) (*pb.LeaseTimeToLiveResponse, error) {
		return m.lease.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: int64(lease), Keys: true})
	})
	if err != nil {
		return err
	}
	var problems []error
	for _, key := range s.leases.unknown(lease, resp.Keys) {
		if !strings.HasPrefix(key, s.prefix+"grants/") {
			continue
		}
		got, err := s.transact(context.Background(), "read grant", besideTimeout, nil, []clientv3.Op{clientv3.OpGet(key)}, nil)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		kvs := got.Responses[0].GetResponseRange().GetKvs()
		if len(kvs) == 0 || clientv3.LeaseID(kvs[0].Lease) != lease || !s.leases.give(lease, key, kvs[0].ModRevision) {
			continue
		}
		s.log.Info("a grant of this host that nobody renews is left to lapse", "key", key)
		problems = append(problems, s.moveOff(key, newEntry(kvs[0]), time.Duration(ttl)*time.Second))
	}
	return errors.Join(problems...)
}

// unknown are the keys that no Keeper has shown to hang on that lease.
func (l *leases) unknown(lease clientv3.LeaseID, keys [][]byte) (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range keys {
		if l.strange(lease, string(key)) {
			all = append(all, string(key))
		}
	}
	return all
}

// give lets a grant go that no Keeper has shown to hang on that lease by now.
func (l *leases) give(lease clientv3.LeaseID, key string, revision int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.strange(lease, key) {
		return false
	}
	l.given[key] = revision
	return true
}

// strange is whether no Keeper has shown a grant to hang on that lease. Who calls it
// holds mu.
func (l *leases) strange(lease clientv3.LeaseID, key string) bool {
	for k, h := range l.hangs {
		if k.keys.grant == key && h.grant.lease == lease {
			return false
		}
	}
	return true
}
