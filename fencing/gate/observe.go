package gate

// Looking at Redis: one pipelined write, answers folded into watchdog.Redis.
//
// Beside an idle master that is ROLE with every poll, CONFIG GET of the lock
// once a second, and the rest seldom. INFO is the dear one (ten times ROLE).

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate/resp"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// observation is one question, answered or not.
type observation struct {
	call *call
	on   *conn
	take []func(resp.Reply) // one an answer

	answeredAt *atomic.Int64 // told by the connection's reader; 0: not yet

	behind uint64 // how many steps were sent before it

	role     resp.Reply
	viaInfo  bool
	ping     resp.Reply
	get, del resp.Reply // of the probes; kind 0: not asked
	cur      settings
	asked    bool // all four settings were asked
	paused   bool
	replies  map[string]string
	keyspace resp.Reply // INFO keyspace; kind 0: not asked
}

const (
	lockEvery        = 900 * time.Millisecond // with the second or so that the polls fall into
	restEvery        = 5 * time.Second
	replicationEvery = 2 * time.Second // of a replica
	memoryEvery      = 30 * time.Second
)

// due says whether what was last done at *at is to be done again, and notes it.
func due(at *watchdog.Instant, now watchdog.Instant, every time.Duration) bool {
	if *at != 0 && now.Sub(*at) < every {
		return false
	}
	*at = now
	return true
}

// compose chooses what to ask now.
func (g *Gate) compose(h *conn, want watchdog.Gate, now watchdog.Instant) *observation {
	w := &g.worker
	l := &observation{on: h, answeredAt: &atomic.Int64{}, replies: map[string]string{}}
	var s script
	put := func(take func(resp.Reply), command string, args ...string) {
		s = s.with(g.commands, command, args...)
		l.take = append(l.take, take)
	}
	fresh := w.on != h // nothing is known of what is behind this connection
	if fresh {
		w.on, w.dirty, w.replicationAt, w.memoryAt, w.lockAt, w.restAt = h, true, 0, 0, 0, 0
	}
	seen := w.seen
	idle := !fresh && seen.Answer == watchdog.Up && seen.Role == watchdog.Master && want.Access != watchdog.Refuse
	if g.pausing(want) {
		put(func(r resp.Reply) { l.paused = r.OK() }, "CLIENT", "PAUSE", strconv.FormatInt(g.conf.pauseFor.Milliseconds(), 10), "WRITE")
	}
	l.viaInfo = w.noRole
	if !w.noRole {
		put(func(r resp.Reply) { l.role = r }, "ROLE")
	}
	if !idle {
		put(func(r resp.Reply) { l.ping = r }, "PING")
	}
	config := func(key string, value *string) {
		put(func(r resp.Reply) {
			if len(r.Elems) == 2 && r.Elems[0].Text == key {
				*value = r.Elems[1].Text
			}
		}, "CONFIG", "GET", key)
	}
	l.asked = due(&w.restAt, now, restEvery) || w.dirty // all four or the lock alone
	if due(&w.lockAt, now, lockEvery) || l.asked {
		config(keyLock, &l.cur.lock)
	}
	if l.asked {
		w.restAt, w.lockAt = now, now
		config(keyLag, &l.cur.lag)
		config(keyPrio, &l.cur.prio)
		config(keyStale, &l.cur.stale)
	}
	w.dirty = false
	g.inquire(l, put, fresh, now)
	g.mu.Lock()
	sent := g.fenceSent
	g.mu.Unlock()
	// Never ahead of the fence: while writers are held DEL would hold it up.
	if seen.Role == watchdog.Nowhere || want.Access == watchdog.Refuse && sent {
		put(func(r resp.Reply) { l.get = r }, "GET", probeKey)
		put(func(r resp.Reply) { l.del = r }, "DEL", probeKey)
	}
	g.mu.Lock()
	l.behind = g.changes
	l.call = h.send(s.bytes, s.n, now, func(*call) { l.answeredAt.Store(int64(g.conf.Now())) })
	g.mu.Unlock()
	return l
}

