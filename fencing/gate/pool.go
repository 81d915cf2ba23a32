package gate

// Connections are opened before they are needed: the primary connection, and
// spares that take its place or are armed. With them ready, a Redis that has
// reached maxclients can still be fenced.

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate/resp"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// fillPool opens what is missing until ctx is done.
func (g *Gate) fillPool(ctx context.Context) {
	const least, most = 20 * time.Millisecond, 500 * time.Millisecond
	backoff := least
	for ctx.Err() == nil {
		if !g.short() {
			select {
			case <-ctx.Done():
			case <-g.redial:
			}
			continue
		}
		begun := time.Now()
		err := g.open(ctx)
		if err == nil {
			backoff = least
			continue
		}
		g.mu.Lock()
		g.dialErr = err
		g.failed(time.Since(begun))
		noPrimary := g.primary == nil
		if noPrimary && absent(err) { // what comes next is just beginning
			g.noPrimary = g.conf.Now()
		}
		g.mu.Unlock()
		if ctx.Err() == nil {
			g.unreached(err, noPrimary)
		}
		if noPrimary {
			g.wake.Raise()
		}
		backoff = min(2*backoff, most)
		switch {
		case noPrimary: // a Redis that is started again may be one to be fenced
			backoff = min(backoff, least/2)
		case crowded(err): // a place comes free when somebody leaves
			backoff = min(backoff, 5*least)
		}
		if left := backoff - time.Since(begun); left > 0 {
			sleep(ctx, left)
		}
	}
}

// failed counts an attempt to connect that took so long and came to nothing. One that
// took longer than it may is none, for a while: we were not run, and Redis may have
// been there. Whoever is late for good kills all the same. g.mu is held.
func (g *Gate) failed(took time.Duration) {
	g.failures++
	if took > dialTimeout+refenceEvery && g.lateDials < lateTurns {
		g.failures = 0
		g.lateDials++
	}
}

// unreached says why no connection can be had. With a primary connection only what a
// person must put right is worth saying: a spare comes later.
func (g *Gate) unreached(err error, noPrimary bool) {
	_, answered := errors.AsType[resp.Error](err)
	switch {
	case answered, errors.Is(err, errClosed), errors.Is(err, resp.ErrGarbage): // said elsewhere, or none
	case ofTLS(err):
		g.setFault(Fault{
			ID: "redis_tls", Severity: watchdog.SeverityError,
			Text:   "no TLS connection to Redis at " + g.where() + ": " + err.Error(),
			Remedy: "check nodes[].tls: ca, cert and key, the names in Redis' certificate (server_name), and whether Redis speaks TLS at this port",
		})
	case noPrimary:
		g.mu.Lock()
		never := g.seen.RunID == "" // perhaps it is not where we are told to look
		g.mu.Unlock()
		g.setFault(Fault{
			ID: "redis_unreachable", Severity: severe(never),
			Text:   "no connection to Redis at " + g.where() + ": " + err.Error(),
			Remedy: "start Redis, or check address, socket and tls of nodes[] (a port of TLS closes what is no TLS)",
		})
	}
}

// sleep waits d, or until ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (g *Gate) short() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.primary == nil || len(g.spares) < wantedSpares
}

// open makes one connection and waits until it is of use. Without a primary
// connection it is the primary connection from its first byte on, so that a fence
// can be queued behind its greeting when Redis hangs.
func (g *Gate) open(ctx context.Context) error {
	nc, raw, err := dial(ctx, g.conf.Socket, g.conf.Address, g.conf.TLS)
	if err != nil {
		return err
	}
	c := newConn(nc, raw, &g.sent, g.conf.Now(), g.gone, &g.conns)
	err = g.introduce(ctx, c)
	if err != nil {
		c.close()
	}
	if !c.alive() { // it may have ended before it was anybody's, unseen by gone
		g.gone(c)
	}
	return err
}

// introduce greets Redis on c and makes it the primary connection or a spare.
func (g *Gate) introduce(ctx context.Context, c *conn) error {
	hello := g.greet(c)
	c.hello = hello
	g.adoptPrimary(c)
	for !hello.finished() {
		select {
		case <-hello.done:
		case <-ctx.Done():
			return ctx.Err()
		case <-g.redial: // do not let a spare's greeting delay the primary connection
			g.adoptPrimary(c)
		}
	}
	if err := g.greeted(c, hello); err != nil {
		return err
	}
	c.ready.Store(true)
	g.mu.Lock()
	g.dialErr, g.failures, g.lateDials = nil, 0, 0
	switch g.primary {
	case c:
	case nil:
		g.primary = c
	default:
		g.spares = append(g.spares, c)
	}
	g.mu.Unlock()
	for _, id := range []string{"redis_auth", "redis_tls", "redis_unreachable"} {
		g.clearFault(id)
	}
	g.wake.Raise()
	return nil
}

// adoptPrimary makes c the primary connection where there is none.
func (g *Gate) adoptPrimary(c *conn) {
	g.mu.Lock()
	first := g.primary == nil
	if first {
		g.primary = c
	}
	g.mu.Unlock()
	if first {
		g.fenceWake.Raise()
		g.wake.Raise()
	}
}

const clientName = "redis-watchdog"

