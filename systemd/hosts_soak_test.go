//go:build soak

package systemd_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// Three hosts as a person would have them: Debian's Redis and Sentinel under a
// real systemd, the .deb, a configuration by init, the start gate. HAProxy stands
// in front with a writer through it, and a client on each host writes to its own
// Redis whatever happens to it.
type site struct {
	*testing.T
	lab   *lab.Lab
	hosts []*siteHost
	front *lab.Load // through HAProxy
}

type siteHost struct {
	*host
	place *lab.Host
	local *lab.Load
}

const siteDownAfter = 5 * time.Second

func TestThreeHostsFromThePackage(t *testing.T) {
	t.Parallel()
	older, newer := buildPackage(t, "deb", "0.3.0"), buildPackage(t, "deb", "0.4.0")
	s := newSite(t, older, newer)
	s.masterIsStopped()
	s.watchdogIsKilledAndFrozen()
	s.everyHostIsUpgraded("/root/" + filepath.Base(newer))
	s.masterIsCutOff()
	s.hostOfTheMasterIsRebooted()
	s.count()
}

func newSite(t *testing.T, packages ...string) *site {
	t.Helper()
	l := lab.New(t)
	s := &site{T: t, lab: l}
	places := l.Hosts("a", "b", "c")
	etcd := l.Etcd(lab.EtcdConfig{}, places...)
	var ips []string
	for i, place := range places {
		holder := place.Start("network", "sleep", "infinity")
		h := &siteHost{place: place, host: bootIn(t, fmt.Sprintf("/proc/%d/ns/net", holder.PID()))}
		s.hosts = append(s.hosts, h)
		ips = append(ips, place.IP)
		for _, deb := range packages {
			if err := h.CopyIn(t.Context(), deb, "/root/"+filepath.Base(deb)); err != nil {
				t.Fatal(err)
			}
		}
		follows := ""
		if i > 0 {
			follows = "replicaof " + places[0].IP + " 6379\\n"
		}
		h.sh(fmt.Sprintf(`systemctl stop redis-sentinel redis-server
			cd /etc/redis
			printf 'bind 0.0.0.0\nprotected-mode no\nrepl-diskless-sync-delay 0\n%s' >>redis.conf
			printf 'port 26379\nprotected-mode no\nlogfile /var/log/redis/redis-sentinel.log\ndir /var/lib/redis\nsentinel monitor mymaster %s 6379 2\nsentinel down-after-milliseconds mymaster %d\nsentinel failover-timeout mymaster %d\n' >sentinel.conf
			systemctl enable --quiet --now redis-server redis-sentinel`, follows, places[0].IP, siteDownAfter.Milliseconds(), (2 * siteDownAfter).Milliseconds()))
	}
	for _, h := range s.hosts {
		h.await("redis-cli -p 26379 --json sentinel master mymaster | grep -o '\"num-other-sentinels\":\"[0-9]*\",\\|\"num-slaves\":\"[0-9]*\"' | tr -dc '0-9\\n' | tr '\\n' ' '", "2 2")
	}
	front := l.Host("front")
	for _, h := range s.hosts {
		if out := h.sh("dpkg -i /root/" + filepath.Base(packages[0])); !strings.Contains(out, "redis-watchdog init") {
			t.Errorf("the installation does not say what is next:\n%s", out)
		}
		h.follow(h.sh("redis-watchdog init --etcd " + strings.Join(etcd.Endpoints(), ",")))
		h.sh("echo 'http: {listen: \"0.0.0.0:26380\"}' >>/etc/redis-watchdog/redis-watchdog.yaml; redis-watchdog check-config; systemctl enable --quiet --now redis-watchdog; redis-watchdog start-gate on")
	}
	s.waitFine()
	s.front = front.Writer(lab.LoadConfig{Address: front.HAProxy("../docs/http.md", ips...), Timeout: 20 * time.Second})
	for _, h := range s.hosts {
		h.local = h.place.Writer(lab.LoadConfig{Address: h.place.IP + ":6379"})
	}
	s.front.WaitOK(lab.Now(), patience)
	return s
}

// follow does what init prints for a person to do on the host itself.
func (h *host) follow(printed string) {
	h.t.Helper()
	for line := range strings.Lines(printed) {
		command, ok := strings.CutPrefix(line, "  ")
		for _, word := range []string{"mkdir ", "printf ", "systemctl "} {
			if ok && strings.HasPrefix(command, word) {
				h.sh(command)
			}
		}
	}
}

// node is the status of the host's Redis; the zero Status where it cannot be had.
func (h *siteHost) node() (agent.Status, string) {
	out, err := h.try("redis-watchdog status --local -o json")
	var report struct{ Nodes []agent.Status }
	if json.Unmarshal([]byte(out), &report) != nil || len(report.Nodes) != 1 {
		return agent.Status{}, fmt.Sprint(out, err)
	}
	return report.Nodes[0], out
}

// serving waits until one that is none of these serves behind its armed fence.
func (s *site) serving(but ...*siteHost) *siteHost {
	s.Helper()
	var found *siteHost
	s.lab.Eventually("one serves by the grant", 3*patience, func() error {
		seen := ""
		for _, h := range s.hosts {
			n, out := h.node()
			seen += out
			for _, other := range but {
				if h == other {
					n = agent.Status{}
				}
			}
			if n.Phase == "serve" && n.GrantOurs && n.Deadline >= 0 {
				found = h
				return nil
			}
		}
		return notYet(seen)
	})
	return found
}

