package sentinel

// The subscription of a conversation: one for all groups, and every message is
// handed to those it names.

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-watchdog/redis-watchdog/watchdog/redisclient"
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
		l, err := c.connect(ctx, true)
		if err != nil {
			return false, err // the poll connection says so
		}
		defer l.close()
		defer context.AfterFunc(ctx, func() { l.raw.Close() })()
		defer c.subscription(false, nil)
		return c.events(ctx, l)
	})
}

func (c *conversation) events(ctx context.Context, l *link) (good bool, err error) {
	pubsub := l.client.Subscribe(ctx)
	defer pubsub.Close()
	begin, cancel := context.WithTimeout(ctx, 2*connectTimeout)
	defer cancel()
	if err := pubsub.Subscribe(begin, channels...); err != nil {
		return false, fmt.Errorf("subscribe: %w", err)
	}
	for range channels {
		if _, err := redisclient.Receive(begin, pubsub, connectTimeout); err != nil {
			if text, refused := redisclient.Refusal(err); refused {
				c.subscription(false, fmt.Errorf("subscribe: %s", text))
			}
			return false, fmt.Errorf("read SUBSCRIBE: %w", err)
		}
	}
	c.subscription(true, nil)
	asked := false
	for {
		wait := aliveEvery
		if asked {
			wait = aliveTimeout
		}
		came := l.bytes.Load()
		message, err := redisclient.Receive(ctx, pubsub, wait)
		switch {
		// Of a message that has come in part the library has read that part, and
		// forgotten it.
		case isTimeout(err) && !asked && l.bytes.Load() == came:
			asked = true
			ping, cancel := context.WithTimeout(ctx, aliveTimeout)
			err := pubsub.Ping(ping)
			cancel()
			if err != nil {
				return true, fmt.Errorf("ping: %w", err)
			}
		case err != nil:
			return true, fmt.Errorf("read events: %w", err)
		default:
			asked = false
			if m, ok := message.(*redis.Message); ok {
				c.hand(m.Channel, m.Payload)
			}
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
func (c *conversation) hand(channel, text string) {
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	if strings.HasSuffix(channel, "tilt") {
		for _, p := range c.parties {
			p.w.PollNow()
		}
		return
	}
	for word := range strings.FieldsSeq(text) {
		for _, p := range c.groups[word] {
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
	for word := range strings.FieldsSeq(group) {
		return word != group
	}
	return true
}

// mentions says whether a message names a group whose name may hold spaces.
func mentions(text, group string) bool {
	for from := 0; ; {
		i := strings.Index(text[from:], group)
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
