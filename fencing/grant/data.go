package grant

// How far the data goes (data/<group>), and what nodes came up with that has not
// been in step since (disks/<group>/<address>). The first is the holder's, and a
// lower bound of what it has acknowledged: it is written when the history, or the
// number of replicas in step, changes, when Redis stops answering, when the grant is
// given up, and else every half minute, for an offset always moves.

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const (
	dataApart = 30 * time.Second // while nothing but the offset changes; docs/decision.md names it
	dataLeast = time.Second      // changes are not written more often
	// dataAgain is when what a replica's leaving has left behind is written once
	// more: what it lacks shows in an offset that has moved since.
	dataAgain = 2 * time.Second
)

// DataRecord is data/<group>.
type DataRecord struct {
	Master   watchdog.Address `json:"master"` // the holder
	RunID    string           `json:"run_id"` // of its Redis
	ReplID   string           `json:"replid"`
	Offset   int64            `json:"offset"`
	ReplID2  string           `json:"replid2"`  // empty: none
	Offset2  int64            `json:"offset2"`  // how far it has replid2
	Attached int              `json:"attached"` // replicas in step
	At       time.Time        `json:"at"`       // wall clock, for people
}

func (d DataRecord) position() watchdog.Position {
	return watchdog.Position{ID: d.ReplID, Offset: d.Offset, Before: d.ReplID2, Until: d.Offset2}
}

// DiskRecord is disks/<group>/<address>, under a lease: gone with its watchdog,
// and once the data is in step.
type DiskRecord struct {
	RunID   string `json:"run_id"`
	ReplID  string `json:"replid"`
	Offset  int64  `json:"offset"`
	ReplID2 string `json:"replid2"`
	Offset2 int64  `json:"offset2"`
	Empty   bool   `json:"empty"`
}

func validData(d DataRecord) bool { return d.Master != "" && d.ReplID != "" }
func validDisk(d DiskRecord) bool { return d.RunID != "" }

// See is told what the gate sees of our Redis. It never blocks.
func (l *local) See(r watchdog.Redis) {
	l.mu.Lock()
	l.redis = r
	l.mu.Unlock()
}

func (l *local) lastSeen() watchdog.Redis {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.redis
}

// unreadable stands for a record that cannot be understood: nothing holds what it
// said, whatever it was.
var unreadable = watchdog.Record{Position: watchdog.Position{ID: "unreadable", Offset: 1}}

// recordIn is what the last holder said of its data.
func (k *Keeper) recordIn(s snapshot) watchdog.Record {
	if !s.data.exists() {
		k.faults.setData(nil)
		return watchdog.Record{}
	}
	d, err := k.data.decode(k.keys.data, s.data.value, validData)
	if err == nil && k.data.left != nil {
		err = k.data.left // half of it says less than it did
	}
	k.faults.setData(err)
	if err != nil {
		return unreadable
	}
	last := k.last.value
	return watchdog.Record{
		Master: d.Master, RunID: d.RunID, Position: d.position(),
		Current: !s.last.exists() || last.Holder == d.Master || !last.Opened,
	}
}

// dataWrite is a record on its way, for as long as the grant is the one it was
// made under.
type dataWrite struct {
	record DataRecord
	before []byte
	grant  int64 // mod revision
}

// tellData has the record written if that is due: of a grant of ours that is in
// force and under which Redis has been opened.
func (k *Keeper) tellData(w Want) {
	now, r := k.store.now(), k.lastSeen()
	g, last := k.fact.Grant, k.last.value
	if w.Self == "" || !k.seen.last.exists() || !g.Ours || now >= g.Until || !last.Opened || last.HolderID != k.id.HolderID ||
		r.Role != watchdog.Master || r.Position.ID == "" || k.fact.Membership != watchdog.Member {
		return
	}
	next := DataRecord{
		Master: w.Self, RunID: r.RunID, ReplID: r.Position.ID, Offset: max(r.Position.Offset, r.Offset),
		ReplID2: r.Position.Before, Offset2: r.Position.Until, Attached: r.Attached, At: time.Now().UTC(),
	}
	old := DataRecord{}
	if k.fact.Record != unreadable {
		old = k.data.value
	}
	if !k.seen.data.exists() {
		old = DataRecord{}
	}
	if !k.dataDue(old, next, r.Answer == watchdog.Up, now) {
		return
	}
	k.dataAt, k.dataThen = now, 0
	if next.Attached < old.Attached {
		k.dataThen = now.Add(dataAgain)
	}
	k.datas.set(dataWrite{next, k.seen.data.value, k.seen.grant.modified})
}

// dataDue says whether next is to take the place of what etcd holds.
func (k *Keeper) dataDue(old, next DataRecord, answers bool, now watchdog.Instant) bool {
	same := old
	same.Offset, same.Attached, same.At = next.Offset, next.Attached, next.At
	age := now.Sub(k.dataAt)
	switch {
	case same != next:
		return k.dataAt == 0 || age >= dataLeast || old.ReplID != next.ReplID
	case age < dataLeast:
		return false
	case old.Attached != next.Attached:
		return true
	case next.Offset <= old.Offset:
		return false
	case k.dataThen != 0 && now >= k.dataThen:
		return true
	}
	return !answers || age >= dataApart
}