// inquire adds what INFO tells, as seldom as will do.
func (g *Gate) inquire(l *observation, put func(take func(resp.Reply), command string, args ...string), fresh bool, now watchdog.Instant) {
	w, seen := &g.worker, g.worker.seen
	inform := func(r resp.Reply) {
		if r.Kind == '$' {
			for k, v := range info(r.Text) {
				l.replies[k] = v
			}
		}
	}
	if fresh {
		put(inform, "INFO", "server")
	}
	// ROLE tells all of it beside a master but its replication ids, and those are
	// others after a promotion.
	alone := seen.Role == watchdog.Nowhere || seen.Role == watchdog.Replica && !seen.LinkUp
	memory := due(&w.memoryAt, now, memoryEvery)
	if seen.Role != watchdog.Master && due(&w.replicationAt, now, replicationEvery) || fresh || w.noRole || alone ||
		seen.Role == watchdog.Master && (memory || w.infoRole != "master") {
		put(inform, "INFO", "replication")
		if seen.Role != watchdog.Master || fresh {
			put(inform, "INFO", "stats")
			put(inform, "INFO", "persistence")
		}
	}
	if alone || fresh {
		put(func(r resp.Reply) { l.keyspace = r }, "INFO", "keyspace")
	}
	if memory {
		put(inform, "INFO", "memory")
		for _, key := range []string{"replica-announce-ip", "replica-announce-port"} {
			put(func(r resp.Reply) {
				if len(r.Elems) == 2 {
					l.replies[key] = r.Elems[1].Text
				}
			}, "CONFIG", "GET", key)
		}
	}
}

// observe asks Redis, or goes on waiting for what was asked, and reports.
func (g *Gate) observe(ctx context.Context, report func(watchdog.Redis)) {
	w := &g.worker
	g.mu.Lock()
	h, want, wanted, dialErr := g.primary, g.want, g.wanted, g.dialErr
	g.mu.Unlock()
	if !wanted {
		want.Access = watchdog.Leave
	}
	now := g.conf.Now()
	if w.pending != nil && w.pending.on != h {
		w.owed.owes(w.seen.RunID, w.pending.call.sentAt)
		w.pending = nil // Redis closed that one: nobody answers
	}
	seen, behind := w.seen, uint64(0)
	switch {
	case h == nil:
		seen.SeenAt, seen.Answer, seen.ArmedFor = now, watchdog.Silent, 0
		if dialErr != nil && absent(dialErr) {
			seen.Answer = watchdog.Absent
			w.owed = debt{} // it ended
		}
		seen.Refusing = seen.Answer == watchdog.Absent
	default:
		if w.pending == nil {
			w.pending = g.compose(h, want, now)
		}
		l := w.pending
		waited := g.conf.Now()
		answered := l.call.wait(ctx, lookTimeout)
		if took := g.conf.Now().Sub(waited); !answered || took > lookTimeout {
			w.owed.owes(w.seen.RunID, l.call.sentAt)
			w.owed.sleptIn(took, lookTimeout)
		}
		seen.SeenAt = l.call.sentAt
		if answered {
			w.pending = nil
			if l.call.err == nil {
				g.fold(l, &seen)
				if seen.Answer != watchdog.Silent {
					g.paid(l, w.seen, seen)
				}
				behind = l.behind
				break
			}
		}
		seen.Answer, seen.Refusing = watchdog.Silent, false
	}
	seen.ArmedFor = g.armedFor()
	w.seen = seen
	if g.noteSeen(seen, h, behind) {
		g.fenceWake.Raise()
	}
	report(seen)
}

// noteSeen passes an observation by a connection (nil: there is none) on to the
// fencer: behind is how many steps it came after; zero: it was not answered. It says
// whether a fence is to be sent.
func (g *Gate) noteSeen(seen watchdog.Redis, by *conn, behind uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen = seen
	if g.changed == nil || g.changed.finished() && g.changed.err == nil { // else it may still be to come, on a connection that has ended
		g.settled = max(g.settled, behind)
	}
	if seen.Answer != watchdog.Silent {
		// One that refuses our login, and is asked again and again, is heard every time.
		if seen.Answer != watchdog.Absent && (g.lastAnswer == watchdog.Silent || g.lastAnswer == watchdog.Absent) && !(by != nil && by.turnedAway()) {
			g.heardAt = g.conf.Now()
		}
		g.lastAnswer = seen.Answer
		if seen.Refusing || seen.SentAt > g.provedAt {
			g.refused = seen.Refusing && seen.Answer != watchdog.Absent
		}
	}
	if by == nil || seen.SentAt > g.provedAt { // an older look does not undo what the fencer has seen
		g.provedAt = 0
	}
	return g.wanted && g.want.Access == watchdog.Refuse &&
		(g.settled != g.changes || !(seen.Refusing && seen.Answer == watchdog.Up) && g.provedAt == 0 && !g.spared(seen))
}

