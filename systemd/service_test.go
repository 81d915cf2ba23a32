package systemd_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/need"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// service is the watchdog as it is shipped, under the unit as it is shipped,
// beside a master and a replica under Debian's units, with Debian's Sentinel.
// Their host is booted in the network of a host of the lab, which brings etcd,
// and a client that writes to the first master all the time.
type service struct {
	*host
	lab    *lab.Lab
	place  *lab.Host
	etcd   *lab.Etcd
	ip     string
	writer *lab.Load
}

const (
	active  = "systemctl show --value -p ActiveState redis-watchdog"
	mainPID = "systemctl show --value -p MainPID redis-watchdog"
	line    = "systemctl show --value -p StatusText redis-watchdog"
	// A fence too soon after another is left to Sentinel, which fails over
	// ("left_to_sentinel"): it asks for the role every 10 s only.
	sentinelSees = "redis-cli -p 26379 sentinel master mymaster | grep -A1 '^role-reported$' | tail -1"

	startBlock = "/run/systemd/system/redis-server.service.d/redis-watchdog.start-block"
)

func TestServiceOverKillsStopsAndHangs(t *testing.T) {
	t.Parallel()
	need.Root(t)
	s := newService(t)
	s.startWaitsForProtection()
	s.frozenWatchdogIsReplaced()
	s.memoryIsLocked()
	s.restartsAreNotNoticed() // meanwhile Sentinel forgets the fence
	s.stopDisarmsAndSaysSo()
	s.deadWatchdogsFenceFires()
	s.crashingWatchdogsFenceFires()
	s.hungRedisIsKilledAndReleased()
}

// newService starts all but the watchdog, with etcd down.
func newService(t *testing.T) *service {
	t.Helper()
	s := bareService(t)
	s.install("../cmd/redis-watchdog")
	s.write("/etc/redis-watchdog/redis-watchdog.yaml", `
etcd: {endpoints: ["`+s.etcd.Endpoints()[0]+`"]}
groups:
  - name: mymaster
    sentinels: ["`+s.ip+`:26379"]
    nodes:
      - {name: first, address: "127.0.0.1:6379", unit: redis-server.service}
      - {name: second, address: "127.0.0.1:6380", unit: redis-server@second.service}
`)
	return s
}

// bareService starts all that is there before redis-watchdog is installed, with
// etcd down.
func bareService(t *testing.T, packages ...string) *service {
	t.Helper()
	l := lab.New(t)
	place := l.Host("a")
	holder := place.Start("network", "sleep", "infinity")
	s := &service{lab: l, place: place, ip: place.IP, etcd: l.Etcd(lab.EtcdConfig{}, place)}
	s.etcd.Kill()
	s.host = bootIn(t, fmt.Sprintf("/proc/%d/ns/net", holder.PID()), packages...)
	// A first boot enables and starts what Debian's presets say.
	s.sh(`systemctl stop redis-sentinel redis-server
		cd /etc/redis
		printf 'bind 0.0.0.0\nprotected-mode no\nrepl-diskless-sync-delay 0\n' >>redis.conf
		cp -p redis.conf redis-second.conf
		printf 'port 6380\ndbfilename dump-second.rdb\nlogfile /var/log/redis/second.log\npidfile /run/redis-second/redis-server.pid\nreplicaof ` + s.ip + ` 6379\n' >>redis-second.conf
		printf 'port 26379\nprotected-mode no\nlogfile /var/log/redis/redis-sentinel.log\ndir /var/lib/redis\nsentinel monitor mymaster ` + s.ip + ` 6379 1\nsentinel down-after-milliseconds mymaster 6000\nsentinel failover-timeout mymaster 20000\n' >sentinel.conf
		systemctl start redis-server redis-server@second`)
	s.await("redis-cli info replication | grep -c state=online", "1")
	s.sh("systemctl start redis-sentinel")
	s.writer = place.Writer(lab.LoadConfig{Address: s.ip + ":6379"})
	return s
}

func (s *service) write(path, content string) {
	s.t.Helper()
	if err := s.WriteFile(s.t.Context(), path, 0o644, []byte(content)); err != nil {
		s.t.Fatal(err)
	}
}