// finalData is the record of a Redis that was fenced: what it has goes no further.
func (k *Keeper) finalData() (op clientv3.Op, due bool) {
	r, old := k.lastSeen(), k.data.value
	if !k.seen.data.exists() || r.Role != watchdog.Nowhere || r.RunID != old.RunID || r.Position.ID != old.ReplID || r.Position.Offset <= old.Offset {
		return op, false
	}
	next := old
	next.Offset, next.Attached, next.At = r.Position.Offset, 0, time.Now().UTC()
	value, err := encode(k.seen.data.value, next)
	if err != nil {
		return op, false // it is a lower bound: the one that stands will do
	}
	return clientv3.OpPut(k.keys.data, value), true
}

// publishData writes what tellData found due.
func (p *publisher) publishData(ctx context.Context) {
	for {
		d, err := p.datas.take(ctx)
		if err != nil {
			return
		}
		value, err := encode(d.before, d.record)
		if err == nil {
			when := []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(p.keys.grant), "=", d.grant)}
			_, err = p.store.transact(ctx, "write data record", besideTimeout, when, []clientv3.Op{clientv3.OpPut(p.keys.data, value)}, nil)
		}
		p.datas.settle(err == nil)
		if err != nil && ctx.Err() == nil {
			p.log.Debug("write data record failed", "error", err)
			p.datas.retry(ctx, besideRetry)
		}
	}
}

// tellDisk has what our Redis came up with published, or taken back.
func (k *Keeper) tellDisk(w Want) {
	r := k.lastSeen()
	value := []byte(nil)
	if w.Disk && r.RunID != "" && r.Position.ID != "" {
		p := r.Position
		value, _ = json.Marshal(DiskRecord{r.RunID, p.ID, p.Offset, p.Before, p.Until, r.Empty}) // plain values
	}
	if string(value) != string(k.diskTold) {
		k.diskTold = value
		k.disks.set(value)
	}
}

// publishDisk keeps the newest of them in etcd, under the presence.
func (p *publisher) publishDisk(ctx context.Context) {
	for {
		data, err := p.disks.take(ctx)
		if err != nil {
			return
		}
		self := p.writer()
		switch {
		case self == "" && len(data) > 0:
			p.disks.retry(ctx, besideRetry)
			continue
		case len(data) > 0:
			err = p.say(ctx, "write what redis came up with", p.keys.disks+string(self), self, data)
		case self != "":
			_, err = p.store.transact(ctx, "take back what redis came up with", besideTimeout, nil,
				[]clientv3.Op{clientv3.OpDelete(p.keys.disks + string(self))}, nil)
		}
		p.disks.settle(err == nil)
		if err != nil && ctx.Err() == nil {
			p.log.Debug("publish what redis came up with failed", "error", err)
			p.disks.retry(ctx, besideRetry)
		}
	}
}

// compareDisks asks what the other nodes came up with. A round does not fail for
// it: what was not read is not known.
func (k *Keeper) compareDisks(ctx context.Context, w Want, limit time.Duration) {
	k.fact.Disks = watchdog.Disks{}
	r := k.lastSeen()
	if !w.Disk || r.Position.ID == "" || w.Self == "" || k.fact.Membership != watchdog.Member {
		return
	}
	resp, err := k.store.transact(ctx, "read disks", limit, nil, []clientv3.Op{clientv3.OpGet(k.keys.disks, clientv3.WithPrefix())}, nil)
	if err != nil {
		k.log.Debug("what the other nodes came up with was not read", "error", err)
		return
	}
	others := disksIn(func(yield func(string, []byte) bool) {
		for _, kv := range resp.Responses[0].GetResponseRange().GetKvs() {
			if !yield(string(kv.Key), kv.Value) {
				return
			}
		}
	}, k.keys.disks)
	nodes := slices.Concat(k.group.value.Nodes, w.Known)
	slices.Sort(nodes)
	own := watchdog.Disk{Node: w.Self, Position: r.Position, Empty: r.Empty}
	k.fact.Disks = own.Compare(k.fact.Record, slices.Compact(nodes), others)
}

// disksIn are the entries that make sense. One that does not counts as a node that
// does not say: it is missing.
func disksIn(entries iter.Seq2[string, []byte], prefix string) []watchdog.Disk {
	var all []watchdog.Disk
	for key, value := range entries {
		d, left, err := decodePart(key, value, validDisk)
		if err != nil || left != nil {
			continue
		}
		all = append(all, watchdog.Disk{
			Node:     watchdog.Address(strings.TrimPrefix(key, prefix)),
			Position: watchdog.Position{ID: d.ReplID, Offset: d.Offset, Before: d.ReplID2, Until: d.Offset2}, Empty: d.Empty,
		})
	}
	return all
}

// rested is what must not have changed in etcd for a claim that rests on how the
// data of our Redis compares.
func (k *Keeper) rested(w Want) (also []clientv3.Cmp, still bool) {
	switch {
	case w.Rests == watchdog.Record{}:
		return nil, true
	case w.Rests != k.fact.Record:
		return nil, false
	}
	return []clientv3.Cmp{unchanged(k.keys.data, k.seen.data)}, true
}

// String is the record for people.
func (d DataRecord) String() string {
	return fmt.Sprintf("offset %d of history %s", d.Offset, d.ReplID)
}
