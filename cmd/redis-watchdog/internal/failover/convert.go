package failover

// What etcd and the Sentinels show, as the steps are told it.

import (
	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/sentinel"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	steps "github.com/redis-watchdog/redis-watchdog/watchdog/failover"
)

func view(v grant.PlannedFailoverView) steps.View {
	to := steps.View{Order: v.Record.ID, Master: v.Agreement.Address, Holder: v.Grant.Holder, Answers: map[watchdog.Address]steps.Answer{}}
	for from, a := range v.Answers {
		to.Answers[from] = steps.Answer{
			ID: a.ID, Stop: a.Stop, Role: a.Role, Following: a.Following, LinkUp: a.LinkUp,
			Vetoed: a.Vetoed, Barred: a.Priority == "0", Held: a.Held, Serving: a.Serving, Offset: a.Offset, Fault: a.Fault,
		}
	}
	return to
}

func sentinels(v sentinel.View) []steps.Sentinel {
	all := make([]steps.Sentinel, 0, len(v.Sentinels))
	for _, s := range v.Sentinels {
		to := steps.Sentinel{Address: s.Address, Answering: s.Answering, Tilt: s.Tilt, Failover: s.Failover, Master: s.Master, Timeout: s.FailoverTimeout}
		for _, r := range s.Replicas {
			to.Replicas = append(to.Replicas, steps.Replica{Address: r.Address, Priority: r.Priority, Down: r.Down})
		}
		all = append(all, to)
	}
	return all
}
