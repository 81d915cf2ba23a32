package sentinel

// The subscription of a conversation: one for all groups, and every message is
// handed to those it names.

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog/resp"
)

const (
	aliveEvery   = 10 * time.Second // a subscription this quiet is asked whether it lives
	aliveTimeout = 5 * time.Second
)

// channels are the events that make the polls run now. What they say is not
// read, but for the group they are about.
var channels = []string{
	"+switch-master", "+promoted-slave", "+config-update-from", "+try-failover", "+elected-leader",
	"+failover-state-wait-promotion", "+failover-end", "+odown", "-odown", "+sdown", "-sdown",
	"+tilt", "-tilt", "+reset-master", "+sentinel", "+slave", "+monitor", "-monitor", "+set",
	"-failover-abort-not-elected", "-failover-abort-no-good-slave", "-failover-abort-slave-timeout",
	"+convert-to-slave", "+sentinel-address-switch",
}

// listen keeps a subscription until ctx ends.
func (c *conversation) listen(ctx context.Context) {
	keep(ctx, func() (bool, error) {
		conn, err := c.connect(ctx)
		if err != nil {
			return false, err // the poll connection says so
		}
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		defer stop()
		defer conn.Close()
		defer c.subscription(false, nil)
		return c.events(conn)
	})
}

func (c *conversation) events(conn net.Conn) (good bool, err error) {
	r := &replies{src: conn}
	if err := authenticate(conn, r, c.username, c.password); err != nil {
		return false, err
	}
	if err := send(conn, connectTimeout, resp.Append(nil, append([]string{"SUBSCRIBE"}, channels...)...)); err != nil {
		return false, err
	}
	for range channels {
		r.reset()
		at, err := r.next()
		if err != nil {
			return false, fmt.Errorf("read SUBSCRIBE: %w", err)
		}
		if r.vals[at].kind != '*' {
			err := fmt.Errorf("subscribe: %s", r.text(r.vals[at]))
			c.subscription(false, err)
			return false, err
		}
	}
	c.subscription(true, nil)
	asked := false
	for {
		wait := aliveEvery
		if asked {
			wait = aliveTimeout
		}
		if err := conn.SetDeadline(time.Now().Add(wait)); err != nil {
			return true, fmt.Errorf("set deadline: %w", err)
		}
		r.reset()
		at, err := r.next()
		switch {
		case isTimeout(err) && !asked && len(r.got()) == 0:
			asked = true
			if err := send(conn, aliveTimeout, resp.Append(nil, "PING")); err != nil {
				return true, err
			}
		case err != nil:
			return true, fmt.Errorf("read events: %w", err)
		default:
			asked = false
			c.hand(r, at)
		}
	}
}

// subscription notes that there is one, or why there is none (nil: it was lost).
// Whatever was published before it is lost: everybody asks.
func (c *conversation) subscription(up bool, deaf error) {
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	c.subscribed = up
	if !up && deaf == nil {
		return
	}
	c.deaf = deaf
	for _, p := range c.parties {
		p.w.post(heard{p: p, subscribed: up, deaf: deaf})
		if up {
			p.w.PollNow()
		}
	}
}

// hand has the groups that a message is about ask now, or all, where it is about
// the Sentinel.
func (c *conversation) hand(r *replies, i int) {
	v := r.vals[i]
	if v.kind != '*' || v.n != 3 || r.vals[i+2].kind != '$' || r.vals[i+3].kind != '$' {
		return
	}
	channel, text := r.text(r.vals[i+2]), r.text(r.vals[i+3])
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	if bytes.HasSuffix(channel, []byte("tilt")) {
		for _, p := range c.parties {
			p.w.PollNow()
		}
		return
	}
	for word := range bytes.FieldsSeq(text) {
		for _, p := range c.groups[string(word)] {
			p.w.PollNow()
		}
	}
	for _, p := range c.spaced {
		if mentions(text, p.w.cfg.Group) {
			p.w.PollNow()
		}
	}
}

// spaced says that a group's name is no single word of a message.
func spaced(group string) bool {
	for word := range bytes.FieldsSeq([]byte(group)) {
		return string(word) != group
	}
	return true
}

// mentions says whether a message names a group whose name may hold spaces.
func mentions(text []byte, group string) bool {
	for from := 0; ; {
		i := bytes.Index(text[from:], []byte(group))
		if i < 0 {
			return false
		}
		from += i
		end := from + len(group)
		if (from == 0 || text[from-1] == ' ') && (end == len(text) || text[end] == ' ') {
			return true
		}
		from++
	}
}
