package sentinel

// Several groups, one conversation with each Sentinel process: on real Sentinels.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// fleet is some groups of one master and one replica each, watched by three
// Sentinels.
type fleet struct {
	*lab.Lab
	masters, replicas []*lab.Redis
	sentinels         []*lab.Sentinel
	shared            *Conversations
}

func newFleet(t *testing.T, groups int) *fleet {
	t.Helper()
	l := lab.Loopback(t)
	f := &fleet{Lab: l, shared: newShared(t)}
	var monitors []lab.Monitor
	for i := range groups {
		m := l.Host("a").Redis(lab.RedisConfig{})
		f.masters = append(f.masters, m)
		f.replicas = append(f.replicas, l.Host("b").Redis(lab.RedisConfig{ReplicaOf: m}))
		monitors = append(monitors, lab.Monitor{Group: f.name(i), Master: m, DownAfter: 10 * time.Second})
	}
	for _, h := range l.Hosts("a", "b", "c") {
		f.sentinels = append(f.sentinels, h.Sentinel(lab.SentinelConfig{Monitors: monitors}))
	}
	for i := range groups {
		l.WaitStable(f.name(i), 1, f.sentinels...)
	}
	return f
}

func (f *fleet) name(i int) string { return fmt.Sprintf("g%d", i) }

// newShared are conversations that must be over when the test's Watchers are.
func newShared(t *testing.T) *Conversations {
	t.Helper()
	s := NewConversations(lab.Now)
	t.Cleanup(func() {
		over := make(chan struct{})
		go func() { defer close(over); s.Wait() }()
		select {
		case <-over:
		case <-time.After(10 * time.Second):
			t.Error("conversations outlive their groups")
		}
	})
	return s
}

func (f *fleet) watch(t *testing.T, group int) *seen {
	t.Helper()
	return watch(t, Config{Group: f.name(group), Sentinels: addresses(f.sentinels...), Conversations: f.shared}, f.masters[group])
}

// connections counts what a Sentinel sees of watchdogs: those that poll, and those
// that are told of events.
func connections(s *lab.Sentinel) (polls, subscriptions int, err error) {
	text, err := s.Try("CLIENT", "LIST")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(fmt.Sprint(text)) {
		if strings.Contains(line, " name=redis-watchdog ") {
			polls++
		}
		if !strings.Contains(line, " sub=0 ") {
			subscriptions++
		}
	}
	return polls, subscriptions, nil
}

func (f *fleet) sees(s *lab.Sentinel, what string, want int) {
	f.Eventually(what, 20*time.Second, func() error {
		polls, subscriptions, err := connections(s)
		if err == nil && (polls != want || subscriptions != want) {
			err = fmt.Errorf("%s sees %d connections that poll and %d that are subscribed, want %d of each", s.Address, polls, subscriptions, want)
		}
		return err
	})
}

func certified(master *lab.Redis) func(watchdog.Sentinels) bool {
	return func(r watchdog.Sentinels) bool {
		return r.Unanimous && r.Votes == 3 && r.Master == watchdog.Address(master.Address) && r.E > r.SentAt
	}
}

