package grant

// Which Redis the Sentinels of a group list: listed/<address>/<group>/<node>, the
// value its run id, from every watchdog of the group, under its presence. A Redis that two
// groups list can be promoted by either, over the other's data: each of the two says
// so, and the watchdog beside it keeps it from being promoted. The run id tells it
// from another that has the same address in another network.

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/sorted"
)

// Listed is a Redis that our Sentinels list.
type Listed struct {
	Address watchdog.Address
	RunID   string // as a Sentinel last had it; empty: not known
}

const (
	listedEvery = 10 * time.Second
	// unlistedAfter is how long a Redis has to be out of our Sentinels' lists: a
	// SENTINEL RESET empties them for up to 10 s.
	unlistedAfter = 30 * time.Second
)

// Shared is a Redis that the Sentinels of another group list too.
type Shared struct {
	Address watchdog.Address
	Group   string // the other
}

// Shared are those of our Redis that another group lists, sorted.
func (p *publisher) Shared() []Shared {
	p.sharedMu.Lock()
	defer p.sharedMu.Unlock()
	return slices.Clone(p.shared)
}

// elsewhere is another group that lists the Redis of one of those run ids; empty:
// none does. Of several it is the first by name.
func elsewhere(prefix, group string, runIDs []string, entries []entryOf) string {
	other := ""
	for _, e := range entries {
		name, ok := groupOf(prefix, e.key)
		if ok && name != group && len(e.value) > 0 && slices.Contains(runIDs, string(e.value)) && (other == "" || name < other) {
			other = name
		}
	}
	return other
}

// Shared are those of the addresses that the group lists and another group lists
// too, as the watchdogs of both have published.
func (s *Store) Shared(ctx context.Context, group string, addresses []watchdog.Address) ([]Shared, error) {
	prefix := keysOf(s.prefix, group).listed
	reads := make([]clientv3.Op, 0, len(addresses))
	for _, a := range addresses {
		reads = append(reads, clientv3.OpGet(prefix+string(a)+"/", clientv3.WithPrefix()))
	}
	if len(reads) == 0 {
		return nil, nil
	}
	resp, err := s.transact(ctx, "read listed redis", commandTimeout, nil, reads, nil)
	if err != nil {
		return nil, err
	}
	var shared []Shared
	for i, a := range addresses {
		of := prefix + string(a) + "/"
		entries := entriesOf(resp.Responses[i].GetResponseRange().GetKvs())
		var ours []string
		for _, e := range entries {
			if name, ok := groupOf(of, e.key); ok && name == group {
				ours = append(ours, string(e.value))
			}
		}
		if other := elsewhere(of, group, ours, entries); other != "" {
			shared = append(shared, Shared{a, other})
		}
	}
	return shared, nil
}

// groupOf is the group in a key below prefix: "<group>/<node>". A group's name may
// hold a slash, an address does not.
func groupOf(prefix, key string) (string, bool) {
	rest, ok := strings.CutPrefix(key, prefix)
	i := strings.LastIndexByte(rest, '/')
	if !ok || i <= 0 {
		return "", false
	}
	return rest[:i], true
}

// entryOf is a key of a range with its value.
type entryOf struct {
	key   string
	value []byte
}

func entriesOf(kvs []*mvccpb.KeyValue) []entryOf {
	all := make([]entryOf, 0, len(kvs))
	for _, kv := range kvs {
		all = append(all, entryOf{string(kv.Key), kv.Value})
	}
	return all
}

// lister is what publishListed has written.
type lister struct {
	lease   clientv3.LeaseID                      // of our presence, under which it was written
	written map[watchdog.Address]string           // run id
	seen    map[watchdog.Address]watchdog.Instant // when it was last listed
}

// publishListed keeps what our Sentinels list in etcd, and looks who else lists it.
func (p *publisher) publishListed(ctx context.Context) {
	l := lister{written: map[watchdog.Address]string{}, seen: map[watchdog.Address]watchdog.Instant{}}
	at := sightings{kept: map[watchdog.Address]watchdog.Instant{}}
	for {
		if self := p.writer(); self != "" {
			err := p.turnListed(ctx, &l, self)
			if err == nil {
				nodes := append(slices.Collect(maps.Keys(l.written)), self)
				slices.Sort(nodes)
				err = p.turnSeen(ctx, &at, self, slices.Compact(nodes))
			}
			if err != nil && ctx.Err() == nil {
				p.log.Debug("publish what the sentinels list failed", "error", err)
			}
		}
		wait := time.NewTimer(p.store.now().Beat(listedEvery).Sub(p.store.now()))
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-p.relist:
			wait.Stop()
		case <-wait.C:
		}
	}
}

func (p *publisher) turnListed(ctx context.Context, l *lister, self watchdog.Address) error {
	now := p.store.now()
	fresh := map[watchdog.Address]string{}
	for _, r := range p.newestWant().Listed {
		l.seen[r.Address] = now
		fresh[r.Address] = r.RunID
	}
	for address, at := range l.seen {
		switch _, listed := fresh[address]; {
		case listed:
		case now.Sub(at) >= unlistedAfter:
			delete(l.seen, address)
		default:
			fresh[address] = l.written[address]
		}
	}
	lease, err := p.presentAs(ctx, self)
	if err != nil {
		return err
	}
	if lease != l.lease {
		l.lease, l.written = lease, map[watchdog.Address]string{}
	}
	var ops []clientv3.Op
	for address, id := range fresh {
		if was, there := l.written[address]; !there || was != id {
			ops = append(ops, clientv3.OpPut(p.listedKey(address, self), id, clientv3.WithLease(l.lease)))
		}
	}
	for address := range l.written {
		if _, still := fresh[address]; !still {
			ops = append(ops, clientv3.OpDelete(p.listedKey(address, self)))
		}
	}
	reads := make([]clientv3.Op, 0, len(fresh))
	asked := make([]watchdog.Address, 0, len(fresh))
	for address := range fresh {
		reads = append(reads, clientv3.OpGet(p.keys.listed+string(address)+"/", clientv3.WithPrefix()))
		asked = append(asked, address)
	}
	if len(reads) == 0 {
		return nil
	}
	answers, err := p.listedOthers(ctx, ops, reads)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		p.present.lost(lease)
	}
	if err != nil {
		return err
	}
	l.written = fresh
	var shared []Shared
	for i, address := range asked {
		entries := entriesOf(answers[i].GetResponseRange().GetKvs())
		if other := elsewhere(p.keys.listed+string(address)+"/", p.cfg.Group, []string{fresh[address]}, entries); other != "" {
			shared = append(shared, Shared{address, other})
		}
	}
	sorted.By(shared, func(a, b Shared) int { return strings.Compare(string(a.Address), string(b.Address)) })
	p.sharedMu.Lock()
	p.shared = shared
	p.sharedMu.Unlock()
	return nil
}

// listedOthers are the answers to the reads, after what there is to write: mostly
// nothing, and then the groups of a host ask together.
func (p *publisher) listedOthers(ctx context.Context, writes, reads []clientv3.Op) ([]*pb.ResponseOp, error) {
	if len(writes) == 0 {
		a := p.store.read(ctx, &question{reads: reads, limit: besideTimeout})
		return a.responses, a.err
	}
	resp, err := p.store.transact(ctx, "publish listed redis", besideTimeout, nil, append(writes, reads...), nil)
	if err != nil {
		return nil, err
	}
	return resp.Responses[len(writes):], nil
}

func (p *publisher) listedKey(address, self watchdog.Address) string {
	return p.keys.listed + string(address) + "/" + p.cfg.Group + "/" + string(self)
}
