package grant

// Forgetting a node: what etcd holds of a Redis that was taken out for good. No
// grant rests on any of it. One thing does that matters: after a loss of power
// everywhere a Redis whose data came from its disk waits until every node of the
// group's record has said what it came up with (compareDisks). Who is forgotten is
// not waited for, so nobody is while it is open whose data the group goes on with.

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Kept is why a node is not forgotten.
type Kept string

// The reasons, in the order in which they are looked at.
const (
	KeptNotThere Kept = "not_there"      // etcd holds nothing of it
	KeptMaster   Kept = "agreed_master"  // it is the master that etcd has agreed on
	KeptGrant    Kept = "grant_held"     // it holds the grant
	KeptNobody   Kept = "nobody_granted" // nobody holds the grant: whose data the group goes on with is open
	KeptData     Kept = "last_data"      // the newest that etcd knows of the group's data is this node's
	KeptFenced   Kept = "fenced_by_hand" // an operator's order to fence it stands
	KeptReports  Kept = "reports"        // its watchdog reports, or did within the last half minute
	KeptListed   Kept = "listed"         // a watchdog says, or said half a minute ago, that its Sentinels list it
)

// Passes says whether the reason may be gone by itself in less than a minute.
func (k Kept) Passes() bool { return k == KeptData || k == KeptReports || k == KeptListed }

// KeptError is a node that was not forgotten. Nothing was changed.
type KeptError struct {
	Node  watchdog.Address
	Kept  Kept
	By    watchdog.Address   // KeptListed: whose watchdog says so; KeptMaster, KeptNobody: the agreed master, empty if none is
	Nodes []watchdog.Address // KeptNotThere: those that the group's record has
}

func (e *KeptError) Error() string { return fmt.Sprintf("forget %s: %s", e.Node, e.Kept) }

// KindForget is the kind of a Forgotten.
const KindForget = "forget"

// Forgotten is the record of the history.
type Forgotten struct {
	Kind   string           `json:"kind"` // KindForget
	Time   time.Time        `json:"time"`
	Node   watchdog.Address `json:"address"`
	By     string           `json:"by"`
	Reason string           `json:"reason"`
}

// holdings are what etcd holds of one node, as one transaction showed it.
type holdings struct {
	snap      snapshot
	group     GroupRecord
	agreement MasterRecord
	grant     Holding
	data      DataRecord
	control   Control
	report    entry // of its watchdog
	anything  bool  // one of the keys that are deleted stands
	listedBy  []watchdog.Address
}

// Forget removes what etcd holds of a node, in one transaction that holds only
// if the node was neither heard nor listed nor granted meanwhile. KeptError: why
// it stays; ErrChanged: somebody else was faster.
func (s *Store) Forget(ctx context.Context, group string, node watchdog.Address, order Order) error {
	k := s.reader(group)
	h, err := k.held(ctx, group, node)
	if err != nil {
		return err
	}
	if err := h.keeps(node); err != nil {
		return err
	}
	return s.forget(ctx, group, node, order, h)
}

// forget removes the node if nothing of what h saw has changed.
func (s *Store) forget(ctx context.Context, group string, node watchdog.Address, order Order, h holdings) error {
	k := s.reader(group)
	record, err := encode(h.snap.group.value, h.group.without(node))
	if err != nil {
		return err
	}
	ops := []clientv3.Op{clientv3.OpPut(k.keys.group, record)}
	for _, key := range k.keysOfNode(node) {
		ops = append(ops, clientv3.OpDelete(key))
	}
	when := []clientv3.Cmp{
		unchanged(k.keys.group, h.snap.group), unchanged(k.keys.master, h.snap.master), unchanged(k.keys.grant, h.snap.grant),
		unchanged(k.keys.data, h.snap.data), unchanged(k.keys.control, h.snap.control),
		unchanged(k.keys.nodes+string(node), entry{}),
		// Whatever is listed, in this range of keys, was there when it was read.
		clientv3.Compare(clientv3.ModRevision(k.keys.listed+string(node)+"/"+group+"/").WithPrefix(), "<", h.snap.revision+1),
	}
	if _, released := h.control.Released[node]; released || h.control.unread.released[node] != nil {
		h.control.Released = without(h.control.Released, node)
		delete(h.control.unread.released, node)
		value, err := encode(h.snap.control.value, h.control)
		if err != nil {
			return err
		}
		ops = append(ops, clientv3.OpPut(k.keys.control, value))
	}
	told, err := json.Marshal(Forgotten{Kind: KindForget, Time: order.At.UTC(), Node: node, By: order.By, Reason: order.Reason})
	if err != nil {
		return fmt.Errorf("encode history record: %w", err)
	}
	ops = append(ops, clientv3.OpPut(fmt.Sprintf("%s%020d-%x", k.keys.history, order.At.UnixNano(), randomLease()), string(told)))
	resp, err := s.transact(ctx, "forget node", commandTimeout, when, ops, []clientv3.Op{clientv3.OpGet(k.keys.group)})
	if err != nil {
		return err
	}
	// A hedged copy of our own change may have been first.
	if !resp.Succeeded {
		stands := resp.Responses[0].GetResponseRange().GetKvs()
		if len(stands) == 0 || string(stands[0].Value) != record || record == string(h.snap.group.value) {
			return fmt.Errorf("forget node: %w", ErrChanged)
		}
	}
	return nil
}

