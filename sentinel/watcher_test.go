package sentinel

// On real Sentinels and Redis, started by the lab on loopback.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// seen is a local Redis's Watcher, and all it has been told.
type seen struct {
	*Watcher
	local *Local

	mu      sync.Mutex
	reports []watchdog.Sentinels
	hints   []watchdog.Announcement
}

// watch runs a Watcher for r until the test ends.
func watch(t *testing.T, cfg Config, r *lab.Redis) *seen {
	t.Helper()
	cfg.Now = lab.Now
	if cfg.Group == "" {
		cfg.Group = "mymaster"
	}
	w, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &seen{Watcher: w}
	s.local = w.Local("test", func(r watchdog.Sentinels) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.reports = append(s.reports, r)
	}, func(a watchdog.Announcement) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hints = append(s.hints, a)
	})
	if r != nil {
		s.local.Identify("", watchdog.Address(r.Address))
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Run does not end")
		}
	})
	return s
}

func (s *seen) last() watchdog.Sentinels {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.reports) == 0 {
		return watchdog.Sentinels{}
	}
	return s.reports[len(s.reports)-1]
}

func (s *seen) all() []watchdog.Sentinels {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.reports)
}

// until waits for a report of which ok is true.
func (s *seen) until(l *lab.Lab, what string, ok func(r watchdog.Sentinels) bool) watchdog.Sentinels {
	var got watchdog.Sentinels
	l.Eventually(what, 30*time.Second, func() error {
		if got = s.last(); ok(got) {
			return nil
		}
		return fmt.Errorf("last report %+v, faults %+v", got, s.Faults())
	})
	return got
}

func (s *seen) fault(id string) *Fault {
	for _, f := range s.Faults() {
		if f.ID == id {
			return &f
		}
	}
	return nil
}

func addresses(sentinels ...*lab.Sentinel) []string {
	var all []string
	for _, s := range sentinels {
		all = append(all, s.Address)
	}
	return all
}

func TestFailoverIsHeardInOrder(t *testing.T) {
	t.Parallel()
	l := lab.Loopback(t)
	down := 3 * time.Second // nobody else may be promoted before the kill, on a busy machine either
	g := l.Group(lab.GroupConfig{DownAfter: down})
	old := g.Redis[0]
	// One Sentinel is configured, the others are learnt from it.
	o := watch(t, Config{Sentinels: addresses(g.Sentinels[0])}, old)
	n := watch(t, Config{Sentinels: addresses(g.Sentinels...)}, g.Redis[1])
	healthy := func(r watchdog.Sentinels) bool {
		return r.Unanimous && r.Known == 3 && r.Self != "" && r.Master == watchdog.Address(old.Address) && r.Replicas == 2
	}
	before := o.until(l, "all is well for the master", healthy)
	n.until(l, "all is well for a replica", healthy)
	if before.E <= before.SentAt || before.Quorum != 2 || before.DownAfter != down {
		t.Errorf("before: %+v", before)
	}
	if got := n.Addresses(); len(got) != 3 {
		t.Errorf("addresses %v", got)
	}
	// By run id alone the Redis is found as well.
	o.local.Identify(infoRunID(old), "")
	o.until(l, "found by run id", healthy)

	// Started again it has a run id that no Sentinel has asked for yet, for up
	// to 10 s. Not to know ourselves would make E the past, and fence it.
	from := len(o.all())
	o.local.Identify("another run", "")
	o.local.Identify("and another", "")
	o.until(l, "reported as another run", func(watchdog.Sentinels) bool { return len(o.all()) > from+2 })
	for _, r := range o.all()[from:] {
		if r.Self != watchdog.Address(old.Address) || r.E <= r.SentAt {
			t.Errorf("started again: %+v", r)
		}
	}

	killed := l.Mark("kill")
	old.Kill()
	after := n.until(l, "all Sentinels name another", func(r watchdog.Sentinels) bool {
		return r.Unanimous && r.Master != watchdog.Address(old.Address)
	})
	if after.Epoch <= before.Epoch || after.Former != watchdog.Address(old.Address) || after.DownVotes < after.Quorum {
		t.Errorf("after: %+v", after)
	}
	// The order, as the replicas' watchdog was told it.
	sawFailover, sawHigher := false, false
	for _, r := range n.all() {
		if r.SentAt < killed {
			continue
		}
		sawFailover = sawFailover || r.Failover
		sawHigher = sawHigher || r.MaxEpoch > before.Epoch
		if r.Master == after.Master && (r.Epoch != after.Epoch || r.DownVotes < r.Quorum || !sawHigher) {
			t.Errorf("the new master is named by %+v", r)
		}
	}
	if !sawHigher {
		t.Error("no report with the higher epoch")
	}
	t.Logf("a failover before the promotion was seen: %v", sawFailover)
	// For the old master E was over before anybody named another.
	for _, r := range o.all() {
		if r.MaxEpoch > before.Epoch && r.E > r.SentAt {
			t.Errorf("another is named and E is %v ahead: %+v", r.E.Sub(r.SentAt), r)
		}
	}
	n.mu.Lock()
	hints := slices.Clone(n.hints)
	n.mu.Unlock()
	for i, h := range hints {
		if h.Master != after.Master || h.Epoch != after.Epoch || slices.Contains(hints[:i], h) {
			t.Errorf("hints %+v", hints)
		}
	}
	if len(hints) == 0 {
		t.Error("nobody announced the new master")
	}
	if ids := n.View().Saying(after.Master, after.Epoch); len(ids) != 3 {
		t.Errorf("who said so: %v", ids)
	}
	if after.Self == after.Master {
		n.until(l, "the new master is certified", func(r watchdog.Sentinels) bool { return r.E > r.SentAt })
	}
}