// fold takes the answers in.
func (g *Gate) fold(l *observation, seen *watchdog.Redis) {
	w := &g.worker
	for i, take := range l.take {
		take(l.call.replies[i])
	}
	seen.Answer = g.classify(l)
	if seen.Answer == watchdog.Silent {
		seen.Refusing = false
		return
	}
	seen.SentAt = l.call.sentAt
	if id := l.replies["run_id"]; id != "" {
		g.met(l.replies, seen)
	}
	was := seen.Role
	g.foldRole(l, seen)
	if w.firstLook {
		w.firstLook = false
		seen.StartedFenced = seen.Role == watchdog.Nowhere
		if w.originals.RunID == seen.RunID {
			seen.StartedFenced = w.originals.StartedFenced
		}
	}
	if l.cur.lock != "" {
		w.cur.lock = l.cur.lock
	}
	if l.asked && l.cur.known() {
		w.cur = l.cur
	}
	seen.Locked = w.cur.locked()
	if l.paused {
		w.heldAt = l.call.sentAt
	}
	seen.Held = w.heldAt != 0 && g.conf.Now().Sub(w.heldAt) < g.conf.pauseFor
	if text, told := l.replies["master_repl_offset"]; told {
		if offset, err := strconv.ParseInt(text, 10, 64); err == nil {
			seen.Offset = offset
		}
	}
	master := len(l.role.Elems) >= 3 && l.role.Elems[0].Text == "master"
	if e := l.role.Elems; len(e) >= 5 && e[0].Text == "slave" && e[4].Num > 0 { // -1 while it has no link
		seen.Offset = e[4].Num
	}
	seen.Attached = 0
	if master && l.role.Elems[1].Kind == ':' {
		seen.Offset = l.role.Elems[1].Num
	}
	if master {
		seen.Attached = len(l.role.Elems[2].Elems)
	}
	g.foldData(l, was, seen)
	seen.Refusing = g.refuses(l, seen)
	if seen.Role != watchdog.Nowhere && seen.Role != watchdog.RoleUnknown && seen.Answer == watchdog.Up {
		seen.StartedFenced = false
	}
	g.mu.Lock()
	g.details.fill(l.replies, l.call.sentAt)
	g.details.Replication = replicationOf(l.replies, seen.RunID, g.details.Replication)
	g.details.Priority = w.cur.prio
	if master {
		g.details.LagSeconds, g.details.ReplicaOffset, g.details.ReadAt = -1, 0, l.call.sentAt
		g.details.Replication.Replica = false
		g.details.MasterOffset, g.details.ConnectedReplicas = seen.Offset, len(l.role.Elems[2].Elems)
	}
	g.mu.Unlock()
}

// classify says how Redis answered.
func (g *Gate) classify(l *observation) watchdog.Answer {
	for _, r := range []resp.Reply{l.role, l.ping} {
		switch {
		case r.ErrorIs("LOADING"):
			return watchdog.Loading
		case r.ErrorIs("BUSY"):
			return watchdog.Busy
		case r.ErrorIs("NOAUTH"):
			return watchdog.Silent
		}
	}
	if l.viaInfo {
		if l.replies["role"] == "" {
			return watchdog.Silent
		}
		return watchdog.Up
	}
	switch {
	case l.role.ErrorIs("NOPERM"), l.role.UnknownCommand():
		g.worker.noRole = true // INFO replication tells it too, at a higher price
		return watchdog.Silent
	case l.role.Kind != '*' || len(l.role.Elems) < 3:
		g.heardGarbage(resp.ErrGarbage)
		return watchdog.Silent
	}
	return watchdog.Up
}

// foldRole reads ROLE, or INFO replication in its place.
func (g *Gate) foldRole(l *observation, seen *watchdog.Redis) {
	var host, port string
	role, link := "", false
	switch {
	case l.viaInfo:
		role, host, port = l.replies["role"], l.replies["master_host"], l.replies["master_port"]
		link = l.replies["master_link_status"] == "up"
	case len(l.role.Elems) >= 3:
		e := l.role.Elems
		if role = e[0].Text; role == "slave" && len(e) >= 4 {
			host, port, link = e[1].Text, e[2].Text, e[3].Text == "connected"
		}
	default:
		return // LOADING or BUSY: what was last told stands
	}
	seen.Following, seen.LinkUp = "", false
	g.worker.nowhere, g.worker.following = host, ""
	switch {
	case role == "master":
		seen.Role = watchdog.Master
	case role == "slave" && isNowhere(host, port):
		seen.Role = watchdog.Nowhere
	case role == "slave":
		seen.Role, seen.LinkUp = watchdog.Replica, link
		if n, err := strconv.ParseUint(port, 10, 16); err == nil && n > 0 && host != "" { // else: of somebody who is not told
			g.worker.following = watchdog.Address(net.JoinHostPort(strings.Trim(host, "[]"), port))
			seen.Following = g.same(g.worker.following)
		}
	default:
		seen.Role = watchdog.RoleUnknown
	}
}

