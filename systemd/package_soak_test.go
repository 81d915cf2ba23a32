//go:build soak

package systemd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// packager is how packages of a kind are handled.
type packager struct{ kind, install, upgrade, remove string }

var (
	dpkg   = packager{"deb", "dpkg -i", "dpkg -i", "dpkg -r"}
	rpmish = packager{"rpm", "rpm -i --nodeps", "rpm -U --oldpackage --replacepkgs --nodeps", "rpm -e"}
)

// The .deb on a host that already runs Redis and Sentinel of Debian's, from the
// installation to the purge, with a client that writes all the time.
func TestPackageFromInstallToPurge(t *testing.T) {
	t.Parallel()
	s, older, newer := packaged(t, dpkg)
	before := s.traces()
	s.installedAndConfigured(dpkg, older)
	s.upgradedAndDowngraded(dpkg, older, newer)
	s.reloaded()
	s.removedWithoutATrace(dpkg)
	s.sh("dpkg -i " + newer)
	s.sh("dpkg -P redis-watchdog")
	if after := s.traces(); after != before {
		t.Errorf("left after the purge:\n%s\nbefore the installation:\n%s", after, before)
	}
}

// The .rpm likewise, by Debian's rpm: what its scripts are told is what they are
// told elsewhere. There is no purge.
func TestRPMFromInstallToRemoval(t *testing.T) {
	t.Parallel()
	s, older, newer := packaged(t, rpmish, "rpm")
	s.installedAndConfigured(rpmish, older)
	s.upgradedAndDowngraded(rpmish, older, newer)
	s.removedWithoutATrace(rpmish)
}

// packaged is a host with two versions of the package on it.
func packaged(t *testing.T, p packager, debian ...string) (s *service, older, newer string) {
	t.Helper()
	older, newer = buildPackage(t, p.kind, "0.1.0"), buildPackage(t, p.kind, "0.2.0")
	s = bareService(t, debian...)
	s.etcd.Restart()
	for _, file := range []string{older, newer} {
		if err := s.CopyIn(t.Context(), file, "/root/"+filepath.Base(file)); err != nil {
			t.Fatal(err)
		}
	}
	return s, "/root/" + filepath.Base(older), "/root/" + filepath.Base(newer)
}

// building: make package works in one directory.
var building sync.Mutex

// buildPackage makes a package, as `make package` does.
func buildPackage(t *testing.T, kind, version string) string {
	t.Helper()
	building.Lock()
	defer building.Unlock()
	cmd := exec.CommandContext(t.Context(), "make", "-C", "..", "package", "PACKAGE_VERSION="+version)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make package: %v\n%s", err, out)
	}
	found, err := filepath.Glob("../bin/redis-watchdog?" + version + "*." + kind)
	if err != nil || len(found) != 1 {
		t.Fatalf("package of %s: found %v, %v", version, found, err)
	}
	kept := filepath.Join(t.TempDir(), filepath.Base(found[0]))
	if err := os.Rename(found[0], kept); err != nil {
		t.Fatal(err)
	}
	return kept
}

// traces is every file of the host that carries our name, and the units that
// failed.
func (s *service) traces() string {
	s.t.Helper()
	return s.sh("find / -xdev -path /proc -prune -o -name '*redis-watchdog*' -not -path '/root/*' -not -path '*/journal/*' -print; ls /etc/systemd/system /run/systemd/system; systemctl --failed --no-legend --plain | cut -d' ' -f1; getent passwd redis-watchdog || true; getent group redis-watchdog || true")
}

func (s *service) installedAndConfigured(p packager, file string) {
	from := s.lab.Mark("installed")
	if out := s.sh(p.install + " " + file); !strings.Contains(out, "not configured yet; next, as root: redis-watchdog init") {
		s.t.Errorf("the installation does not say what is next:\n%s", out)
	}
	if got := s.sh(active + "; systemctl is-enabled redis-watchdog || true"); got != "inactive\ndisabled" {
		s.t.Errorf("just installed it is %q, want inactive and disabled", got)
	}
	next := s.sh("redis-watchdog init --etcd " + s.etcd.Endpoints()[0])
	s.lab.Mark("init says:\n%s", next)
	s.follow(next)
	s.sh("redis-watchdog check-config && systemctl enable --quiet --now redis-watchdog")
	s.awaitFine()
	s.sh("redis-watchdog start-gate on")
	s.unnoticed("the installation", from)
	if out := s.sh("man -w redis-watchdog-preflight 2>/dev/null || ls /usr/share/man/man1/redis-watchdog-preflight.1.gz"); out == "" {
		s.t.Error("no manual page")
	}
}