func infoRunID(r *lab.Redis) string {
	info, err := r.Client().InfoMap(context.Background(), "server").Result()
	if err != nil {
		return ""
	}
	return info["Server"]["run_id"]
}

func TestSentinelsChange(t *testing.T) {
	t.Parallel()
	l := lab.Loopback(t)
	g := l.Group(lab.GroupConfig{DownAfter: 10 * time.Second})
	master := watchdog.Address(g.Redis[0].Address)
	s := watch(t, Config{Sentinels: addresses(g.Sentinels...)}, g.Redis[0])
	healthy := func(r watchdog.Sentinels) bool { return r.Unanimous && r.Master == master && r.E > r.SentAt }
	s.until(l, "all is well", healthy)
	start := len(s.all())

	// A RESET empties the lists; nobody is forgotten for it.
	for _, one := range g.Sentinels {
		one.Do("SENTINEL", "RESET", g.Name)
	}
	s.PollNow()
	l.Eventually("the RESET is seen", 10*time.Second, func() error {
		if v := s.View(); v.Known == 3 && v.Majority {
			return nil
		}
		return errors.New("not yet")
	})
	g.WaitStable()

	// A fourth joins, and is learnt.
	more := l.Host("d").Sentinel(lab.SentinelConfig{Monitors: []lab.Monitor{{Master: g.Redis[0], DownAfter: 10 * time.Second}}})
	s.until(l, "the fourth is heard", func(r watchdog.Sentinels) bool {
		return r.Known == 4 && r.Unanimous && r.Votes == 4
	})
	// It leaves without a word: it is known for ever.
	more.Kill()
	s.until(l, "the fourth is silent", func(r watchdog.Sentinels) bool {
		return r.Known == 4 && r.Answering == 3 && r.Master == master && !r.Unanimous
	})
	// A subscription that dies comes again, and so does the poll.
	subs := s.View().Sentinels[0].Subscriptions
	g.Sentinels[0].Do("CLIENT", "KILL", "TYPE", "pubsub")
	g.Sentinels[0].Do("CLIENT", "KILL", "TYPE", "normal")
	l.Eventually("the subscription is back", 10*time.Second, func() error {
		if v := s.View().Sentinels[0]; v.Subscriptions > subs && v.Answering {
			return nil
		}
		return errors.New("not yet")
	})
	// In all this the master was named and certified at every report.
	for _, r := range s.all()[start:] {
		if r.Master != master || r.E <= r.SentAt {
			t.Errorf("not certified: %+v", r)
		}
	}
	// down-after is changed at one: D follows, and it is said.
	g.Sentinels[1].Do("SENTINEL", "SET", g.Name, "down-after-milliseconds", "1500")
	s.until(l, "D follows", func(r watchdog.Sentinels) bool { return r.DownAfter == 1500*time.Millisecond })
	for _, id := range []string{"sentinel_down_after_differs", "sentinel_quorum"} {
		if s.fault(id) == nil {
			t.Errorf("no fault %s in %+v", id, s.Faults())
		}
	}
	// A failover-timeout that a killed `redis-watchdog failover` has left.
	g.Sentinels[1].Do("SENTINEL", "SET", g.Name, "failover-timeout", "1")
	hasty := func(want bool) {
		l.Eventually(fmt.Sprintf("the failover-timeout is a fault: %v", want), 10*time.Second, func() error {
			f := s.fault("sentinel_failover_timeout")
			if (f != nil) != want || f != nil && (!strings.Contains(f.Text, g.Sentinels[1].Address) || !strings.Contains(f.Remedy, "failover-timeout 10000")) {
				return fmt.Errorf("it is %+v", f)
			}
			return nil
		})
	}
	hasty(true)
	g.Sentinels[1].Do("SENTINEL", "SET", g.Name, "failover-timeout", "10000")
	hasty(false)
	// REMOVE and MONITOR: the epochs begin anew.
	host, port, _ := strings.Cut(string(master), ":")
	for _, one := range g.Sentinels {
		one.Do("SENTINEL", "REMOVE", g.Name)
	}
	s.until(l, "nobody knows the group", func(r watchdog.Sentinels) bool { return r.Master == "" && r.Votes == 0 && r.Answering == 3 })
	if s.fault("sentinel_unknown_group") == nil {
		t.Errorf("no fault about the unknown group in %+v", s.Faults())
	}
	for _, one := range g.Sentinels {
		one.Do("SENTINEL", "MONITOR", g.Name, host, port, "2")
	}
	s.until(l, "the group is monitored again", func(r watchdog.Sentinels) bool {
		return r.Master == master && r.Epoch == 0 && r.Votes == 3 && r.Former == ""
	})
}

