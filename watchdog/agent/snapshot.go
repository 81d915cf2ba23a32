package agent

// Snapshot: the Status of a node, made when somebody asks.

import (
	"fmt"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Extras is what only the adapters know, for people.
type Extras struct {
	Sentinels []SentinelStatus
	Faults    []Fault // of all adapters
	Lag       float64 // seconds since a replica's master was last heard; -1: unknown
}

// Status is the snapshot of the node with the adapters' extras.
func (n *Node) Status(x Extras) Status {
	now := n.cfg.Now()
	n.mu.Lock()
	s, policy, phase, since := n.state, n.policy, n.phase, n.since
	n.mu.Unlock()

	v, truth, conflict := s.Verdict, watchdog.Agreement{}, false
	truth, conflict = s.Truth()
	c := s.Coordinator
	out := Status{
		Group: n.cfg.Group, Node: n.cfg.Name, Address: string(s.Self()), RunID: s.Redis.RunID,
		Phase: phase, Wanted: v.Want.Gate.Access.String(), Row: int(v.Row), Reason: v.Reason, Would: would(v.Would), Since: since,
		Role: s.Redis.Role.String(), Answer: s.Redis.Answer.String(),
		Following: string(s.Redis.Following), LinkUp: s.Redis.LinkUp, LagSeconds: x.Lag,
		Master: string(truth.Master), Generation: c.Agreement.Generation, Epoch: c.Agreement.Epoch,
		AgreedMaster: string(c.Agreement.Master), GrantHolder: string(c.Grant.Holder), GrantOurs: c.Grant.Ours && now < c.Grant.Until,
		Armed: s.Redis.ArmedFor != 0, Deadline: secondsUntil(now, s.Redis.ArmedFor), EarliestPromotion: secondsUntil(now, s.Sentinels.E),
		CoordinatorAge: secondsSince(now, c.RoundAt),
		SentinelsKnown: s.Sentinels.Known, SentinelsAnswering: s.Sentinels.Answering, SentinelsAgreeing: s.Sentinels.Votes,
		PromotableReplicas: s.Sentinels.Replicas, Quorum: s.Sentinels.Quorum, DownAfter: s.Sentinels.DownAfter.Seconds(),
		FencedByHand: c.Orders.Fence, Enrolled: s.Memory.Enrolled, Veto: s.Vetoed || s.DataVetoed() || s.SharedVetoed(), Data: s.Data().String(),
		Sentinels: x.Sentinels, Redis: s.Redis, Coordinator: c, Want: v.Want,
	}
	if out.GrantOurs {
		out.GrantRemaining = secondsUntil(now, c.Grant.Until)
	}
	if now < c.Orders.Maintenance {
		out.Maintenance = secondsUntil(now, c.Orders.Maintenance)
	}
	out.Faults = append(n.faults(policy, s, conflict), x.Faults...)
	out.Ready, out.Guarded = guards(s), guards(s)
	for _, f := range out.Faults {
		if f.Severity == SeverityError {
			out.Guarded = false
			out.Ready = out.Ready && f.ID == FaultLockScripts
		}
	}
	return out
}

// guards says whether what the promise rests on is there: a master is under an
// armed fence or shut, a replica under its lock.
func guards(s watchdog.State) bool {
	switch s.Redis.Role {
	case watchdog.Nowhere:
		return s.Redis.Refusing
	case watchdog.Replica:
		return s.Redis.Locked || s.Want().Gate.Unlocked
	case watchdog.Master:
		return s.Redis.Locked || s.Redis.ArmedFor != 0
	}
	return false
}

// faults are those the decision itself sees.
func (n *Node) faults(policy watchdog.Policy, s watchdog.State, conflict bool) []Fault {
	var out []Fault
	add := func(sev Severity, id, text, remedy string) {
		out = append(out, Fault{ID: id, Severity: sev, Text: text, Remedy: remedy})
	}
	self, group := s.Self(), n.cfg.Group
	if conflict {
		add(SeverityError, "conflict", fmt.Sprintf("a majority of the Sentinels names %s at epoch %d, the agreement in etcd (%s) names %s: nobody is taken for the master",
			s.Sentinels.Master, s.Sentinels.Epoch, s.Memory.Agreement.Term, s.Memory.Agreement.Master),
			fmt.Sprintf("find out which one holds your data, then: redis-watchdog adopt %s --to ADDRESS", group))
	}
	if d := s.Sentinels.DownAfter; d > 0 {
		if kept, why := policy.Timing(d).Kept(); !kept {
			severity := SeverityWarning
			if policy.Strict { // changed at the Sentinels: start and reload would have refused
				severity = SeverityError
			}
			add(severity, "timing", "fencing in time is not promised: "+why,
				fmt.Sprintf("on every Sentinel: SENTINEL SET %s down-after-milliseconds 5000", group))
		}
	}
	if self == "" && s.Sentinels.Answering > 0 {
		add(SeverityError, "not_listed", fmt.Sprintf("no answering Sentinel lists this Redis (run id %q) in group %q", s.Redis.RunID, group),
			"check that it is the master or a replica of that group; set nodes[].announced if it is announced under another address")
	}
	switch v := s.Verdict; {
	case v.Row == watchdog.RowStart && v.Reason == "released":
		add(SeverityError, "released", "this node was released: nothing guards it", fmt.Sprintf("redis-watchdog unfence %s takes it back", group))
	case v.Row == watchdog.RowElse && v.Reason == "not_enrolled", v.Row == watchdog.RowClaim && v.Reason == "claiming_not_enrolled":
		add(SeverityError, "unguarded", "this host has never held a grant, nor had its group's record from etcd: its Redis is left as it is and not protected",
			"see the other faults: it takes etcd and a majority of the Sentinels to name it")
	}
	return out
}

// Overdue says whether the decision loop has not turned for longer than limit.
func (n *Node) Overdue(limit time.Duration) bool {
	return n.cfg.Now().Sub(n.Turned()) > limit
}
