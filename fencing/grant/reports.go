package grant

// The report of each node (reports/<group>/<address>), and the request for
// fresh ones (asks/<group>). What a report says is its publisher's affair.
//
// A report is as young as the request it answers: clocks of hosts are not
// compared. The watch brings a request at once; the rounds are the net.

import (
	"bytes"
	"context"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// PublishReport sets the report of this node: what a preflight
// needs to know of it. It is written once, and stands for
// as long as Run runs: the report of a dead watchdog disappears within 30 s. It
// never blocks; a newer one replaces one not yet written.
func (p *publisher) PublishReport(report []byte) { p.reports.set(report) }

// heardAsk tells of a request, unless it is the one told last.
func (k *Keeper) heardAsk(value []byte) {
	if len(value) == 0 {
		return
	}
	id := string(value)
	if old, _ := k.lastAsk.Swap(id).(string); old != id {
		k.cfg.OnAsk(id)
	}
}

// publishReports writes every report once.
func (p *publisher) publishReports(ctx context.Context) {
	for p.publishOne(ctx, p.reports, "write node report", p.keys.reports) {
	}
}

// Ask asks every watchdog of a group for a report that answers id.
func (s *Store) Ask(ctx context.Context, group, id string) error {
	_, err := s.transact(ctx, "ask for reports", commandTimeout, nil,
		[]clientv3.Op{clientv3.OpPut(keysOf(s.prefix, group).asks, id)}, nil)
	return err
}

// The pauses between two looks at the reports that are waited for.
const (
	lookAgain       = 5 * time.Millisecond
	lookAgainAtMost = 50 * time.Millisecond
)

// Reports are those of a group's nodes, by their address. They are
// awaited until all of those that stood at first satisfy answered, or until
// ctx ends: then they come as they are, without an error.
func (s *Store) Reports(ctx context.Context, group string, answered func(report []byte) bool) (map[string][]byte, error) {
	prefix := keysOf(s.prefix, group).reports
	found := map[string][]byte{}
	var seen int64
	for pause := lookAgain; ; pause = min(2*pause, lookAgainAtMost) {
		resp, err := s.transact(ctx, "read reports", commandTimeout, nil,
			[]clientv3.Op{clientv3.OpGet(prefix, clientv3.WithPrefix(), clientv3.WithMinModRev(seen+1))}, nil)
		if err != nil {
			if ctx.Err() != nil && seen > 0 {
				return found, nil
			}
			return found, err
		}
		seen = resp.Header.GetRevision()
		for _, kv := range resp.Responses[0].GetResponseRange().GetKvs() {
			found[strings.TrimPrefix(string(kv.Key), prefix)] = bytes.Clone(kv.Value)
		}
		waiting := false
		for _, report := range found {
			waiting = waiting || !answered(report)
		}
		if !waiting {
			return found, nil
		}
		select {
		case <-ctx.Done():
			return found, nil
		case <-time.After(pause):
		}
	}
}

// Report is that of one node; nil: there is none.
func (s *Store) Report(ctx context.Context, group string, node watchdog.Address) ([]byte, error) {
	resp, err := s.transact(ctx, "read report", commandTimeout, nil,
		[]clientv3.Op{clientv3.OpGet(keysOf(s.prefix, group).reports + string(node))}, nil)
	if err != nil {
		return nil, err
	}
	if kvs := resp.Responses[0].GetResponseRange().GetKvs(); len(kvs) > 0 {
		return kvs[0].Value, nil
	}
	return nil, nil
}

// MemberState is one etcd member as it was found.
type MemberState struct {
	Endpoint string
	Version  string
	Learner  bool  // it has no vote and answers no request
	Err      error // why its status could not be had; nil: it was
}

// Members asks every member for its state.
func (s *Store) Members(ctx context.Context) []MemberState {
	s.checkMembers(ctx)
	all := make([]MemberState, 0, len(s.members))
	for _, m := range s.members {
		m.mu.Lock()
		all = append(all, MemberState{Endpoint: m.endpoint, Version: m.state.version, Learner: m.state.learner, Err: m.failing})
		m.mu.Unlock()
	}
	return all
}
