//go:build soak

package systemd_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// The start gate on a host with a real systemd: a Redis that comes back starts
// shut, and is opened by nothing but the grant.
func TestStartGate(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.etcd.Restart()
	s.sh("systemctl enable --quiet redis-watchdog redis-server redis-server@second; systemctl start redis-watchdog")
	s.fine()
	s.gateIsPutOnUnnoticed()
	s.restartedRedisStartsShut()
	s.emptyRedisWipesNobody()
	s.rebootWithoutWitnessesStaysShut()
	s.maintainedRedisStartsOpen()
	s.releasedRedisStartsOpen()
	s.goneWatchdogShutsNobody()
}

func (s *service) gateIsPutOnUnnoticed() {
	from := s.lab.Mark("start-gate on")
	s.sh("redis-watchdog start-gate on")
	if out := s.sh("redis-watchdog start-gate status"); strings.Count(out, "on       mymaster/") != 2 {
		s.t.Errorf("start-gate status: got\n%s\nwant both on", out)
	}
	s.writer.WaitOK(s.lab.Mark("on"), patience)
	s.unnoticed("the start gate", from)
}

// serving waits until a Redis of the host serves by the grant and is the port
// of it.
func (s *service) serving() string {
	s.t.Helper()
	port := ""
	s.lab.Eventually("one serves by the grant", 2*patience, func() error {
		nodes, out := s.nodes()
		for _, n := range nodes {
			if n.Phase == "serve" && n.GrantOurs && n.Deadline >= 0 {
				port = n.Address[strings.LastIndex(n.Address, ":")+1:]
				return nil
			}
		}
		return notYet(out)
	})
	return port
}

// notYet is an error of what is waited for.
func notYet(seen string) error { return errors.New("not yet: " + seen) }

// fine waits until every Redis of the host is guarded, without a fault but for
// what Redis 6.0 always lacks.
func (s *service) fine() {
	s.t.Helper()
	s.lab.Eventually("all is fine", 2*patience, func() error {
		nodes, out := s.nodes()
		if len(nodes) != 2 {
			return notYet(out)
		}
		for _, n := range nodes {
			for _, f := range n.Faults {
				if f.ID != "rights_pause" && f.ID != agent.FaultLockScripts { // of Debian 11
					return notYet(out)
				}
			}
			if !n.Guarded {
				return notYet(out)
			}
		}
		return nil
	})
}

func unitOf(port string) string {
	if port == "6379" {
		return "redis-server"
	}
	return "redis-server@second"
}

// heard is what a client on the host is answered until done says that it is
// enough.
func (s *service) heard(port string, done func(string) bool) []string {
	s.t.Helper()
	var all []string
	s.lab.Eventually("a client hears what it waits for", 2*patience, func() error {
		answer, _ := s.try("redis-cli -p " + port + " set probe 1 2>&1")
		if len(all) == 0 || all[len(all)-1] != answer {
			all = append(all, answer)
		}
		if done(answer) {
			return nil
		}
		return notYet("")
	})
	return all
}

func refused(answer string) bool {
	return strings.HasPrefix(answer, "READONLY") || strings.HasPrefix(answer, "MASTERDOWN")
}

// An upgrade of Redis, say. Without a watchdog that might have fenced it, every
// answer to a writer is a refusal until there is one.
func (s *service) restartedRedisStartsShut() {
	port := s.serving()
	s.lab.Mark("redis is restarted, without its watchdog")
	s.sh("systemctl stop redis-watchdog; systemctl restart " + unitOf(port))
	if answers := s.heard(port, func(a string) bool { return refused(a) || a == "OK" }); !refused(answers[len(answers)-1]) {
		s.t.Errorf("the first word of a restarted master: %q, want a refusal", answers)
	}
	for range 10 {
		if answers := s.heard(port, func(string) bool { return true }); !refused(answers[0]) {
			s.t.Fatalf("without a watchdog: %q, want a refusal", answers)
		}
		s.lab.Pause(100 * time.Millisecond)
	}
	s.sh("systemctl start --no-block redis-watchdog")
	journal, err := s.Journal(s.t.Context(), unitOf(port))
	if err != nil || !strings.Contains(journal, "starts shut") {
		s.t.Errorf("the journal of Redis does not say that it starts shut (%v):\n%s", err, journal)
	}
	s.serving()
	s.fine()
}

