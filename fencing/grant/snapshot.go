package grant

import (
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// A snapshot is everything of a group that a decision needs, as one
// transaction showed it.
type snapshot struct {
	cluster  uint64
	revision int64
	term     uint64 // raft's, of the member that answered

	group, master, grant, last, control, maintenance, unfence, ask, plannedFailover, data entry

	listed []entryOf // by whose Sentinels our Redis is listed
}

// An entry is one key; the zero entry is an absent one.
type entry struct {
	value    []byte
	created  int64 // revision at which this incarnation began; zero: absent
	modified int64
	lease    clientv3.LeaseID
}

func (e entry) exists() bool { return e.created != 0 }

// reads are the operations whose answers newSnapshot takes, in its order. They are the
// same with every round, and nobody changes them.
func (k *Keeper) reads(self watchdog.Address) []clientv3.Op {
	if k.readsAre != nil && k.readsOf == self {
		return k.readsAre
	}
	k.readsOf = self
	k.readsAre = []clientv3.Op{
		clientv3.OpGet(k.keys.group),
		clientv3.OpGet(k.keys.master),
		clientv3.OpGet(k.keys.grant),
		clientv3.OpGet(k.keys.last),
		clientv3.OpGet(k.keys.control),
		clientv3.OpGet(k.keys.maintenance),
		clientv3.OpGet(k.keys.unfence + string(self)),
		clientv3.OpGet(k.keys.asks),
		clientv3.OpGet(k.keys.plannedFailover),
		clientv3.OpGet(k.keys.data),
		clientv3.OpGet(k.keys.listed+string(self)+"/", clientv3.WithPrefix()),
	}
	return k.readsAre
}

// newSnapshot takes the answers to reads, which are the last of the
// transaction.
func newSnapshot(resp *clientv3.TxnResponse) (snapshot, error) {
	s := snapshot{}
	if resp.Header == nil || resp.Header.ClusterId == 0 {
		return s, fmt.Errorf("read group: an answer without a cluster id")
	}
	s.cluster, s.revision, s.term = resp.Header.ClusterId, resp.Header.Revision, resp.Header.RaftTerm
	into := []*entry{&s.group, &s.master, &s.grant, &s.last, &s.control, &s.maintenance, &s.unfence, &s.ask, &s.plannedFailover, &s.data}
	reads := len(into) + 1
	if len(resp.Responses) < reads {
		return s, fmt.Errorf("read group: %d answers to %d reads", len(resp.Responses), reads)
	}
	answers := resp.Responses[len(resp.Responses)-reads:]
	s.listed = entriesOf(answers[len(into)].GetResponseRange().GetKvs())
	answers = answers[:len(into)]
	for i, answer := range answers {
		got := answer.GetResponseRange()
		if got == nil {
			return s, fmt.Errorf("read group: answer %d is not to a read", i)
		}
		if len(got.Kvs) > 0 {
			*into[i] = newEntry(got.Kvs[0])
		}
	}
	return s, nil
}

func newEntry(kv *mvccpb.KeyValue) entry {
	return entry{
		value:    kv.Value,
		created:  kv.CreateRevision,
		modified: kv.ModRevision,
		lease:    clientv3.LeaseID(kv.Lease),
	}
}

// unchanged compares with the state of a key as it was seen: absent, or in
// just this version.
func unchanged(key string, e entry) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(key), "=", e.modified)
}

// sameGroup compares with the group's record as it was first made.
func (k *Keeper) sameGroup(s snapshot) clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(k.keys.group), "=", s.group.created)
}