// foldData takes in how far the data goes, and whether it has been in step.
func (g *Gate) foldData(l *observation, was watchdog.Role, seen *watchdog.Redis) {
	if seen.Answer != watchdog.Up {
		return // what it tells while it is LOADING is of no data yet
	}
	if seen.Role != was {
		seen.Position = watchdog.Position{} // a promotion begins another history
	}
	if role, told := l.replies["role"]; told {
		g.worker.infoRole = role
		if (role == "master") == (seen.Role == watchdog.Master) {
			seen.Position = positionOf(l.replies)
		}
	}
	if l.keyspace.Kind == '$' {
		seen.Empty = !strings.Contains(l.keyspace.Text, ":keys=")
	}
	since, told := l.replies["master_link_down_since_seconds"]
	switch {
	case seen.Role != watchdog.Replica:
		seen.InStep = false
	case seen.LinkUp:
		seen.InStep = true
	case told:
		seen.InStep = lostLink(since)
	}
}

// lostLink says whether a link that is down was up, by
// master_link_down_since_seconds: never is -1, and before 7.0 the seconds since
// 1970.
func lostLink(since string) bool {
	const decades = 1e9
	v, err := strconv.ParseInt(since, 10, 64)
	return err == nil && v >= 0 && v < decades
}

// positionOf is what INFO replication tells of it; zero where it tells none.
func positionOf(info map[string]string) watchdog.Position {
	offset, err := strconv.ParseInt(info["master_repl_offset"], 10, 64)
	if err != nil || info["master_replid"] == "" {
		return watchdog.Position{}
	}
	p := watchdog.Position{ID: info["master_replid"], Offset: offset}
	before := info["master_replid2"]
	if until, err := strconv.ParseInt(info["second_repl_offset"], 10, 64); err == nil && until > 0 && strings.Trim(before, "0") != "" {
		p.Before, p.Until = before, until-1 // the first that it does not have
	}
	return p
}

// met notes which Redis this is. One that is new to us and already fenced was
// held shut from its first command: by the start gate, or by its redis.conf.
func (g *Gate) met(replies map[string]string, seen *watchdog.Redis) {
	w := &g.worker
	id := replies["run_id"]
	if id != seen.RunID {
		w.cur, w.rejoin, w.killed, w.noRole = settings{}, false, false, false
		w.firstLook = true
		w.pid, _ = strconv.Atoi(replies["process_id"])
		w.configFile = replies["config_file"]
		w.rewriteDue, w.fencedSeen, w.openBare = false, false, false
		w.infoRole = ""
		seen.Position, seen.LinkUp, seen.InStep, seen.Empty = watchdog.Position{}, false, false, false
	}
	seen.RunID = id
}

// refuses says whether clients were seen to be refused.
func (g *Gate) refuses(l *observation, seen *watchdog.Redis) bool {
	if seen.Answer == watchdog.Loading {
		return true
	}
	if seen.Answer != watchdog.Up || seen.Role != watchdog.Nowhere || l.get.Kind == 0 {
		return false
	}
	read, write := refusesRead(l.get), refusesWrite(l.del)
	if l.get.ErrorIs("NOPERM") || l.del.ErrorIs("NOPERM") {
		// We may not try: the parameter that makes Redis refuse is the witness.
		return g.worker.cur.stale == staleValue
	}
	return read && write
}

// refusesRead and refusesWrite say whether the answer to a probe is what a fenced
// Redis gives.
func refusesRead(get resp.Reply) bool { return get.ErrorIs("MASTERDOWN") }

// MISCONF is what a Redis that cannot save says to a writer before it looks at its
// role, from 7.0 on a replica too (server.c, processCommand). By itself it is no
// fence, for it ends with the next good save; beside a reader that gets MASTERDOWN
// what comes behind it is MASTERDOWN.
func refusesWrite(del resp.Reply) bool { return del.ErrorIs("MASTERDOWN", "READONLY", "MISCONF") }