func TestGroupsShareOneConversation(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2)
	one, two := f.watch(t, 0), f.watch(t, 1)
	one.until(f.Lab, "the first is certified", certified(f.masters[0]))
	two.until(f.Lab, "the second is certified", certified(f.masters[1]))
	for _, s := range f.sentinels {
		f.sees(s, "one connection that polls and one subscription for both", 1)
	}
	// A third group joins, and goes: nobody else notices. (A poll that a busy
	// machine is too slow for fails now and then; not whenever somebody goes.)
	noticed := 0
	for range 5 {
		failures := one.View().Sentinels[0].Failures
		f.comeAndGo(t)
		n := one.View().Sentinels[0].Polls
		f.Eventually("some polls more", 20*time.Second, func() error {
			if got := one.View().Sentinels[0].Polls; got < n+3 {
				return fmt.Errorf("%d", got-n)
			}
			return nil
		})
		if one.View().Sentinels[0].Failures > failures {
			noticed++
		}
	}
	if noticed == 5 {
		t.Error("polls fail whenever another group goes")
	}
	f.sees(f.sentinels[0], "one of each for those that stayed", 1)
	// A failover of one is news to that group alone.
	f.sentinels[0].Do("SENTINEL", "FAILOVER", f.name(0))
	one.until(f.Lab, "the first follows its failover", func(r watchdog.Sentinels) bool {
		return r.Votes == 3 && r.Master == watchdog.Address(f.replicas[0].Address)
	})
	if two.mu.Lock(); len(two.hints) > 0 {
		t.Errorf("the second was told of %+v", two.hints)
	}
	two.mu.Unlock()
	one.mu.Lock()
	if len(one.hints) == 0 {
		t.Error("the first was not told of its failover")
	}
	one.mu.Unlock()
	for _, r := range two.all() {
		if r.Master != "" && r.Master != watchdog.Address(f.masters[1].Address) || r.Failover {
			t.Errorf("the second heard of the first's: %+v", r)
		}
	}
}

// comeAndGo has one more Watcher for as long as it takes to be answered.
func (f *fleet) comeAndGo(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	third, err := New(Config{Group: f.name(1), Sentinels: addresses(f.sentinels...), Now: lab.Now, Conversations: f.shared})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- third.Run(ctx) }()
	f.Eventually("the third is answered", 20*time.Second, func() error {
		if v := third.View(); !v.Majority || v.Sentinels[0].Subscriptions == 0 {
			return fmt.Errorf("its view is %+v", v)
		}
		return nil
	})
	for _, s := range f.sentinels {
		f.sees(s, "one of each for three", 1)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
}

func TestConversationEndsWithItsLastGroup(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2)
	t.Run("while they run", func(t *testing.T) {
		one, two := f.watch(t, 0), f.watch(t, 1)
		one.until(f.Lab, "the first is certified", certified(f.masters[0]))
		two.until(f.Lab, "the second is certified", certified(f.masters[1]))
	})
	f.shared.Wait()
	for _, s := range f.sentinels {
		f.sees(s, "no connection of anybody", 0)
	}
	// They come back, as after a reload.
	again := f.watch(t, 0)
	again.until(f.Lab, "the first is certified again", certified(f.masters[0]))
	f.sees(f.sentinels[0], "one of each", 1)
}

func TestOneGroupRemovedTouchesNoOther(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2)
	one, two := f.watch(t, 0), f.watch(t, 1)
	one.until(f.Lab, "the first is certified", certified(f.masters[0]))
	two.until(f.Lab, "the second is certified", certified(f.masters[1]))
	from := len(two.all())
	for _, s := range f.sentinels {
		s.Do("SENTINEL", "REMOVE", f.name(0))
	}
	one.until(f.Lab, "nobody knows the first", func(r watchdog.Sentinels) bool { return r.Master == "" && r.Answering == 3 })
	if one.fault("sentinel_unknown_group") == nil {
		t.Errorf("faults of the first: %+v", one.Faults())
	}
	n := len(two.all())
	two.until(f.Lab, "some reports more of the second", func(watchdog.Sentinels) bool { return len(two.all()) > n+3 })
	for _, r := range two.all()[from:] {
		if r.Master != watchdog.Address(f.masters[1].Address) || r.E <= r.SentAt {
			t.Errorf("the second was not certified: %+v", r)
		}
	}
	if fault := two.fault("sentinel_unknown_group"); fault != nil {
		t.Errorf("the second has the first's fault: %+v", fault)
	}
	host, port, _ := strings.Cut(f.masters[0].Address, ":")
	for _, s := range f.sentinels {
		s.Do("SENTINEL", "MONITOR", f.name(0), host, port, "2")
	}
	one.until(f.Lab, "the first is monitored again", func(r watchdog.Sentinels) bool { return r.Votes == 3 && r.Master != "" })
}