// 1. READY is the promise in force, not a process that runs.
func (s *service) startWaitsForProtection() {
	from := s.lab.Mark("started without etcd")
	s.sh("systemctl start --no-block redis-watchdog")
	s.await(line+" | grep -o 'mymaster/first: [a-z]* (not_enrolled), not guarded'", "mymaster/first: serve (not_enrolled), not guarded")
	if got := s.sh(active); got != "activating" {
		s.t.Errorf("without etcd the unit is %s, want activating", got)
	}
	s.writer.WaitOK(s.lab.Mark("said to be not guarded"), patience)
	back := s.lab.Mark("etcd starts")
	s.etcd.Restart()
	s.sh("systemctl start redis-watchdog") // joins the start under way
	if at := s.stamp("ActiveEnterTimestampMonotonic"); at < back {
		s.t.Errorf("the unit was active %s before etcd was there", back.Sub(at))
	}
	s.await(line, "mymaster/first: serve (granted); mymaster/second: follow (replica)")
	s.awaitFine()
	// What the service manager does with Redis is read through the helper.
	s.await("redis-watchdog preflight mymaster -o json | grep -o 'a start may take 1m30s' | head -1", "a start may take 1m30s")
	s.unnoticed("the installation", from)
}

// Both lock what they use. Here by a right, for the limit of the unit cannot be
// raised in a container.
func (s *service) memoryIsLocked() {
	s.lab.Mark("memory may be locked")
	s.sh(`for unit in redis-watchdog redis-watchdog-helper; do
		d=/run/systemd/system/$unit.service.d; mkdir -p $d
		printf '[Service]\nPrivateUsers=no\nCapabilityBoundingSet=CAP_IPC_LOCK CAP_KILL\nAmbientCapabilities=CAP_IPC_LOCK\n' >$d/lock.conf
	done; systemctl daemon-reload`)
	s.replaced("systemctl restart redis-watchdog")
	for _, unit := range []string{"redis-watchdog", "redis-watchdog-helper"} {
		s.await("grep VmLck: /proc/$(systemctl show --value -p MainPID "+unit+")/status | grep -v ' 0 kB' | cut -d: -f1", "VmLck")
	}
	s.sh("rm /run/systemd/system/redis-watchdog*.service.d/lock.conf; systemctl daemon-reload")
	s.replaced("systemctl restart redis-watchdog")
}

// 2 and 4. The armed fence of the process before is taken up and put off, else
// it would fire. A restart is what an upgrade is.
func (s *service) restartsAreNotNoticed() {
	from := s.lab.Mark("kill")
	fires := s.armedUntil()
	if got := s.sh(stored); got == "0" {
		s.t.Error("no armed fence is in the descriptor store")
	}
	s.replaced("systemctl kill -s KILL redis-watchdog")
	s.await(active, "active")
	fires = fires.Max(s.armedUntil())
	s.lab.Mark("upgrade")
	s.replaced("systemctl restart redis-watchdog")
	fires = fires.Max(s.armedUntil())
	s.writer.WaitOK(fires, patience)
	s.unnoticed("a kill and an upgrade", from)
}

// 4. A stop disarms; that nobody guards any more is known to the others.
func (s *service) stopDisarmsAndSaysSo() {
	from := s.lab.Mark("stop")
	fires := s.armedUntil()
	s.sh("systemctl stop redis-watchdog")
	if got := s.sh(stored); got != "0" {
		s.t.Errorf("descriptors stored after the stop: got %s, want 0", got)
	}
	s.await(blocked, "0")
	if code := s.exit("redis-watchdog status"); code != 1 {
		s.t.Errorf("status after the stop: got exit code %d, want 1", code)
	}
	if out := s.sh("redis-watchdog status || true"); !strings.Contains(out, "nothing guards it") {
		s.t.Errorf("status after the stop: got\n%s", out)
	}
	s.writer.WaitOK(fires, patience)
	s.unnoticed("a stop", from)
	s.sh("systemctl start redis-watchdog")
}

// 3. While the unit waits for its restart nothing of the watchdog runs.
func (s *service) deadWatchdogsFenceFires() {
	s.armedUntil()
	s.await(sentinelSees, "master")
	s.restartSec("9s")
	from := s.lab.Mark("kill, and not back for a while")
	s.replaced("systemctl kill -s KILL redis-watchdog")
	s.fencedAndOpened(from)
	s.restartSec("100ms")
}

