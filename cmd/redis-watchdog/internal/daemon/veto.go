package daemon

// The standing veto: what every node report makes of our replica keeps Sentinel from
// promoting it, or lets it.

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/sentinel"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// vetoRecord is kept over restarts: without it a restart would lift a veto for
// as long as the first node report takes.
type vetoRecord struct {
	preflight.Veto
	Spared bool `json:"spared"` // last_replica: allow has left this one to Sentinel
}

// vetoStep is the history's record of a veto that changed.
type vetoStep struct {
	Kind    string              `json:"kind"` // "veto"
	Time    time.Time           `json:"time"`
	Group   string              `json:"group"`
	Node    string              `json:"node"`
	Self    string              `json:"address"`
	Veto    bool                `json:"veto"`
	Spared  bool                `json:"spared"`
	Reasons []preflight.Finding `json:"reasons"` // with the values
}

// loadVeto takes up the verdict of an earlier life.
func (x *node) loadVeto() {
	var r vetoRecord
	if err := x.records.Load("veto", &r); err != nil {
		x.log.Error("record of the veto not read: starting without", "error", err)
	}
	x.mu.Lock()
	x.verdict = r
	x.mu.Unlock()
	if r.IsSet() && !r.Spared {
		x.agent.Post(watchdog.Vetoed{Veto: true})
	}
}

// judged takes the checks of a report of our replica.
func (x *node) judged(own, _ preflight.Node, findings []preflight.Finding) {
	x.mu.Lock()
	before, lastReplica := x.verdict, x.lastReplica
	x.mu.Unlock()
	now := vetoRecord{Veto: before.Veto.Next(findings)}
	if now.IsSet() && lastReplica == config.LastReplicaAllow {
		now.Spared = x.spared(own.Address, now.Checks())
	}
	x.mu.Lock()
	x.verdict = now
	x.mu.Unlock()
	x.agent.Post(watchdog.Vetoed{Veto: now.IsSet() && !now.Spared})
	if slices.Equal(now.Checks(), before.Checks()) && now.Spared == before.Spared {
		return
	}
	if err := x.records.Save("veto", now); err != nil {
		x.log.Error("record of the veto not written: a restart of the watchdog would lift it for a moment", "error", err)
	}
	x.logVeto(own.Address, now)
}

// vetoedFor are the checks that the standing verdict rests on.
func (x *node) vetoedFor() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.verdict.Checks()
}

func (x *node) logVeto(self string, v vetoRecord) {
	args := []any{"checks", strings.Join(v.Checks(), ",")}
	for _, f := range v.Reasons {
		args = append(args, f.Check, f.Reason)
	}
	switch {
	case v.Spared:
		x.log.Error("every replica is vetoed: this one is left to Sentinel (last_replica: allow)", args...)
	case v.IsSet():
		x.log.Warn("veto: this replica must not be promoted", args...)
	default:
		x.log.Info("veto lifted")
	}
	step := vetoStep{Kind: "veto", Time: time.Now().UTC(), Group: x.group, Node: x.name, Self: self,
		Veto: v.IsSet() && !v.Spared, Spared: v.Spared, Reasons: append([]preflight.Finding{}, v.Reasons...)}
	if err := x.keeper.History(step); err != nil {
		x.log.Warn("history record not queued", "error", err)
	}
}

const verdictsTimeout = time.Second

// The checks of what the decision itself vetoes for.
const (
	ofData  = "replication_data"
	ofGroup = "replication_lineage"
)

// spared says whether this vetoed replica is the one to be left to Sentinel: if
// every other one that Sentinel could promote says that it is vetoed too. One
// that says nothing could be promoted. One whose data is not the group's would be
// given no grant, and one that another group lists would be given to both: they are
// never left to Sentinel, and are none of the others.
func (x *node) spared(self string, checks []string) bool {
	never := func(checks []string) bool { return slices.Contains(checks, ofData) || slices.Contains(checks, ofGroup) }
	if state := x.agent.State(); never(checks) || state.DataVetoed() || state.SharedVetoed() {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), verdictsTimeout)
	defer cancel()
	g, err := x.store.Read(ctx, x.group)
	if err != nil {
		x.mu.Lock()
		defer x.mu.Unlock()
		return x.verdict.Spared // what stood stands
	}
	reasons := map[string][]string{self: checks}
	for _, a := range x.watcher.Addresses() {
		if a == g.Agreement.Address || string(a) == self {
			continue
		}
		var s agent.Status
		if json.Unmarshal([]byte(g.Nodes[string(a)]), &s) != nil {
			return false
		}
		if !never(s.VetoReasons) {
			reasons[string(a)] = s.VetoReasons
		}
	}
	return preflight.Last(self, reasons)
}

// vetoSeen says whether our veto is in force: every Sentinel that answers shows it.
// They ask every 10 s.
func (x *node) vetoSeen() bool {
	self, asked := x.local.Self(), 0
	for _, s := range x.watcher.View().Sentinels {
		if !s.Answering {
			continue
		}
		asked++
		i := slices.IndexFunc(s.Replicas, func(r sentinel.ReplicaView) bool { return r.Address == self })
		if i < 0 || s.Replicas[i].Priority != 0 {
			return false
		}
	}
	return asked > 0
}

// showVeto puts the verdict on a status, and its faults.
func (x *node) showVeto(s *agent.Status) {
	x.mu.Lock()
	v, heard := x.verdict, x.heard
	x.mu.Unlock()
	s.VetoReasons = v.Checks()
	state := x.agent.State()
	for check, vetoed := range map[string]bool{ofData: state.DataVetoed(), ofGroup: state.SharedVetoed()} {
		if vetoed && !slices.Contains(s.VetoReasons, check) {
			s.VetoReasons = append(s.VetoReasons, check)
			slices.Sort(s.VetoReasons)
		}
	}
	if s.Role != watchdog.Replica.String() || !s.Veto && !v.IsSet() {
		return
	}
	s.VetoSeen = s.Veto && x.vetoSeen()
	if !v.IsSet() {
		return // showData says why, or two_groups
	}
	add := func(id, text, remedy string) {
		s.Faults = append(s.Faults, agent.Fault{ID: id, Severity: agent.SeverityWarning, Text: text, Remedy: remedy})
	}
	f := v.Reasons[0]
	if v.Spared {
		add("veto_spared", "every replica is vetoed, and this one is left to Sentinel all the same (last_replica: allow): "+f.Reason, f.Remedy)
		return
	}
	if told := slices.ContainsFunc(s.Faults, func(f agent.Fault) bool { return f.ID == "data_behind" || f.ID == "data_unrelated" }); !told || !slices.Equal(v.Checks(), []string{ofData}) {
		add("vetoed", fmt.Sprintf("this replica is kept from being promoted (%s): %s", strings.Join(v.Checks(), ", "), f.Reason), f.Remedy)
	}
	if heard.Answering > 0 && heard.Replicas == 0 {
		add("no_candidate", "no replica of the group can be promoted: should the master fail, there is no failover", "redis-watchdog preflight "+x.group+" names every reason and its remedy; last_replica: allow leaves the best of the vetoed to Sentinel")
	}
}