func TestSentinelFrozenAndStartedAnewForTwo(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2)
	groups := []*seen{f.watch(t, 0), f.watch(t, 1)}
	both := func(what string, ok func(i int, r watchdog.Sentinels) bool) {
		for i, s := range groups {
			s.until(f.Lab, fmt.Sprintf("group %d: %s", i, what), func(r watchdog.Sentinels) bool { return ok(i, r) })
		}
	}
	well := func(i int, r watchdog.Sentinels) bool { return certified(f.masters[i])(r) }
	both("all is well", well)
	from := []int{len(groups[0].all()), len(groups[1].all())}
	f.sentinels[2].Signal(syscall.SIGSTOP)
	both("the frozen one is silent", func(i int, r watchdog.Sentinels) bool { return r.Answering == 2 && r.Votes == 2 })
	f.sentinels[2].Signal(syscall.SIGCONT)
	both("it counts again", func(i int, r watchdog.Sentinels) bool { return r.Votes == 3 })
	f.sentinels[1].Restart()
	both("it counts after a restart", func(i int, r watchdog.Sentinels) bool { return r.Votes == 3 })
	for _, s := range f.sentinels {
		f.sees(s, "one of each for both", 1)
	}
	for i, s := range groups {
		for _, r := range s.all()[from[i]:] {
			if r.Master != watchdog.Address(f.masters[i].Address) || r.E <= r.SentAt {
				t.Errorf("group %d was not certified: %+v", i, r)
			}
		}
	}
}

// A connection that is cut is another one for all; what was asked of the old one
// is never taken for an answer of the new.
func TestConnectionKilledForTwo(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2)
	groups := []*seen{f.watch(t, 0), f.watch(t, 1)}
	for i, s := range groups {
		s.until(f.Lab, "all is well", certified(f.masters[i]))
	}
	for range 3 {
		subscriptions := groups[1].View().Sentinels[0].Subscriptions
		f.sentinels[0].Do("CLIENT", "KILL", "TYPE", "pubsub")
		f.sentinels[0].Do("CLIENT", "KILL", "TYPE", "normal")
		for i, s := range groups {
			f.Eventually("the subscription is back", 20*time.Second, func() error {
				if v := s.View().Sentinels[0]; v.Subscriptions <= subscriptions || !v.Answering || v.Error != "" {
					return fmt.Errorf("group %d: %+v", i, v)
				}
				return nil
			})
		}
	}
	f.sees(f.sentinels[0], "one of each", 1)
	for i, s := range groups {
		for _, r := range s.all() {
			if r.Master != "" && r.Master != watchdog.Address(f.masters[i].Address) {
				t.Errorf("group %d was answered for another: %+v", i, r)
			}
		}
	}
}