// greet sends the greeting: HELLO does it all in one command and one answer;
// where it is not to be had, the three that are older.
func (g *Gate) greet(c *conn) *call {
	g.mu.Lock()
	plain := g.caps.NoHello
	g.mu.Unlock()
	user := g.conf.Username
	if user == "" {
		user = "default"
	}
	var s script
	if !plain {
		args := []string{"2"}
		if g.conf.Password != "" || g.conf.Username != "" {
			args = append(args, "AUTH", user, g.conf.Password)
		}
		s = s.with(g.commands, "HELLO", append(args, "SETNAME", clientName)...)
	} else {
		switch {
		case g.conf.Username != "":
			s = s.with(g.commands, "AUTH", user, g.conf.Password)
		case g.conf.Password != "":
			s = s.with(g.commands, "AUTH", g.conf.Password)
		}
		s = s.with(g.commands, "CLIENT", "SETNAME", clientName).with(g.commands, "CLIENT", "ID")
	}
	return c.send(s.bytes, s.n, g.conf.Now(), nil)
}

// greeted reads the answers to greet.
func (g *Gate) greeted(c *conn, hello *call) error {
	if hello.err != nil {
		return hello.err
	}
	last := hello.replies[len(hello.replies)-1]
	first := hello.replies[0]
	switch {
	case first.UnknownCommand() && len(hello.replies) == 1,
		first.ErrorIs("NOPERM") && len(hello.replies) == 1:
		g.mu.Lock()
		g.caps.NoHello = true
		g.mu.Unlock()
		return first.Err()
	case refusesLogin(first):
		g.setFault(Fault{
			ID:       "redis_auth",
			Severity: watchdog.SeverityError,
			Text:     "Redis at " + g.where() + " refuses our login: " + first.Text,
			Remedy:   remedyLogin,
		})
		return first.Err()
	case first.ErrorIs("BUSY", "LOADING") || crowded(first.Err()):
		return first.Err()
	}
	if last.Kind == ':' {
		c.id.Store(last.Num)
	}
	for i := 0; i+1 < len(last.Elems); i += 2 {
		if last.Elems[i].Text == "id" {
			c.id.Store(last.Elems[i+1].Num)
		}
	}
	return nil
}

// refusesLogin says that an answer to greet refuses our user or password.
func refusesLogin(first resp.Reply) bool {
	return first.ErrorIs("WRONGPASS", "NOAUTH", "NOPERM") || first.IsError() && strings.Contains(first.Text, "AUTH")
}

// turnedAway says that Redis has refused the login of a connection. What it answers
// there after that is said to its user default.
func (c *conn) turnedAway() bool {
	h := c.hello
	return h != nil && h.finished() && h.err == nil && refusesLogin(h.replies[0])
}

// remedyLogin is for whoever refuses our user or password.
const remedyLogin = "check username and password_file of nodes[] against ACL LIST (or requirepass) in Redis"

// gone is told by a connection's reader that it has ended. A reset is the
// earliest sign of a promotion: Sentinel's reconfiguration kills every client.
func (g *Gate) gone(c *conn) {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	g.mu.Lock()
	lost := g.primary == c
	if lost {
		g.primary = nil
		if c.ready.Load() { // one that was never let in changes nothing
			g.noPrimary = g.conf.Now()
		}
		for i, s := range g.spares { // a spare takes its place at once
			if s.alive() {
				g.primary = s
				g.spares = append(g.spares[:i:i], g.spares[i+1:]...)
				break
			}
		}
		if g.primary == nil {
			g.lastAnswer, g.refused = watchdog.Silent, false // what comes next may be another Redis
		}
	}
	for i, s := range g.spares {
		if s == c {
			g.spares = append(g.spares[:i:i], g.spares[i+1:]...)
			break
		}
	}
	g.mu.Unlock()
	if errors.Is(err, resp.ErrGarbage) {
		g.heardGarbage(err)
	}
	g.redial.Raise()
	if lost {
		g.fenceWake.Raise()
		g.ObserveNow()
	}
}

// heardGarbage counts what is not Redis.
func (g *Gate) heardGarbage(err error) {
	g.garbage.Add(1)
	g.setFault(Fault{
		ID: "redis_protocol", Severity: watchdog.SeverityError,
		Text:   "what answers at " + g.where() + " does not speak the Redis protocol: " + err.Error(),
		Remedy: "check address, socket and tls of this Redis in the configuration",
	})
}

func (g *Gate) where() string {
	if g.conf.Socket != "" {
		return g.conf.Socket
	}
	return g.conf.Address
}

// spare takes a connection out of the spares; nil when there is none.
func (g *Gate) spare() *conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.spares) > 0 {
		c := g.spares[0]
		g.spares = g.spares[1:]
		if c.alive() {
			g.redial.Raise()
			return c
		}
	}
	g.redial.Raise()
	return nil
}

// giveBack returns a spare that was not used up.
func (g *Gate) giveBack(c *conn) {
	g.mu.Lock()
	if c.alive() && len(g.spares) < wantedSpares {
		g.spares = append(g.spares, c)
		g.mu.Unlock()
		return
	}
	g.mu.Unlock()
	c.close()
}

func (g *Gate) closeAll() {
	g.mu.Lock()
	all := append([]*conn{}, g.spares...)
	if g.primary != nil {
		all = append(all, g.primary)
	}
	fences := append([]*armed{}, g.fences...)
	g.mu.Unlock()
	if g.worker.small.call != nil {
		all = append(all, g.worker.small.on)
	}
	for _, c := range all {
		c.close()
	}
	for _, a := range fences {
		a.drop()
	}
}