func TestTiltedSentinelCounts(t *testing.T) {
	t.Parallel()
	l := lab.Loopback(t)
	g := l.Group(lab.GroupConfig{DownAfter: 10 * time.Second})
	s := watch(t, Config{Sentinels: addresses(g.Sentinels...)}, g.Redis[0])
	s.until(l, "all is well", func(r watchdog.Sentinels) bool { return r.Unanimous })
	one := g.Sentinels[2]
	one.Signal(syscall.SIGSTOP)
	s.until(l, "the frozen one is silent", func(r watchdog.Sentinels) bool {
		return r.Answering == 2 && r.Votes == 2 && r.E > r.SentAt
	})
	l.Pause(2 * time.Second)
	one.Signal(syscall.SIGCONT)
	s.until(l, "it counts again", func(r watchdog.Sentinels) bool { return r.Unanimous && r.Votes == 3 })
	l.Eventually("it is in TILT", 10*time.Second, func() error {
		if f := s.fault("sentinel_tilt"); f == nil || !strings.Contains(f.Text, one.Address) {
			return fmt.Errorf("faults %+v", s.Faults())
		}
		return nil
	})
	if r := s.last(); r.Votes != 3 || r.E <= r.SentAt {
		t.Errorf("in TILT: %+v", r)
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	l := lab.Loopback(t)
	ca := l.CA()
	h := l.Host("a")
	r := h.Redis(lab.RedisConfig{})
	open := h.Sentinel(lab.SentinelConfig{Name: "open", Monitors: []lab.Monitor{{Master: r, Quorum: 1}}})
	shut := h.Sentinel(lab.SentinelConfig{Name: "shut", Password: "secret", Monitors: []lab.Monitor{{Group: "g2", Master: r, Quorum: 1}}})
	safe := h.Sentinel(lab.SentinelConfig{Name: "safe", TLS: ca, Monitors: []lab.Monitor{{Group: "g3", MasterAddress: r.Address, Quorum: 1}},
		Lines: []string{"tls-replication no"}})
	for _, tt := range []struct {
		name  string
		cfg   Config
		fault string
	}{
		{"none needed", Config{Sentinels: addresses(open)}, ""},
		{"one given that is not needed", Config{Sentinels: addresses(open), Password: "secret"}, ""},
		{"right", Config{Sentinels: addresses(shut), Group: "g2", Password: "secret"}, ""},
		{"wrong", Config{Sentinels: addresses(shut), Group: "g2", Password: "sesame"}, "sentinel_auth"},
		{"missing", Config{Sentinels: addresses(shut), Group: "g2"}, "sentinel_auth"},
		{"unknown user", Config{Sentinels: addresses(shut), Group: "g2", Username: "nobody", Password: "secret"}, "sentinel_auth"},
		{"TLS", Config{Sentinels: addresses(safe), Group: "g3", TLS: ca.ClientConfig()}, ""},
		{"TLS where there is none", Config{Sentinels: addresses(open), TLS: ca.ClientConfig()}, "sentinel_away"},
		{"no TLS where there is", Config{Sentinels: addresses(safe), Group: "g3"}, "sentinel_away"},
		{"another authority's", Config{Sentinels: addresses(safe), Group: "g3", TLS: l.CA().ClientConfig()}, "sentinel_tls"},
		{"another group", Config{Sentinels: addresses(open), Group: "g9"}, "sentinel_unknown_group"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := watch(t, tt.cfg, r)
			if tt.fault == "" {
				s.until(l, "the master is certified", func(n watchdog.Sentinels) bool {
					return n.Unanimous && n.Master == watchdog.Address(r.Address) && n.E > n.SentAt
				})
				return
			}
			l.Eventually("fault "+tt.fault, 10*time.Second, func() error {
				tried := s.View().Sentinels[0]
				if s.fault(tt.fault) == nil || tried.Error == "" && tt.fault != "sentinel_unknown_group" {
					return fmt.Errorf("faults %+v, %+v", s.Faults(), tried)
				}
				return nil
			})
			if n := s.last(); n.Master != "" || n.E != 0 {
				t.Errorf("certified all the same: %+v", n)
			}
		})
	}
}

