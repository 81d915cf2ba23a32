package gate

// Before a Redis is killed: whether it is silent, or has only not been listened to.
// On a host that is short of processor an answer lies in the socket for seconds, and
// all that is known of a healthy Redis is from before it was fenced.

import (
	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// refusing says whether Redis is known to refuse its clients, or to be one that has
// none to refuse. g.mu is held.
//
// One that falls silent while it loads is loading still, and answers nobody; one that
// does so fenced (its CONFIG REWRITE waits for a slow disk) will be fenced when it
// wakes.
func (g *Gate) refusing(now watchdog.Instant) bool {
	seen := g.seen
	return seen.Refusing || g.spared(seen) || seen.Answer == watchdog.Absent || g.lastAnswer == watchdog.Loading ||
		seen.Answer == watchdog.Silent && g.refused || g.provedAt != 0 && now.Sub(g.provedAt) < lookTimeout
}

// unread says that what Redis said last, an answer or that the connection has ended,
// is here and has not been taken in: its reader or the fencer was not run. g.mu is held.
func (g *Gate) unread() bool {
	if k := g.fencing; k != nil && k.finished() && k.err == nil {
		return true // to be judged
	}
	return g.primary != nil && g.primary.unread()
}

// unread asks the kernel whether anything waits to be read, the end included.
func (c *conn) unread() bool {
	if c.sock == nil {
		return false
	}
	waits := false
	err := c.sock.Control(func(s uintptr) {
		fds := []unix.PollFd{{Fd: int32(s), Events: unix.POLLIN | unix.POLLRDHUP}}
		n, err := unix.Poll(fds, 0)
		waits = err == nil && n > 0
	})
	return err == nil && waits // else it was closed, by us
}

// stillLate says, at the last moment, whether a kill is due yet, and counts it. It is
// not where Redis was seen to refuse meanwhile, or need not; then another may be asked
// for.
func (g *Gate) stillLate() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.want.Access == watchdog.Refuse && !g.refusing(g.conf.Now()) && !g.unread() {
		g.details.Stops++
		return true
	}
	g.stopped = false
	g.fenceWake.Raise()
	return false
}