// keysOfNode are the keys of one node that are deleted with it. What hangs on the
// presence of its watchdog is gone by then; the leave to open by force is not.
func (k *Keeper) keysOfNode(node watchdog.Address) []string {
	return []string{k.keys.reports + string(node), k.keys.disks + string(node), k.keys.unfence + string(node), k.keys.seen + "/" + string(node)}
}

func (k *Keeper) held(ctx context.Context, group string, node watchdog.Address) (holdings, error) {
	of := k.keys.listed + string(node) + "/"
	ops := []clientv3.Op{clientv3.OpGet(k.keys.nodes + string(node)), clientv3.OpGet(of, clientv3.WithPrefix())}
	own := k.keysOfNode(node)
	for _, key := range own {
		ops = append(ops, clientv3.OpGet(key, clientv3.WithCountOnly()))
	}
	resp, err := k.store.transact(ctx, "read node", commandTimeout, nil, append(ops, k.reads("")...), nil)
	if err != nil {
		return holdings{}, err
	}
	h := holdings{}
	if h.snap, err = newSnapshot(resp); err != nil {
		return h, err
	}
	if !h.snap.group.exists() {
		return h, fmt.Errorf("forget %s: group %q: %w", node, group, ErrNoGroup)
	}
	// Garbage says nothing about the node: it is repaired first.
	for _, err := range []error{
		fill(&h.group, k.keys.group, h.snap.group, validGroup),
		fill(&h.agreement, k.keys.master, h.snap.master, validMaster),
		fill(&h.grant, k.keys.grant, h.snap.grant, validHolding),
		fill(&h.data, k.keys.data, h.snap.data, validData),
		fill(&h.control, k.keys.control, h.snap.control, nil),
	} {
		if err != nil {
			return h, fmt.Errorf("forget %s: %w", node, err)
		}
	}
	if kvs := resp.Responses[0].GetResponseRange().GetKvs(); len(kvs) > 0 {
		h.report = newEntry(kvs[0])
	}
	for _, kv := range resp.Responses[1].GetResponseRange().GetKvs() {
		if name, ok := groupOf(of, string(kv.Key)); ok && name == group {
			h.listedBy = append(h.listedBy, watchdog.Address(strings.TrimPrefix(string(kv.Key), of+name+"/")))
		}
	}
	for i := range own {
		h.anything = h.anything || resp.Responses[2+i].GetResponseRange().GetCount() > 0
	}
	_, released := h.control.Released[node]
	h.anything = h.anything || released || h.control.unread.released[node] != nil || slices.Contains(h.group.Nodes, node)
	return h, nil
}

// keeps is why the node stays; nil: it may go.
func (h holdings) keeps(node watchdog.Address) error {
	e := &KeptError{Node: node, By: h.agreement.Address}
	_, fenced := h.control.Fenced[node]
	switch {
	case h.agreement.Address == node:
		e.Kept = KeptMaster
	case h.grant.Holder == node:
		e.Kept = KeptGrant
	case fenced || h.control.unread.fenced[node] != nil:
		e.Kept = KeptFenced
	case h.report.exists():
		e.Kept = KeptReports
	case len(h.listedBy) > 0:
		e.Kept, e.By = KeptListed, h.listedBy[0]
	case !h.anything:
		e.Kept, e.Nodes = KeptNotThere, h.group.Nodes
	case h.grant.Holder == "":
		e.Kept = KeptNobody
	case h.data.Master == node:
		e.Kept = KeptData
	default:
		return nil
	}
	return e
}

// without is the record without the node.
func (g GroupRecord) without(node watchdog.Address) GroupRecord {
	return GroupRecord{ID: g.ID, Nodes: slices.DeleteFunc(slices.Clone(g.Nodes), func(a watchdog.Address) bool { return a == node })}
}