func (s *site) waitFine() {
	s.Helper()
	for _, h := range s.hosts {
		s.lab.Eventually("status on every host is fine", 3*patience, func() error {
			out, err := h.try("redis-watchdog status")
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
	}
}

func (s *site) masterIsStopped() {
	old := s.serving()
	s.lab.Mark("the master is stopped")
	old.sh("systemctl stop redis-server")
	next := s.serving(old)
	s.front.WaitOK(s.lab.Mark("%s serves", next.place.Name), patience)
	old.sh("systemctl start redis-server")
	old.await("redis-cli info replication | grep -c master_link_status:up", "1")
	s.waitFine()
}

// A killed watchdog is not noticed; the fence of one that is frozen fires in
// Redis, and it is opened again.
func (s *site) watchdogIsKilledAndFrozen() {
	master := s.serving()
	from := s.lab.Mark("the master's watchdog is killed")
	master.restartedBy("systemctl kill -s KILL redis-watchdog")
	s.serving()
	s.front.WaitOK(s.lab.Mark("it is back"), patience)
	s.unnoticed("a killed watchdog", from)
	from = s.lab.Mark("the master's watchdog is frozen")
	master.restartedBy("systemctl kill -s STOP redis-watchdog")
	s.serving()
	s.front.WaitOK(s.lab.Mark("one serves"), patience)
	if len(master.local.Trace().Sent(from, watchdog.Never).Failed()) == 0 {
		s.Error("the fence of a frozen watchdog did not fire")
	}
	s.waitFine()
}

func (h *host) restartedBy(script string) {
	h.t.Helper()
	before := h.sh(mainPID)
	h.sh(script)
	h.await("pid=$("+mainPID+"); test $pid != 0 && test $pid != "+before+" && echo other", "other")
}

func (s *site) everyHostIsUpgraded(deb string) {
	from := s.lab.Mark("upgrade")
	for _, h := range s.hosts {
		h.restartedBy("dpkg -i " + deb)
		h.await("systemctl show --value -p ActiveState redis-watchdog", "active")
	}
	s.waitFine()
	s.front.WaitOK(s.lab.Mark("upgraded"), patience)
	s.unnoticed("an upgrade of every host", from)
}

func (s *site) unnoticed(what string, from watchdog.Instant) {
	s.Helper()
	if failed := s.front.Trace().Sent(from, watchdog.Never).Failed(); len(failed) > 0 {
		s.Errorf("%s was noticed by the client behind HAProxy: %v", what, failed)
	}
}

func (s *site) masterIsCutOff() {
	old := s.serving()
	from := s.lab.Mark("the master's host is cut off from everybody")
	s.lab.Isolate(old.place)
	next := s.serving(old)
	s.front.WaitOK(s.lab.Mark("%s serves", next.place.Name), patience)
	s.lab.Pause(siteDownAfter)
	heal := s.lab.Mark("heal")
	s.lab.Heal()
	old.await("redis-cli info replication | grep -c master_link_status:up", "1")
	s.waitFine()
	first := next.local.Trace().AckedAfter(from).FirstOK()
	if n := old.local.Trace().AckedAfter(first.Received); len(n) > 0 {
		s.Errorf("%d writes were acknowledged by the master that was cut off after another had begun", len(n))
	}
	s.Logf("cut off: its last write %s after the cut, the other's first %s, healed after %s",
		old.local.Trace().Received(from, heal).LastOK().Received.Sub(from), first.Received.Sub(from), heal.Sub(from))
}

func (s *site) hostOfTheMasterIsRebooted() {
	old := s.serving()
	from := s.lab.Mark("the master's host is rebooted")
	if err := old.Reboot(s.Context()); err != nil {
		s.Fatal(err)
	}
	up := s.lab.Mark("it is up")
	master := s.serving()
	s.front.WaitOK(s.lab.Mark("%s serves", master.place.Name), patience)
	s.waitFine()
	if master == old {
		s.Logf("rebooted in %s: it was opened again before another was promoted", up.Sub(from))
		return
	}
	first := master.local.Trace().AckedAfter(from).FirstOK()
	if n := old.local.Trace().AckedAfter(first.Received); len(n) > 0 {
		s.Errorf("%d writes were acknowledged by the rebooted master after another had begun", len(n))
	}
}

// count says what became of all that was acknowledged: what the stopped, the
// cut off and the rebooted master had not passed on is lost, and nothing else.
func (s *site) count() {
	master := s.serving()
	writes := s.front.Stop()
	for _, h := range s.hosts {
		h.local.Stop()
	}
	there := map[string]bool{}
	for key := range strings.Lines(master.sh("redis-cli --scan")) {
		there[strings.TrimSpace(key)] = true
	}
	acknowledged, lost := writes.OK(), 0
	for _, key := range acknowledged.Keys() {
		if !there[key] {
			lost++
		}
	}
	_, longest := writes.LongestWait()
	s.Logf("through HAProxy: %s; %d of %d acknowledged writes lost, the longest wait was %v", writes, lost, len(acknowledged), longest)
	if len(acknowledged) == 0 || lost*20 > len(acknowledged) {
		s.Errorf("%d of %d acknowledged writes are lost", lost, len(acknowledged))
	}
}
