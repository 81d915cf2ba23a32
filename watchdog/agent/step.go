package agent

// Step: one record a decision, for the log, the metrics, the service status,
// the history and the status page alike.

import (
	"fmt"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Step is a change of the verdict.
type Step struct {
	Time   time.Time `json:"time"`
	Group  string    `json:"group"`
	Node   string    `json:"node"`
	Self   string    `json:"address"`
	From   string    `json:"from"` // what was wanted
	To     string    `json:"to"`   // what is wanted
	Row    int       `json:"row"`  // of the decision table
	Reason string    `json:"reason"`
	Grant  string    `json:"grant"`
	Would  string    `json:"would,omitempty"`  // in maintenance: what was not done
	Before int       `json:"before,omitempty"` // how many like it came since the last one that was told, and were not: nothing changed for clients

	// The evidence.
	Role           string  `json:"role"`
	Answer         string  `json:"answer"`
	Master         string  `json:"master"`
	Term           string  `json:"term"` // generation/epoch of the newest agreement known
	Votes          int     `json:"votes"`
	Answering      int     `json:"answering"`
	Known          int     `json:"known"`
	CoordinatorAge float64 `json:"coordinator_age_seconds"` // -1: never
	Left           float64 `json:"fence_deadline_seconds"`  // until the armed fence fires; -1: none wanted
}

// step makes the record if the verdict changed. The caller holds n.mu.
func (n *Node) step(before, after watchdog.State, now watchdog.Instant) (Step, bool) {
	b, a := before.Verdict, after.Verdict
	if b.Row == a.Row && b.Reason == a.Reason && b.Want.Gate.Access == a.Want.Gate.Access && b.Want.Gate.Master == a.Want.Gate.Master && b.Would == a.Would {
		return Step{}, false
	}
	truth, _ := after.Truth()
	s := Step{
		Time: time.Now().UTC(), Group: n.cfg.Group, Node: n.cfg.Name, Self: string(after.Self()),
		From: b.Want.Gate.Access.String(), To: a.Want.Gate.Access.String(),
		Row: int(a.Row), Reason: a.Reason, Grant: a.Want.Grant.String(), Would: would(a.Would),
		Role: after.Redis.Role.String(), Answer: after.Redis.Answer.String(),
		Master: string(truth.Master), Term: after.Memory.Agreement.Term.String(),
		Votes: after.Sentinels.Votes, Answering: after.Sentinels.Answering, Known: after.Sentinels.Known,
		CoordinatorAge: secondsSince(now, after.Coordinator.RoundAt),
		Left:           secondsUntil(now, a.Want.Gate.Arm),
	}
	return s, true
}

// would is what maintenance kept from being done, in words.
func would(w watchdog.Would) string {
	if w.Reason == "" {
		return ""
	}
	return fmt.Sprintf("%s: %s (row %d)", w.Access, w.Reason, w.Row)
}

// secondsSince is -1 for an instant that never was.
func secondsSince(now, at watchdog.Instant) float64 {
	if at == 0 {
		return -1
	}
	return now.Sub(at).Seconds()
}

// secondsUntil is -1 for an end that is not set or does not come, and never
// below zero else.
func secondsUntil(now, at watchdog.Instant) float64 {
	if at == 0 || at == watchdog.Never {
		return -1
	}
	return max(0, at.Sub(now).Seconds())
}

// phaseOf is what the local Redis is seen to do; "down" when it answers nobody:
// not running, hung, loading, busy.
func phaseOf(r watchdog.Redis) string {
	if r.Answer != watchdog.Up && r.SeenAt != 0 {
		return "down"
	}
	switch r.Role {
	case watchdog.Nowhere:
		return "refuse"
	case watchdog.Replica:
		return "follow"
	case watchdog.Master:
		switch {
		case r.Held:
			return "hold"
		case r.Locked:
			return "lock"
		}
		return "serve"
	}
	return "unknown"
}
