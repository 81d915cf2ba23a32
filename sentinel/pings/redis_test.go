package pings_test

// Real Redis and real Sentinels: what their PINGs prove is held against what they
// say themselves.

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/sentinel/pings"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// ears is a Listener beside a Redis, and what it has reported.
type ears struct {
	*pings.Listener
	mu   sync.Mutex
	last map[string]watchdog.Ping
}

// listen starts one that is told that no Sentinel of the group can be asked.
func listen(t *testing.T, g *lab.Group, r *lab.Redis) *ears {
	t.Helper()
	e := &ears{last: map[string]watchdog.Ping{}}
	e.Listener = pings.New(pings.Config{
		Now: lab.Now,
		Clients: func(context.Context) (string, error) {
			reply, err := r.Try("CLIENT", "LIST")
			return fmt.Sprint(reply), err
		},
		Report: func(all []watchdog.Ping) {
			e.mu.Lock()
			defer e.mu.Unlock()
			for _, p := range all {
				e.last[p.Sentinel] = p
			}
		},
	})
	var known []pings.Sentinel
	for _, s := range g.Sentinels {
		known = append(known, pings.Sentinel{ID: id(s), Address: netip.MustParseAddr(s.Host.IP), Unasked: true})
	}
	e.Want(known)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	return e
}

// id is its run id, as the others and its file know it; before 6.2 it has no MYID.
func id(s *lab.Sentinel) string {
	if reply, err := s.Try("SENTINEL", "MYID"); err == nil {
		return fmt.Sprint(reply)
	}
	return s.MyID()
}

func (e *ears) of(id string) watchdog.Ping {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last[id]
}

// truthful waits until several PINGs of each Sentinel were heard, and holds each
// against what that Sentinel says: the PONG it took last cannot be from before
// the PING that counts came in.
func (e *ears) truthful(t *testing.T, l *lab.Lab, g *lab.Group) {
	t.Helper()
	for _, s := range g.Sentinels {
		id := id(s)
		seen := map[watchdog.Instant]bool{}
		l.Eventually("PINGs of "+s.Name+" are heard", time.Minute, func() error {
			p := e.of(id)
			state := s.State(g.Name)
			answered := lab.Now()
			if p.At == 0 || state == nil {
				return fmt.Errorf("%+v, %v; %s", p, state, e.Why())
			}
			age, err := strconv.Atoi(state["last-ok-ping-reply"])
			if err != nil {
				return err
			}
			// Its clock is in milliseconds.
			if pong := answered.Add(-time.Duration(age-1) * time.Millisecond); p.At > pong {
				t.Fatalf("%s: a PING counts from %v after the last PONG that it took", s.Name, p.At.Sub(pong))
			}
			if seen[p.At] = true; len(seen) < 4 {
				return fmt.Errorf("%d PINGs; %s", len(seen), e.Why())
			}
			return nil
		})
	}
}

func TestPingsOfRealSentinels(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]func(l *lab.Lab) lab.GroupConfig{
		"plain": func(*lab.Lab) lab.GroupConfig { return lab.GroupConfig{} },
		"ACL users": func(*lab.Lab) lab.GroupConfig {
			return lab.GroupConfig{
				Redis: lab.RedisConfig{
					Users:    []string{"user default off", "user watch on >secret allchannels ~* +@all", "user repl on >secret +psync +replconf +ping"},
					ReplUser: "repl", ReplPass: "secret",
				},
				Monitor: lab.Monitor{User: "watch", Password: "secret"},
			}
		},
		"TLS": func(l *lab.Lab) lab.GroupConfig { return lab.GroupConfig{Redis: lab.RedisConfig{TLS: l.CA()}} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := lab.Loopback(t)
			g := l.Group(config(l))
			e := listen(t, g, g.Redis[0])
			e.truthful(t, l, g)
			// A replica hears them too: it may be promoted.
			listen(t, g, g.Redis[1]).eventually(t, l, g)
			if name == "plain" {
				e.held(t, l, g)
				e.reconnected(t, l, g)
			}
		})
	}
}

// eventually waits for one PING of each.
func (e *ears) eventually(t *testing.T, l *lab.Lab, g *lab.Group) {
	t.Helper()
	from := lab.Now()
	for _, s := range g.Sentinels {
		id := id(s)
		l.Eventually("a PING of "+s.Name+" is heard", time.Minute, func() error {
			if p := e.of(id); p.At < from {
				return fmt.Errorf("%+v; %s", p, e.Why())
			}
			return nil
		})
	}
}

// held: while writers are held the PINGs wait behind Sentinel's hello, and count
// again when that ends.
func (e *ears) held(t *testing.T, l *lab.Lab, g *lab.Group) {
	t.Helper()
	for range 3 {
		g.Redis[0].Do("CLIENT", "PAUSE", "900", "WRITE")
		l.Pause(time.Second)
		e.eventually(t, l, g)
	}
	e.truthful(t, l, g)
}

// reconnected: their connections are cut, and are found anew.
func (e *ears) reconnected(t *testing.T, l *lab.Lab, g *lab.Group) {
	t.Helper()
	g.Redis[0].Do("CLIENT", "KILL", "TYPE", "normal")
	e.eventually(t, l, g)
	g.Sentinels[1].Kill()
	g.Sentinels[1].Restart()
	e.eventually(t, l, g)
	e.truthful(t, l, g)
}

// A Sentinel that is not let in is answered NOAUTH: that is no PONG, and it will
// hold the master down.
func TestAPingThatIsRefusedCountsForNothing(t *testing.T) {
	t.Parallel()
	l := lab.Loopback(t)
	h := l.Host("a")
	r := h.Redis(lab.RedisConfig{Password: "secret"})
	s := h.Sentinel(lab.SentinelConfig{Monitors: []lab.Monitor{{MasterAddress: r.Address, Quorum: 1, DownAfter: 3 * time.Second}}})
	g := &lab.Group{Name: "mymaster", Redis: []*lab.Redis{r}, Sentinels: []*lab.Sentinel{s}}
	e := listen(t, g, r)
	l.Eventually("the Sentinel holds it down", time.Minute, func() error {
		if flags := s.State(g.Name)["flags"]; flags == "master" {
			return fmt.Errorf("flags %s", flags)
		}
		return nil
	})
	if p := e.of(id(s)); p.At != 0 {
		t.Errorf("a PING counts: %+v", p)
	}
	s.Do("SENTINEL", "SET", g.Name, "auth-pass", "secret")
	e.eventually(t, l, g)
}

// It hangs, and hears nothing; its host takes what is sent to it.
func TestAHostThatIsNotThereCountsForNothing(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	g := l.Group(lab.GroupConfig{SentinelHosts: l.Hosts("s", "t", "u")})
	e := listen(t, g, g.Redis[0]) // in another network than Redis: nothing can be heard
	l.Eventually("it says why nothing is heard", time.Minute, func() error {
		if e.Why() == "" {
			return errors.New("it says nothing")
		}
		return nil
	})
	for _, s := range g.Sentinels {
		if p := e.of(id(s)); p.At != 0 {
			t.Errorf("%s counts: %+v", s.Name, p)
		}
	}
}