// 3, again and again: one that dies as soon as it is started, before it has taken
// the armed fence up. Systemd, which never gives up, keeps it.
func (s *service) crashingWatchdogsFenceFires() {
	s.armedUntil()
	s.await(sentinelSees, "master")
	const d = "/run/systemd/system/redis-watchdog.service.d"
	s.sh("mkdir -p " + d + "; printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\n' >" + d + "/crash.conf; systemctl daemon-reload")
	from := s.lab.Mark("killed, and every next one dies at its start")
	s.sh("systemctl kill -s KILL redis-watchdog")
	s.await(nowhere, fenced)
	if n, err := strconv.Atoi(s.sh("systemctl show --value -p NRestarts redis-watchdog")); err != nil || n < 3 {
		s.t.Errorf("restarted %d times (%v) by when Redis fenced itself: it did not crash again and again", n, err)
	}
	s.sh("rm " + d + "/crash.conf; systemctl daemon-reload")
	s.await("systemctl show --value -p SubState redis-watchdog", "running")
	s.fencedAndOpened(from)
}

// 5. To systemd a frozen watchdog is one that hangs.
func (s *service) frozenWatchdogIsReplaced() {
	s.await(active, "active")
	s.armedUntil()
	s.await(sentinelSees, "master")
	from := s.lab.Mark("freeze")
	s.replaced("systemctl kill -s STOP redis-watchdog")
	s.fencedAndOpened(from)
	journal, err := s.Journal(s.t.Context(), "redis-watchdog.service")
	if err != nil || !strings.Contains(journal, "Watchdog timeout") {
		s.t.Errorf("systemd's watchdog has not replaced it (%v)", err)
	}
}

// 6. A Redis that hangs is replaced by its replica. It may wake at any time,
// and cannot be seen to refuse: it is killed, and kept down.
func (s *service) hungRedisIsKilledAndReleased() {
	const redis = "systemctl show --value -p ActiveState redis-server"
	s.await(active, "active")
	s.armedUntil()
	s.lab.Mark("redis hangs")
	s.sh("systemctl kill -s STOP redis-server")
	s.await("test -e "+startBlock+" && systemctl show --value -p MainPID redis-server", "0")
	s.lab.Mark("killed")
	s.staysDown()
	if out, err := s.try("systemctl start redis-server"); err == nil {
		s.t.Errorf("a killed Redis can be started: %s", out)
	}
	s.awaitNode("second", "the promoted one serves under the grant", func(n agent.Status) bool { return n.Phase == "serve" && n.GrantOurs })
	s.awaitNode("first", "the kill is a fault", isKilled)

	s.lab.Mark("release")
	s.sh("redis-watchdog release mymaster --node first --timeout 60s")
	s.await(redis, "active")
	s.lab.Mark("guarded again")
	s.sh("redis-watchdog unfence mymaster --node first --timeout 60s || true") // what counts is what follows
	s.await(nowhere, "slave "+s.ip+" 6380")
	s.awaitFine()

	s.lab.Mark("kept down again, and started as the fault says")
	s.sh("touch " + startBlock + "; systemctl kill -s KILL redis-server")
	s.awaitNode("first", "it is kept down", isKilled)
	s.sh("rm " + startBlock + " && systemctl start redis-server")
	s.awaitFine()
}

// isKilled says that the node is shown as killed, with the way to start it.
func isKilled(n agent.Status) bool {
	return slices.ContainsFunc(n.Faults, func(f agent.Fault) bool {
		return f.ID == agent.FaultKilled && strings.Contains(f.Remedy, "rm "+startBlock+" && systemctl start redis-server.service")
	})
}

// replaced runs a script and waits until the watchdog's next process runs.
func (s *service) replaced(script string) {
	s.t.Helper()
	before := s.sh(mainPID)
	s.sh(script)
	s.await("pid=$("+mainPID+"); test $pid != 0 && test $pid != "+before+" && echo other", "other")
}