// A master that comes back without its data is not opened: its replica would
// copy the nothing.
func (s *service) emptyRedisWipesNobody() {
	port := s.serving()
	other := map[string]string{"6379": "6380", "6380": "6379"}[port]
	dump := map[string]string{"6379": "dump.rdb", "6380": "dump-second.rdb"}[port]
	s.sh("for i in $(seq 100); do echo set precious:$i $i; done | redis-cli -p " + port + " >/dev/null; redis-cli -p " + port + " wait 1 10000")
	s.lab.Mark("the master comes back empty")
	s.sh("systemctl stop " + unitOf(port) + "; rm -f /var/lib/redis/" + dump + "; systemctl start " + unitOf(port))
	if got := s.sh("redis-cli -p " + port + " info keyspace | grep keys= || true"); got != "" {
		s.t.Fatalf("the restarted master has keys, and shows nothing: %s", got)
	}
	if now := s.serving(); now != other {
		s.t.Errorf("%s serves, want the replica at %s", now, other)
	}
	if got := s.sh("redis-cli -p " + other + " --scan --pattern 'precious:*' | wc -l"); got != "100" {
		s.t.Errorf("%s of 100 keys are left", got)
	}
	s.await("redis-cli -p "+port+" --scan --pattern 'precious:*' | wc -l", "100") // it follows
	s.fine()
}

// With etcd and every Sentinel away nobody can tell whether it is the master.
func (s *service) rebootWithoutWitnessesStaysShut() {
	port := s.serving()
	s.sh("redis-cli -p " + port + " save; systemctl disable --quiet redis-sentinel")
	s.lab.Mark("etcd dies, the host is rebooted")
	s.etcd.Kill()
	if err := s.Reboot(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.heard(port, refused)
	node := map[string]string{"6379": "first", "6380": "second"}[port]
	s.awaitNode(node, "it is said to be held shut", func(n agent.Status) bool {
		return slices.ContainsFunc(n.Faults, func(f agent.Fault) bool { return f.ID == "held_shut" && f.Remedy != "" })
	})
	for range 20 {
		if answers := s.heard(port, func(string) bool { return true }); !refused(answers[0]) {
			s.t.Fatalf("without witnesses: %q, want a refusal", answers)
		}
		s.lab.Pause(200 * time.Millisecond)
	}
	s.lab.Mark("etcd and Sentinel are back")
	s.etcd.Restart()
	s.sh("systemctl enable --quiet --now redis-sentinel")
	s.serving()
	s.fine()
}

// An upgrade of Redis in a maintenance is what a maintenance is for.
func (s *service) maintainedRedisStartsOpen() {
	port := s.serving()
	node := map[string]string{"6379": "first", "6380": "second"}[port]
	s.lab.Mark("maintenance")
	s.sh("redis-watchdog maintenance on mymaster --for 10m --timeout 60s")
	s.await("test -e /var/lib/redis-watchdog/start-open/mymaster."+node+".json && echo noted", "noted")
	s.sh("systemctl restart " + unitOf(port))
	if answers := s.heard(port, func(a string) bool { return refused(a) || a == "OK" }); answers[len(answers)-1] != "OK" {
		s.t.Errorf("a master that is restarted in a maintenance: %q, want that it answers", answers)
	}
	s.sh("redis-watchdog maintenance off mymaster --timeout 60s")
	s.await("test -e /var/lib/redis-watchdog/start-open/mymaster."+node+".json || echo gone", "gone")
	s.serving()
	s.fine()
}

// Nobody would open it.
func (s *service) releasedRedisStartsOpen() {
	port := s.serving()
	node := map[string]string{"6379": "first", "6380": "second"}[port]
	s.lab.Mark("released")
	s.sh("redis-watchdog release mymaster --node " + node + " --timeout 60s")
	s.await("cat /var/lib/redis-watchdog/start-open/*."+node+".json | grep -o 'released\":true'", "released\":true")
	s.sh("systemctl restart " + unitOf(port))
	if answers := s.heard(port, func(a string) bool { return refused(a) || a == "OK" }); answers[len(answers)-1] != "OK" {
		s.t.Errorf("a released master that is restarted: %q, want that it answers", answers)
	}
	s.sh("redis-watchdog unfence mymaster --node " + node + " --timeout 60s || true") // what counts is what follows
	s.serving()
	s.fine()
}

// Neither a redis-watchdog that was removed by hand nor a gate that was put off
// keeps a Redis shut.
func (s *service) goneWatchdogShutsNobody() {
	port := s.serving()
	s.lab.Mark("the watchdog is removed by hand")
	s.sh("systemctl stop redis-watchdog; mv /usr/bin/redis-watchdog /root/; systemctl restart " + unitOf(port))
	if answers := s.heard(port, func(a string) bool { return refused(a) || a == "OK" }); answers[len(answers)-1] != "OK" {
		s.t.Errorf("a master without redis-watchdog: %q, want that it answers", answers)
	}
	s.lab.Mark("start-gate off")
	s.sh("mv /root/redis-watchdog /usr/bin/; redis-watchdog start-gate off; systemctl restart " + unitOf(port))
	if answers := s.heard(port, func(a string) bool { return refused(a) || a == "OK" }); answers[len(answers)-1] != "OK" {
		s.t.Errorf("a master after start-gate off: %q, want that it answers", answers)
	}
	if left := s.sh("ls /etc/systemd/system/ | grep -c 'redis-server.*\\.d$' || true"); left != "0" {
		s.t.Errorf("drop-ins left after off: %s", left)
	}
}
