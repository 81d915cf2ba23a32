package grant

import (
	"context"
	"crypto/rand"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// join finds out whether etcd's group is ours, and makes it where there is
// none. Two groups of one name on one etcd are told apart by the group's id,
// or, by a node that is new to it, by whether its Sentinels list any Redis
// that was seen in it. Addresses that are used twice (10.0.0.1 in two
// networks) cannot be told apart by that: such groups need prefixes of their
// own.
func (k *Keeper) join(ctx context.Context, w Want, limit time.Duration) error {
	if !k.seen.group.exists() {
		if err := k.makeGroup(ctx, w, limit); err != nil || !k.seen.group.exists() {
			return err
		}
	}
	record, err := k.group.decode(k.keys.group, k.seen.group.value, validGroup)
	if err != nil {
		k.fact.Membership = watchdog.MembershipUnknown
		return err
	}
	switch {
	case k.id.GroupID == record.ID:
		k.fact.Membership = watchdog.Member
	case k.id.GroupID != "":
		if !k.adopted(k.seen, func(a Adoption) bool { return a.Group == record.ID }) {
			k.fact.Membership = watchdog.Stranger
			return nil
		}
		k.become(record)
	case len(w.Known) == 0:
		k.fact.Membership = watchdog.MembershipUnknown
		return nil
	case record.knowsOneOf(w.Known):
		k.become(record)
	default:
		k.fact.Membership = watchdog.Stranger
		return nil
	}
	k.fact.Behind = k.fact.Agreement.Compare(k.id.Agreement.Term) < 0
	if w.Self == "" || slices.Contains(record.Nodes, w.Self) {
		return nil
	}
	return k.addNode(ctx, record, w, limit)
}

func (k *Keeper) become(record GroupRecord) {
	k.log.Info("joined group", "group_id", record.ID)
	k.fact.Membership = watchdog.Member
	agreement := k.fact.Agreement
	k.remember(func(id *Identity) {
		id.GroupID = record.ID
		if agreement.Compare(id.Agreement.Term) > 0 {
			id.Agreement = agreement
		}
	})
}

// makeGroup creates the group's record: with the id we remember, when etcd was
// emptied, so that the other nodes know it again.
func (k *Keeper) makeGroup(ctx context.Context, w Want, limit time.Duration) error {
	k.fact.Membership = watchdog.MembershipUnknown
	if w.Self == "" || len(w.Known) == 0 {
		return nil
	}
	record := GroupRecord{ID: k.id.GroupID}
	if record.ID == "" {
		record.ID = rand.Text()
	}
	for _, node := range append([]watchdog.Address{w.Self}, w.Known...) {
		if !slices.Contains(record.Nodes, node) {
			record = record.withNode(node)
		}
	}
	value, err := encode(nil, record)
	if err != nil {
		return err
	}
	won, err := k.swap(ctx, "make group", limit, w,
		[]clientv3.Cmp{unchanged(k.keys.group, entry{})},
		[]clientv3.Op{clientv3.OpPut(k.keys.group, value)})
	if err != nil {
		return err
	}
	if won {
		k.log.Info("group made in etcd", "group_id", record.ID)
		k.become(record)
	}
	return nil
}

func (k *Keeper) addNode(ctx context.Context, record GroupRecord, w Want, limit time.Duration) error {
	value, err := encode(k.seen.group.value, record.withNode(w.Self))
	if err != nil {
		return err
	}
	// Lost: another node added itself; the next round tries again.
	_, err = k.swap(ctx, "add node to group", limit, w,
		[]clientv3.Cmp{unchanged(k.keys.group, k.seen.group)},
		[]clientv3.Op{clientv3.OpPut(k.keys.group, value)})
	return err
}
