package lab

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Role is what Redis answers to ROLE.
type Role struct {
	Name      string // master, slave; empty: it does not answer
	Following string // slave: "ip:port" of its master
	Link      string // slave: connect, connecting, sync, connected, handshake, none
}

// Synced says that it is a replica and in step with its master.
func (r Role) Synced() bool { return r.Name == "slave" && r.Link == "connected" }

func (r Role) String() string {
	if r.Name == "slave" {
		return fmt.Sprintf("slave of %s (%s)", r.Following, r.Link)
	}
	if r.Name == "" {
		return "silent"
	}
	return r.Name
}

// Role asks through the side door. The zero Role: no answer.
func (r *Redis) Role() Role {
	reply, err := r.Try("ROLE")
	if err != nil {
		return Role{}
	}
	return parseRole(reply)
}

func parseRole(reply any) Role {
	fields, _ := reply.([]any)
	if len(fields) == 0 {
		return Role{}
	}
	role := Role{Name: fmt.Sprint(fields[0])}
	if role.Name == "slave" && len(fields) >= 4 {
		role.Following = net.JoinHostPort(fmt.Sprint(fields[1]), fmt.Sprint(fields[2]))
		role.Link = fmt.Sprint(fields[3])
	}
	return role
}

// RoleChange is a role seen for the first time. It was taken on after After
// (the sending of the last question that was answered otherwise) and before At
// (the receiving of this answer).
type RoleChange struct {
	Role  Role
	After watchdog.Instant
	At    watchdog.Instant
}

// RoleWatch asks one Redis for its role again and again through the side door.
type RoleWatch struct {
	redis *Redis

	mu      sync.Mutex
	changes []RoleChange
}

// WatchRole starts to watch, every 10 ms, until the lab ends. Changes are
// marked on the timeline.
func (r *Redis) WatchRole() *RoleWatch {
	w := &RoleWatch{redis: r}
	r.Host.lab.background.Go(w.run)
	return w
}

func (w *RoleWatch) run() {
	l := w.redis.Host.lab
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var door *wire
	defer func() {
		if door != nil {
			door.close()
		}
	}()
	var last Role
	var asked watchdog.Instant
	for first := true; ; first = false {
		at := Now()
		var role Role
		role, door = w.ask(door)
		if l.ctx.Err() != nil {
			return
		}
		if first || role != last {
			c := RoleChange{Role: role, After: asked, At: Now()}
			w.mu.Lock()
			w.changes = append(w.changes, c)
			w.mu.Unlock()
			l.MarkAt(c.At, w.redis.Name, "role: %s", role)
		}
		if last = role; role.Name != "" { // one that says nothing shows no role that it left later
			asked = at
		}
		select {
		case <-l.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// ask asks over a connection that is kept. One that was killed (every fence
// and every failover does that) is replaced, and the question asked again.
func (w *RoleWatch) ask(door *wire) (Role, *wire) {
	for range 2 {
		if door == nil {
			var err error
			if door, err = w.redis.sideWire(); err != nil {
				return Role{}, nil
			}
		}
		reply, err := door.do(500*time.Millisecond, "ROLE")
		if err == nil {
			return parseRole(reply), door
		}
		door.close()
		door = nil
	}
	return Role{}, nil
}

// Changes so far; the first is what it was when the watch began.
func (w *RoleWatch) Changes() []RoleChange {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.changes)
}

// First is the first change after t that matches, and whether there was one.
func (w *RoleWatch) First(after watchdog.Instant, match func(Role) bool) (RoleChange, bool) {
	for _, c := range w.Changes() {
		if c.At > after && match(c.Role) {
			return c, true
		}
	}
	return RoleChange{}, false
}

// BecameMaster is the first change to master after t. At is zero: none.
func (w *RoleWatch) BecameMaster(after watchdog.Instant) RoleChange {
	c, _ := w.First(after, func(r Role) bool { return r.Name == "master" })
	return c
}

// BecameReplica is the first time after t that it was a replica in step with
// its master. At is zero: never.
func (w *RoleWatch) BecameReplica(after watchdog.Instant) RoleChange {
	c, _ := w.First(after, Role.Synced)
	return c
}
