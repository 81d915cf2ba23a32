package daemon

// What is said of a Redis whose data may not be given to clients.

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// dataPatience is how long such data is a matter of a start: it is in step in a
// moment, or the other nodes have not said yet what they came up with.
const dataPatience = 5 * time.Second

// showData adds the fault of a replica, or of one that was promoted, whose data is
// not what the group has acknowledged. One that is shut has another (held_shut), and
// one that copies from a master that serves has none.
func (x *node) showData(s *agent.Status) {
	state := x.agent.State()
	d := state.Data()
	since := state.UnfitSince
	if d.Good() || since == 0 || agent.Boottime().Sub(since) < dataPatience || state.Redis.Role == watchdog.Nowhere || state.Coordinator.RoundAt == 0 {
		return
	}
	linked := d == watchdog.DataUnrelated && state.Redis.LinkUp
	if holder := state.Coordinator.Grant.Holder; state.Redis.Role == watchdog.Replica && holder != "" && holder != state.Self() && !linked {
		return
	}
	id := "data_behind"
	if d == watchdog.DataUnrelated {
		id = "data_unrelated"
	}
	s.Faults = append(s.Faults, agent.Fault{
		ID: id, Severity: agent.SeverityError, Text: dataText(state), Remedy: x.dataRemedy(state),
	})
}

// dataText says what our data is, and what it should be.
func dataText(s watchdog.State) string {
	r, rec, disks := s.Redis, s.Coordinator.Record, s.Coordinator.Disks
	last := fmt.Sprintf("%s, the last master, told etcd of offset %d of history %s", orNobody(rec.Master), rec.Offset, short(rec.ID))
	switch {
	case s.Data() == watchdog.DataUnrelated && r.LinkUp:
		return fmt.Sprintf("this Redis is in step with %s, and that data has nothing to do with this group's: it is of history %s, and %s", r.Following, short(r.Position.ID), last)
	case r.Position.ID == "":
		return "Redis does not tell how far its data goes (INFO replication), and it has not been seen in step since it started; " + last
	}
	own := fmt.Sprintf("offset %d of history %s", r.Position.Offset, short(r.Position.ID))
	switch {
	case r.Empty:
		own = "not one key"
	case r.Role == watchdog.Master && r.Position.Before != "":
		own = fmt.Sprintf("offset %d of history %s", r.Position.Until, short(r.Position.Before))
	case s.Data() == watchdog.DataUnrelated:
		own += ", which nobody else knows (an append-only file names none)"
	}
	text := fmt.Sprintf("the data of this Redis came from its disk and has not been in step since: %s; %s: what was acknowledged since would be lost", own, last)
	switch {
	case disks.Better != "":
		text += fmt.Sprintf("; %s came up with more", disks.Better)
	case disks.Of.ID != "" && disks.Missing > 0:
		text += fmt.Sprintf("; %d nodes of the group have not said what they came up with", disks.Missing)
	}
	return text
}

// dataRemedy is what can be done: bring back whoever has more, or accept the loss.
func (x *node) dataRemedy(s watchdog.State) string {
	self, rec := s.Self(), s.Coordinator.Record
	accept := fmt.Sprintf("redis-watchdog unfence %s --node %s --force", x.group, self)
	if s.Redis.Role == watchdog.Replica {
		for _, w := range x.watcher.View().Sentinels {
			if host, port, err := net.SplitHostPort(w.Address); err == nil && w.Answering {
				// It tries again by itself, after twice its failover-timeout.
				accept += fmt.Sprintf("; redis-cli -h %s -p %s SENTINEL FAILOVER %s", host, port, x.group)
				break
			}
		}
	}
	first := "start the others: when all are back the newest of their data is taken"
	if rec.Master != "" && rec.Master != self {
		first = fmt.Sprintf("start %s, which had it all", rec.Master)
	}
	return first + "; or, where nobody who has more will come back, accept the loss: " + accept
}

func orNobody(a watchdog.Address) string {
	if a == "" {
		return "nobody"
	}
	return string(a)
}

// short is a replication id that a person can compare.
func short(id string) string {
	const enough = 8
	if len(id) <= enough {
		return id
	}
	return strings.ToLower(id[:enough]) + "…"
}