// fencedAndOpened checks that Redis shut itself before the present process of
// the watchdog was there, and waits until that one has opened it again.
func (s *service) fencedAndOpened(from watchdog.Instant) {
	s.t.Helper()
	started := s.stamp("ExecMainStartTimestampMonotonic")
	failed := s.writer.Trace().Sent(from, watchdog.Never).Failed()
	if len(failed) == 0 || failed[0].Received > started {
		s.t.Errorf("redis has not fenced itself before the watchdog was replaced at %s: %v", s.lab.Since(started), failed)
	} else {
		refused := failed[0].Received
		if late := s.writer.Trace().AckedAfter(failed[len(failed)-1].Received).Received(refused, started); len(late) > 0 {
			s.t.Errorf("%d writes were acknowledged by a fenced redis that nobody has opened", len(late))
		}
		s.t.Logf("refused %s after the signal, replaced after %s", refused.Sub(from), started.Sub(from))
	}
	s.await(role, "master")
	opened := s.writer.WaitOK(started, patience)
	s.t.Logf("served again %s after the watchdog was replaced", opened.Received.Sub(started))
}

// unnoticed checks that the client has seen no error.
func (s *service) unnoticed(what string, from watchdog.Instant) {
	s.t.Helper()
	trace := s.writer.Trace().Sent(from, watchdog.Never)
	if failed := trace.Failed(); len(failed) > 0 || len(trace) == 0 {
		s.t.Errorf("%s was noticed by the client: %v", what, trace)
	}
}

// armedUntil waits until the first Redis serves behind an armed fence and is
// when that fires, at the latest.
func (s *service) armedUntil() watchdog.Instant {
	s.t.Helper()
	var until watchdog.Instant
	s.awaitNode("first", "it serves behind an armed fence", func(n agent.Status) bool {
		until = lab.Now().Add(time.Duration(n.Deadline * float64(time.Second)))
		return n.Ready && n.Phase == "serve" && n.Deadline >= 0
	})
	return until
}

// awaitFine waits until every node is guarded and nothing is wrong, but for what
// Redis 6.0, of Debian 11, cannot do.
func (s *service) awaitFine() {
	s.t.Helper()
	s.lab.Eventually("all is fine", patience, func() error {
		nodes, out := s.nodes()
		for _, n := range nodes {
			if !n.Ready || slices.ContainsFunc(n.Faults, func(f agent.Fault) bool {
				return f.ID != "rights_pause" && f.ID != agent.FaultLockScripts || os.Getenv("BOOTED_SUITE") != "bullseye"
			}) {
				return fmt.Errorf("status: %s", out)
			}
		}
		if len(nodes) == 0 {
			return fmt.Errorf("status: %s", out)
		}
		return nil
	})
	if code := s.exit("redis-watchdog status"); code != 0 && os.Getenv("BOOTED_SUITE") != "bullseye" {
		s.t.Errorf("all is fine, and status ends with %d", code)
	}
}

// awaitNode waits until the status of a node is as claimed.
func (s *service) awaitNode(name, claim string, is func(agent.Status) bool) {
	s.t.Helper()
	s.lab.Eventually(claim, patience, func() error {
		nodes, out := s.nodes()
		for _, n := range nodes {
			if n.Node == name && is(n) {
				return nil
			}
		}
		return fmt.Errorf("status: %s", out)
	})
}

// nodes is the status of the host's own, and all that was printed.
func (s *service) nodes() (nodes []agent.Status, out string) {
	out, _ = s.try("redis-watchdog status --local -o json") // a fault is an exit code
	var report struct{ Nodes []agent.Status }
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		return nil, err.Error() + ": " + out
	}
	return report.Nodes, out
}

// exit is the exit code of a command.
func (s *service) exit(command string) int {
	s.t.Helper()
	code, err := strconv.Atoi(s.sh("code=0; " + command + " >/dev/null 2>&1 || code=$?; echo $code"))
	if err != nil {
		s.t.Fatal(err)
	}
	return code
}

// stamp is a time of the unit, which systemd takes on CLOCK_MONOTONIC.
func (s *service) stamp(property string) watchdog.Instant {
	s.t.Helper()
	microseconds, err := strconv.ParseInt(s.sh("systemctl show --value -p "+property+" redis-watchdog"), 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	var monotonic unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &monotonic); err != nil {
		s.t.Fatal(err)
	}
	suspended := time.Duration(lab.Now()) - time.Duration(monotonic.Nano())
	return watchdog.Instant(time.Duration(microseconds)*time.Microsecond + suspended)
}