func TestConversationsAreOneByAddressAndCredentials(t *testing.T) {
	t.Parallel()
	l := lab.Loopback(t)
	h := l.Host("a")
	r := h.Redis(lab.RedisConfig{})
	ca := l.CA()
	monitors := []lab.Monitor{{Group: "g0", Master: r, Quorum: 1}, {Group: "g1", Master: r, Quorum: 1}, {Group: "g2", Master: r, Quorum: 1}}
	open := h.Sentinel(lab.SentinelConfig{Name: "open", Monitors: monitors})
	safe := h.Sentinel(lab.SentinelConfig{Name: "safe", TLS: ca, Monitors: monitors, Lines: []string{"tls-replication no"}})
	_, port, err := net.SplitHostPort(open.Address)
	if err != nil {
		t.Fatal(err)
	}
	named := net.JoinHostPort("localhost", port)
	tls := ca.ClientConfig()
	// ACL users of two fleets at one Sentinel: what the one may ask the other may not.
	open.Do("ACL", "SETUSER", "one", "on", ">pw", "~*", "&*", "+@all")
	open.Do("ACL", "SETUSER", "two", "on", ">pw", "~*", "&*", "+@all")
	for _, tt := range []struct {
		name string
		s    *lab.Sentinel
		cfgs []Config
		want int
	}{
		{"three names for it", open, []Config{{Sentinels: []string{open.Address}}, {Sentinels: []string{named}}, {Sentinels: []string{strings.ToUpper(named)}}}, 1},
		{"two names in one configuration", open, []Config{{Sentinels: []string{open.Address, named}}, {Sentinels: []string{named}}}, 1},
		{"one user", open, []Config{{Sentinels: []string{open.Address}, Username: "one", Password: "pw"}, {Sentinels: []string{open.Address}, Username: "one", Password: "pw"}}, 1},
		{"two users", open, []Config{{Sentinels: []string{open.Address}, Username: "one", Password: "pw"}, {Sentinels: []string{open.Address}, Username: "two", Password: "pw"}}, 2},
		{"a user without a password is none", open, []Config{{Sentinels: []string{open.Address}, Username: "one"}, {Sentinels: []string{open.Address}}}, 1},
		{"one TLS", safe, []Config{{Sentinels: []string{safe.Address}, TLS: tls}, {Sentinels: []string{safe.Address}, TLS: tls}}, 1},
		{"two TLS", safe, []Config{{Sentinels: []string{safe.Address}, TLS: tls}, {Sentinels: []string{safe.Address}, TLS: ca.ClientConfig()}}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fleet{Lab: l, shared: newShared(t)}
			for i, cfg := range tt.cfgs {
				cfg.Group, cfg.Conversations = f.name(i), f.shared
				s := watch(t, cfg, r)
				s.until(l, "it is certified", func(n watchdog.Sentinels) bool {
					return n.Known == 1 && n.Unanimous && n.Master == watchdog.Address(r.Address) && n.E > n.SentAt
				})
			}
			f.sees(tt.s, "so many", tt.want)
			// Cut, each finds the way to the others again.
			tt.s.Do("CLIENT", "KILL", "TYPE", "normal")
			tt.s.Do("CLIENT", "KILL", "TYPE", "pubsub")
			f.sees(tt.s, "so many again", tt.want)
		})
	}
}

// A user whose rights are taken away is told so in every group it asks for, and
// nobody else is.
func TestRightsOfOneUserTouchNoOther(t *testing.T) {
	t.Parallel()
	l := lab.Loopback(t)
	h := l.Host("a")
	r := h.Redis(lab.RedisConfig{})
	s := h.Sentinel(lab.SentinelConfig{Monitors: []lab.Monitor{{Group: "g0", Master: r, Quorum: 1}, {Group: "g1", Master: r, Quorum: 1}, {Group: "g2", Master: r, Quorum: 1}}})
	s.Do("ACL", "SETUSER", "one", "on", ">pw", "~*", "&*", "+@all")
	shared := newShared(t)
	cfg := Config{Group: "g0", Sentinels: []string{s.Address}, Username: "one", Password: "pw", Conversations: shared}
	first := watch(t, cfg, r)
	cfg.Group = "g1"
	second := watch(t, cfg, r)
	third := watch(t, Config{Group: "g2", Sentinels: []string{s.Address}, Conversations: shared}, r)
	healthy := func(n watchdog.Sentinels) bool { return n.Unanimous && n.E > n.SentAt }
	for _, one := range []*seen{first, second, third} {
		one.until(l, "it is certified", healthy)
	}
	refused := func(want bool) {
		for i, one := range []*seen{first, second} {
			l.Eventually(fmt.Sprintf("group %d is refused: %v", i, want), 20*time.Second, func() error {
				if (one.fault("sentinel_auth") != nil) != want {
					return fmt.Errorf("faults %+v", one.Faults())
				}
				return nil
			})
		}
	}
	s.Do("ACL", "SETUSER", "one", "-sentinel|master")
	refused(true)
	if fault := third.fault("sentinel_auth"); fault != nil {
		t.Errorf("the third, of another user, is refused: %+v", fault)
	}
	s.Do("ACL", "SETUSER", "one", "+@all")
	refused(false)
	first.until(l, "the first is certified again", healthy)
	second.until(l, "the second is certified again", healthy)
	third.until(l, "the third is", healthy)
}