func TestHostNamesAreOneAddress(t *testing.T) {
	t.Parallel()
	l := lab.Loopback(t)
	h := l.Host("a")
	r := h.Redis(lab.RedisConfig{})
	_, port, _ := strings.Cut(r.Address, ":")
	var all []*lab.Sentinel
	for i := range 3 {
		all = append(all, h.Sentinel(lab.SentinelConfig{
			Name: fmt.Sprintf("s%d", i), ResolveHostnames: true, AnnounceHostnames: i > 0,
			Monitors: []lab.Monitor{{MasterAddress: "localhost:" + port, Quorum: 2}},
		}))
	}
	// Configured by name and by address: three Sentinels, not six.
	named := strings.Replace(all[0].Address, "127.0.0.1", "localhost", 1)
	s := watch(t, Config{Sentinels: []string{named, all[1].Address}}, nil)
	s.local.Identify("", watchdog.Address("localhost:"+port))
	want := watchdog.Address("127.0.0.1:" + port)
	// Who we are to the Sentinels is known a round after Identify: not before their votes.
	s.until(l, "all three name one address, which is ours", func(n watchdog.Sentinels) bool {
		return n.Unanimous && n.Votes == 3 && n.Master == want && n.Self == want
	})
	for _, n := range s.all() {
		if n.Known > 3 || n.Master != "" && n.Master != want {
			t.Errorf("got %+v, want three Sentinels at the most, and %s", n, want)
		}
	}
}
