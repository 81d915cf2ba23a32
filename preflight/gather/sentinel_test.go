package gather_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
)

func TestSentinelsTellOfTheGroup(t *testing.T) {
	l := lab.Loopback(t)
	g := l.Group(lab.GroupConfig{
		DownAfter: 5 * time.Second, FailTimeout: 20 * time.Second, Redis: lab.RedisConfig{Password: "redis-secret"},
		Sentinel: lab.SentinelConfig{Password: "sentinel-secret"},
	})
	c := gather.SentinelConfig{Group: g.Name, Addresses: []string{g.Sentinels[0].Address}, Password: "sentinel-secret", Timeout: 2 * time.Second}
	all := gather.Sentinels(t.Context(), c) // one is configured, it names the others
	if len(all) != 3 || !slices.IsSortedFunc(all, func(a, b preflight.Sentinel) int { return strings.Compare(a.Address, b.Address) }) {
		t.Fatalf("got %+v, want three by address", all)
	}
	for _, s := range all {
		if s.Error != "" || s.Master != g.Redis[0].Address || s.Quorum != 2 || s.Others != 2 || len(s.Peers) != 2 || s.DownAfter != 5*time.Second ||
			s.FailTimeout != 20*time.Second || s.ParallelSyncs != 1 || !s.CKQuorumOK || len(s.RunID) != 40 || s.Version == "" || s.Flags != "master" {
			t.Errorf("%+v", s)
		}
		if len(s.Replicas) != 2 {
			t.Errorf("%s: replicas %+v", s.Address, s.Replicas)
		}
		for _, r := range s.Replicas {
			if r.Priority != 100 || r.LinkStatus != "ok" || r.Master != g.Redis[0].Address || r.Reported != "slave" || r.PongAge < 0 || r.InfoAge < 0 {
				t.Errorf("%s: %+v", s.Address, r)
			}
		}
	}

	// The Redis knows what they are logged in as.
	facts, gaps := read(t, gather.RedisConfig{Server: gather.Server{Address: g.Redis[0].Address, Password: "redis-secret"}, Clients: true})
	without(t, gaps)
	if lacks, there := facts.SentinelLacks["default"]; !there || len(lacks) != 0 {
		t.Errorf("sentinels' rights: %v", facts.SentinelLacks)
	}

	c.Password = "wrong"
	if all = gather.Sentinels(t.Context(), c); len(all) != 1 || !strings.Contains(all[0].Error, "WRONGPASS") {
		t.Errorf("with a wrong password: %+v", all)
	}
	c.Password, c.Group = "sentinel-secret", "another"
	if all = gather.Sentinels(t.Context(), c); len(all) != 1 || !strings.Contains(all[0].Error, "No such master") {
		t.Errorf("of another group: %+v", all)
	}

	c.Group, c.Timeout = g.Name, 300*time.Millisecond
	g.Sentinels[1].Kill()
	g.Sentinels[2].Stop()
	l.Pause(2500 * time.Millisecond) // longer than its timer takes for a jump: it will be in TILT
	all = gather.Sentinels(t.Context(), c)
	if len(all) != 3 {
		t.Fatalf("one dead, one frozen: %+v", all)
	}
	for _, s := range all {
		if dead := s.Address != g.Sentinels[0].Address; dead != (s.Error != "") {
			t.Errorf("%s: error %q", s.Address, s.Error)
		}
	}

	// One that was frozen finds that time has jumped.
	g.Sentinels[2].Cont()
	l.Eventually("TILT is told", 10*time.Second, func() error {
		for _, s := range gather.Sentinels(t.Context(), c) {
			if s.Address == g.Sentinels[2].Address && s.Tilt {
				return nil
			}
		}
		return errors.New("not in TILT")
	})
}

// Rights that are missing are found, whoever they are missing of.
func TestSentinelsRightsAreFound(t *testing.T) {
	l := lab.Loopback(t)
	h := l.Host("a")
	const most = "+multi +slaveof +ping +exec +subscribe +config|rewrite +role +publish +info +client|setname +script|kill"
	r := h.Redis(lab.RedisConfig{Users: []string{
		"user watcher on >sentinel-secret ~* &* -@all " + most,
		"user all on >pw ~* &* +@all",
	}})
	h.Sentinel(lab.SentinelConfig{Monitors: []lab.Monitor{{Master: r, User: "watcher", Password: "sentinel-secret"}}})
	look := func() []string {
		facts, gaps := read(t, gather.RedisConfig{Server: gather.Server{Address: r.Address, Username: "all", Password: "pw"}, Clients: true})
		without(t, gaps)
		lacks, there := facts.SentinelLacks["watcher"]
		if !there {
			return []string{"not connected"}
		}
		return lacks
	}
	l.Eventually("CLIENT KILL is missing", 10*time.Second, func() error { return want(look(), "client|kill") })
	for _, step := range []struct{ rule, lacks string }{
		{"+client|kill", ""}, {"-slaveof", "slaveof"}, {"+@admin", ""}, {"-@dangerous", "slaveof config|rewrite client|kill info"}, {"+@all", ""}, {"-@transaction", "multi exec"}, {"allcommands", ""},
	} {
		r.Do("ACL", "SETUSER", "watcher", step.rule)
		l.Eventually(step.rule, 10*time.Second, func() error { return want(look(), step.lacks) })
	}
}

func want(got []string, want string) error {
	if strings.Join(got, " ") != want {
		return fmt.Errorf("lacking %v, want %q", got, want)
	}
	return nil
}