func (s *service) upgradedAndDowngraded(p packager, older, newer string) {
	from := s.lab.Mark("upgrade and downgrade")
	for _, file := range []string{newer, older, newer} {
		fires := s.guardedFor()
		s.replaced(p.upgrade + " " + file)
		s.guardedFor()
		if got, want := s.sh("redis-watchdog version"), regexp.MustCompile(`[0-9]+\.[0-9]+\.[0-9]+`).FindString(file); !strings.Contains(got, want) {
			s.t.Errorf("version after %s: %s", file, got)
		}
		s.writer.WaitOK(fires, patience)
	}
	s.unnoticed("an upgrade", from)

	s.lab.Mark("upgrade with a wrong configuration")
	s.sh("cp /etc/redis-watchdog/redis-watchdog.yaml /root/good.yaml; echo 'no_such_key: 1' >>/etc/redis-watchdog/redis-watchdog.yaml")
	pid := s.sh(mainPID)
	if out := s.sh(p.upgrade + " " + newer + " 2>&1"); !strings.Contains(out, "the old one runs on") {
		s.t.Errorf("an upgrade with a wrong configuration says:\n%s", out)
	}
	if now := s.sh(mainPID); now != pid {
		s.t.Errorf("an upgrade with a wrong configuration replaced process %s by %s", pid, now)
	}
	s.sh("cp /root/good.yaml /etc/redis-watchdog/redis-watchdog.yaml")
	s.unnoticed("an upgrade with a wrong configuration", from)
}

// guardedFor waits for the armed fence and is when it fires.
func (s *service) guardedFor() (fires watchdog.Instant) {
	s.t.Helper()
	s.lab.Eventually("the master serves behind an armed fence", patience, func() error {
		nodes, out := s.nodes()
		for _, n := range nodes {
			if n.Guarded && n.Phase == "serve" && n.Deadline >= 0 {
				fires = lab.Now().Add(time.Duration(n.Deadline * float64(time.Second)))
				return nil
			}
		}
		return notYet(out)
	})
	return fires
}

func (s *service) reloaded() {
	from := s.lab.Mark("reload")
	pid := s.sh(mainPID)
	s.sh("echo 'log: {level: debug}' >>/etc/redis-watchdog/redis-watchdog.yaml; systemctl reload redis-watchdog")
	s.await("journalctl -u redis-watchdog | grep -c 'configuration taken over'", "1")
	s.sh("echo 'no_such_key: 1' >>/etc/redis-watchdog/redis-watchdog.yaml")
	if out, err := s.try("systemctl reload redis-watchdog"); err == nil {
		s.t.Errorf("a reload of a wrong configuration succeeds: %s", out)
	}
	s.lab.Eventually("the refused reload is a fault", patience, func() error {
		nodes, out := s.nodes()
		if len(nodes) > 0 && hasFault(nodes[0], "reload_refused") {
			return nil
		}
		return notYet(out)
	})
	s.sh("cp /root/good.yaml /etc/redis-watchdog/redis-watchdog.yaml; systemctl reload redis-watchdog")
	s.awaitFine()
	if now := s.sh(mainPID); now != pid {
		s.t.Errorf("reloads replaced process %s by %s", pid, now)
	}
	s.unnoticed("a reload", from)
}

func hasFault(n agent.Status, id string) bool {
	for _, f := range n.Faults {
		if f.ID == id {
			return true
		}
	}
	return false
}

func (s *service) removedWithoutATrace(p packager) {
	from := s.lab.Mark("removed")
	s.sh(p.remove + " redis-watchdog")
	for _, port := range []string{"6379", "6380"} {
		got := s.sh("for p in min-replicas-to-write replica-priority replica-serve-stale-data; do redis-cli -p " + port + " config get $p; done | tr '\\n' ' '")
		if want := "min-replicas-to-write 0 replica-priority 100 replica-serve-stale-data yes"; got != want {
			s.t.Errorf("%s after the removal: %s, want %s", port, got, want)
		}
	}
	if got := s.sh("grep -lE '^(min-replicas-to-write 1000000|replicaof 127.0.0.1 0|replica-priority 0)' /etc/redis/*.conf || true"); got != "" {
		s.t.Errorf("values of ours are left in %s", got)
	}
	if got := s.sh("ls -d /etc/systemd/system/redis-server*.d /run/systemd/system/redis-server*.d 2>/dev/null || true"); got != "" {
		s.t.Errorf("drop-ins left: %s", got)
	}
	if got := s.sh("test -e /etc/redis-watchdog/redis-watchdog.yaml && echo kept"); got != "kept" {
		s.t.Error("the configuration does not survive a removal")
	}
	s.sh("systemctl restart redis-server@second") // under no gate any more
	s.writer.WaitOK(s.lab.Mark("removed, and a replica restarted"), patience)
	s.unnoticed("the removal", from)
}
