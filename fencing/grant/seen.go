package grant

// When a node was last listed or heard: seen/<group>/<address>, under a lease that
// every watchdog keeps alive which guards the node, or whose Sentinels list it. Where
// it has lapsed, nobody has for a day. It is etcd's lease that counts the day: it
// outlives every watchdog, no host's wall clock has a part in it, and what can go
// wrong with it (another leader begins it anew, nobody is asked while etcd is away)
// makes the day longer, never shorter. No decision rests on it.
//
// The key seen/<group> says that all nodes of the record had theirs once: before it
// stands, one that has none is not gone, but of a group that an older version kept.

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const (
	seenEvery = time.Hour
	// seenLook is how often it is looked whether a key has gone for another reason than
	// its lease: etcd was restored or made anew.
	seenLook = time.Minute
	// seenLasts is a day from the last time that it was kept alive, which was up to
	// seenEvery before the node was seen last.
	seenLasts = 24*time.Hour + seenEvery
)

// sightings is what this process has done of it.
type sightings struct {
	kept   map[watchdog.Address]watchdog.Instant // when it last kept the key of each node alive
	looked watchdog.Instant                      // when it last read the keys
}

// due is whether etcd has to be asked: a node is new or it is time, or a look is.
func (s *sightings) due(now watchdog.Instant, every time.Duration, nodes []watchdog.Address) bool {
	return s.looked == 0 || now.Sub(s.looked) >= min(seenLook, every) || slices.ContainsFunc(nodes, func(node watchdog.Address) bool {
		last := s.kept[node]
		return last == 0 || now.Sub(last) >= every
	})
}

// turnSeen keeps what stands of those nodes alive, and makes what is missing.
func (p *publisher) turnSeen(ctx context.Context, at *sightings, self watchdog.Address, nodes []watchdog.Address) error {
	now := p.store.now()
	maps.DeleteFunc(at.kept, func(node watchdog.Address, _ watchdog.Instant) bool { return !slices.Contains(nodes, node) })
	if !at.due(now, p.cfg.seenEvery, nodes) {
		return nil
	}
	prefix := p.keys.seen + "/"
	resp, err := p.store.transact(ctx, "read who was seen", besideTimeout, nil, []clientv3.Op{
		clientv3.OpGet(p.keys.seen, clientv3.WithCountOnly()), clientv3.OpGet(prefix, clientv3.WithPrefix())}, nil)
	if err != nil {
		return err
	}
	leases := map[watchdog.Address]clientv3.LeaseID{}
	for _, kv := range resp.Responses[1].GetResponseRange().GetKvs() {
		leases[watchdog.Address(strings.TrimPrefix(string(kv.Key), prefix))] = clientv3.LeaseID(kv.Lease)
	}
	at.looked = now
	var problems []error
	for _, node := range nodes {
		lease, stands := leases[node]
		if last := at.kept[node]; stands && last != 0 && now.Sub(last) < p.cfg.seenEvery {
			continue
		}
		gone := true
		if stands {
			r := p.store.keepAlive(ctx, lease, besideTimeout)
			if r.err != nil {
				problems = append(problems, r.err)
				continue
			}
			gone = r.ttl <= 0
		}
		if gone {
			if err := p.makeSeen(ctx, node, self); err != nil {
				problems = append(problems, err)
				continue
			}
		}
		at.kept[node] = now
	}
	if resp.Responses[0].GetResponseRange().GetCount() == 0 {
		problems = append(problems, p.beginSeen(ctx, self, leases))
	}
	return errors.Join(problems...)
}

// makeSeen makes the key of one node, unless somebody has.
func (p *publisher) makeSeen(ctx context.Context, node, self watchdog.Address) error {
	id := randomLease()
	_, err := ask(ctx, p.store, "make lease of who was seen", besideTimeout, func(ctx context.Context, m *member) (*pb.LeaseGrantResponse, error) {
		return m.lease.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: id, TTL: int64(p.cfg.seenLasts / time.Second)})
	})
	if err != nil && !errors.Is(err, rpctypes.ErrLeaseExist) {
		return err
	}
	key := p.keys.seen + "/" + string(node)
	lease := clientv3.LeaseID(id)
	resp, err := p.store.transact(ctx, "write who was seen", besideTimeout, []clientv3.Cmp{unchanged(key, entry{})},
		[]clientv3.Op{clientv3.OpPut(key, string(self), clientv3.WithLease(lease))}, []clientv3.Op{clientv3.OpGet(key)})
	if err != nil || resp.Succeeded {
		return err
	}
	if kvs := resp.Responses[0].GetResponseRange().GetKvs(); len(kvs) > 0 && kvs[0].Lease == id {
		return nil // a hedged copy of our own was first
	}
	return p.revoke(ctx, lease, besideTimeout)
}

// beginSeen gives every node of the record its day, once for a group.
func (p *publisher) beginSeen(ctx context.Context, self watchdog.Address, leases map[watchdog.Address]clientv3.LeaseID) error {
	resp, err := p.store.transact(ctx, "read group", besideTimeout, nil, []clientv3.Op{clientv3.OpGet(p.keys.group)}, nil)
	if err != nil {
		return err
	}
	kvs := resp.Responses[0].GetResponseRange().GetKvs()
	if len(kvs) == 0 {
		return nil
	}
	record, err := decode(p.keys.group, kvs[0].Value, validGroup)
	if err != nil {
		return err
	}
	for _, node := range record.Nodes {
		if _, stands := leases[node]; stands {
			continue
		}
		if err := p.makeSeen(ctx, node, self); err != nil {
			return err
		}
	}
	_, err = p.store.transact(ctx, "begin to see", besideTimeout, []clientv3.Cmp{unchanged(p.keys.seen, entry{})},
		[]clientv3.Op{clientv3.OpPut(p.keys.seen, string(self))}, nil)
	return err
}

// gone are those of the record's nodes that nobody has listed or heard for a day.
// The agreed master and the holder of the grant are never among them: whoever they
// are, somebody has to look.
func (g Group) gone(begun bool, seen func(watchdog.Address) bool) []watchdog.Address {
	var all []watchdog.Address
	for _, node := range g.Record.Nodes {
		_, reports := g.Nodes[string(node)]
		if begun && !reports && !seen(node) && node != g.Agreement.Address && node != g.Grant.Holder {
			all = append(all, node)
		}
	}
	return all
}
