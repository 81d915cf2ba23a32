package systemd_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/lab/booted"
)

// The tests here run a stand-in for the watchdog (testdata/fencer) under the
// shipped unit, beside Debian's redis-server under its own, on a host with a
// real systemd.

const patience = 60 * time.Second

type host struct {
	*booted.Host
	t *testing.T
}

// boot boots a host of the Debian suite BOOTED_SUITE, bookworm unless it is set.
func boot(t *testing.T) *host {
	t.Helper()
	t.Parallel() // they mostly wait
	h := bootIn(t, "")
	h.install("./testdata/fencer")
	h.sh("systemctl start redis-server redis-watchdog")
	return h
}

// bootIn is boot in a given network, with more of Debian's packages, and with
// nothing of ours installed or started.
func bootIn(t *testing.T, netns string, packages ...string) *host {
	t.Helper()
	h := &host{Host: booted.Boot(t, "fenced", booted.Options{Suite: os.Getenv("BOOTED_SUITE"), Netns: netns, Packages: packages}), t: t}
	t.Cleanup(func() {
		if t.Failed() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			journal, err := h.Journal(ctx, "redis-watchdog.service", "redis-watchdog-helper.service", "redis-server.service")
			t.Logf("journal (%v):\n%s", err, journal)
			logs, err := h.Sh(ctx, "tail -n 30 /var/log/redis/*.log")
			t.Logf("logs of redis (%v):\n%s", err, logs)
		}
	})
	return h
}

// install builds a program and puts it under the shipped unit, with the helper.
func (h *host) install(program string) {
	h.t.Helper()
	for from, to := range map[string]string{
		h.build(program):                        "/usr/bin/redis-watchdog",
		h.build("../cmd/redis-watchdog-helper"): "/usr/libexec/redis-watchdog-helper",
		"redis-watchdog.service":                "/etc/systemd/system/redis-watchdog.service",
		"redis-watchdog-helper.service":         "/etc/systemd/system/redis-watchdog-helper.service",
		"redis-watchdog-helper.socket":          "/etc/systemd/system/redis-watchdog-helper.socket",
		"package/sysusers.conf":                 "/usr/lib/sysusers.d/redis-watchdog.conf",
	} {
		if err := h.CopyIn(h.t.Context(), from, to); err != nil {
			h.t.Fatal(err)
		}
	}
	h.sh("systemd-sysusers redis-watchdog.conf; systemctl daemon-reload")
}

func (h *host) build(program string) (binary string) {
	h.t.Helper()
	binary = filepath.Join(h.t.TempDir(), "program")
	build := exec.CommandContext(h.t.Context(), "go", "build", "-o", binary, program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		h.t.Fatalf("build %s: %v\n%s", program, err, out)
	}
	return binary
}

// sh runs a script on the host that has to succeed.
func (h *host) sh(script string) string {
	h.t.Helper()
	out, err := h.try(script)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

func (h *host) try(script string) (string, error) {
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	out, err := h.Sh(ctx, script)
	return strings.TrimSpace(out), err
}

func (h *host) ask(request string) string {
	h.t.Helper()
	return h.sh("redis-watchdog ask " + request)
}

// await runs a script until it prints want.
func (h *host) await(script, want string) {
	h.t.Helper()
	var got string
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if got, _ = h.try(script); got == want {
			return
		}
		select {
		case <-h.t.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	h.t.Fatalf("%s: got %q, want %q", script, got, want)
}

const (
	role    = "redis-cli role | head -1"
	nowhere = "redis-cli role | head -3 | tr '\\n' ' '"
	fenced  = "slave 127.0.0.1 0"
	blocked = "redis-cli client list | grep -c cmd=xread || true"
	stored  = "systemctl show --value -p NFileDescriptorStore redis-watchdog"
	state   = "systemctl show --value -p SubState redis-watchdog"
)

func (h *host) unfence() {
	h.t.Helper()
	h.sh("redis-cli replicaof no one; redis-cli config set replica-serve-stale-data yes; redis-cli config set replica-priority 100")
	h.await(role, "master")
}

// restartSec makes the unit wait before it restarts, so that there is a time in
// which nothing of the watchdog runs.
func (h *host) restartSec(value string) {
	h.t.Helper()
	h.sh("d=/run/systemd/system/redis-watchdog.service.d; mkdir -p $d; printf '[Service]\\nRestartSec=" + value + "\\n' >$d/test.conf; systemctl daemon-reload")
}

func TestArmedFenceOutlivesTheWatchdog(t *testing.T) {
	h := boot(t)
	if got := h.ask("probe"); got != "true" {
		t.Fatalf("probe of the store: got %s, want true", got)
	}
	h.await(stored, "0") // the probe has left nothing

	t.Log("killed, and not back for a while: Redis fences itself")
	h.restartSec("10s")
	h.ask("arm fence.a 4000")
	h.sh("systemctl kill -s KILL redis-watchdog")
	h.await(state, "auto-restart")
	if got := h.sh(role) + " " + h.sh(stored); got != "master 1" {
		t.Errorf("after the kill, before the time: got role and stored %q, want master 1", got)
	}
	h.await(nowhere, fenced)
	if got := h.sh(state); got != "auto-restart" {
		t.Errorf("fenced with the watchdog %s, want auto-restart: it was not Redis by itself", got)
	}
	h.await(state, "running")

	t.Log("restarted: the next process gets the descriptor back under its name")
	h.restartSec("100ms")
	h.unfence()
	h.ask("remove fence.a")
	h.await(stored, "0")
	h.ask("arm fence.b 600000")
	first := h.sh("systemctl show --value -p MainPID redis-watchdog")
	h.sh("systemctl kill -s KILL redis-watchdog")
	h.await("test $(systemctl show --value -p MainPID redis-watchdog) != "+first+" && redis-watchdog ask adopted", "fence.b=1")
	h.sh("systemctl restart redis-watchdog")
	h.await("redis-watchdog ask adopted", "fence.b=1")
	if got := h.sh(blocked); got != "1" {
		t.Errorf("armed fences in Redis after two restarts: got %s, want 1", got)
	}

	t.Log("removed from the store and closed: disarmed")
	h.ask("remove fence.b")
	h.sh("systemctl restart redis-watchdog") // closes the adopted one
	h.await(blocked, "0")

	t.Log("stopped in order: disarmed, and nobody is fenced")
	h.ask("arm fence.c 600000")
	h.await(blocked, "1")
	h.sh("systemctl stop redis-watchdog")
	h.await(blocked, "0")
	if got := h.sh(role); got != "master" {
		t.Errorf("after an orderly stop: got %s, want master", got)
	}

	t.Log("a wrong configuration after a restart: failed, not looping, disarmed")
	h.sh("systemctl start redis-watchdog")
	h.ask("arm fence.d 600000")
	_, _ = h.try("redis-watchdog ask exit 64") // it dies before it answers
	h.await("systemctl is-failed redis-watchdog || true", "failed")
	h.await(blocked, "0")
	if got := h.sh(role); got != "master" {
		t.Errorf("after exit 64: got %s, want master", got)
	}
}

func TestFrozenWatchdogIsReplacedAndItsFenceFires(t *testing.T) {
	h := boot(t)
	h.ask("arm fence.a 1500")
	first := h.sh("systemctl show --value -p MainPID redis-watchdog")
	h.sh("systemctl kill -s STOP redis-watchdog")
	h.await(nowhere, fenced)
	if got := h.sh("systemctl show --value -p MainPID redis-watchdog"); got != first {
		t.Errorf("the watchdog was replaced before the fence fired")
	}
	// systemd wakes it to abort; SIGKILL follows by TimeoutAbortSec.
	h.await("test $(systemctl show --value -p MainPID redis-watchdog) != "+first+" && redis-watchdog ask probe", "true")
}

func TestKilledUnitStaysDownUntilItIsRestored(t *testing.T) {
	const redis = "systemctl show --value -p ActiveState redis-server"
	h := boot(t)
	h.ask("prepare")
	if got := h.sh("redis-watchdog state"); !strings.Contains(got, "BlockLoaded:true Blocked:false") {
		t.Errorf("prepared: got %s, want the block loaded and its file not there", got)
	}
	if got := h.sh(role); got != "master" {
		t.Errorf("prepared: got %s, want master", got)
	}

	t.Log("killed through the manager")
	t.Logf("kill took %s", h.ask("kill"))
	h.staysDown()
	if out, err := h.try("systemctl start redis-server"); err == nil {
		t.Errorf("a shut unit can be started: %s", out)
	}
	h.staysDown()
	h.ask("restore")
	if got := h.sh(role) + " " + h.sh(redis); got != "master active" {
		t.Errorf("restored: got %s, want master active", got)
	}

	t.Log("restarted by its supervisor since it was prepared")
	h.sh("systemctl kill -s KILL redis-server")
	h.await(role, "master")
	h.ask("kill")
	h.staysDown()
	h.ask("restore")

	t.Log("killed directly, as if the manager had not taken the order")
	h.ask("prepare")
	h.sh("touch /run/systemd/system/redis-server.service.d/redis-watchdog.start-block; systemctl kill -s KILL redis-server")
	h.await(redis, "inactive")
	h.staysDown()
	h.ask("restore")
	if got := h.sh(role); got != "master" {
		t.Errorf("restored: got %s, want master", got)
	}
}

// staysDown looks at a killed Redis for many times its RestartSec= of 100 ms.
func (h *host) staysDown() {
	h.t.Helper()
	out := h.sh("for i in $(seq 20); do redis-cli ping 2>&1 || true; sleep 0.05; done | grep -c PONG || true")
	if out != "0" {
		h.t.Errorf("a killed Redis answered %s times", out)
	}
}

func TestKillDoesNotNeedTheManager(t *testing.T) {
	h := boot(t)
	h.ask("prepare")
	// Debian's unit restarts Redis 100 ms after its end; a manager that wakes
	// later must find the unit blocked.
	if err := h.SignalInit(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Logf("kill took %s", h.ask("kill"))
	out, _ := h.try("redis-cli ping 2>&1 || true")
	if strings.Contains(out, "PONG") {
		t.Errorf("Redis answers after its kill: %s", out)
	}
	if err := h.SignalInit(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	h.staysDown()
	h.ask("restore")
	if got := h.sh(role); got != "master" {
		t.Errorf("restored: got %s, want master", got)
	}
}

func TestShippedUnitIsVerifiedAndHardened(t *testing.T) {
	h := boot(t)
	if os.Getenv("BOOTED_SUITE") == "bullseye" {
		return // its systemd-analyze knows neither
	}
	if out, err := h.try("systemd-analyze verify /etc/systemd/system/redis-watchdog*.s* 2>&1"); err != nil || out != "" {
		t.Errorf("systemd-analyze verify: %v: %s", err, out)
	}
	// Debian's redis-server has 1.2; AF_NETLINK, for what the kernel counts on the Sentinels' connections, is 0.1 more, and that an audit may lower its own priority another 0.1. Without the hardening it is 9.6.
	for unit, threshold := range map[string]string{"redis-watchdog": "14", "redis-watchdog-helper": "10"} {
		if out, err := h.try("systemd-analyze security --offline=true --threshold=" + threshold + " --no-pager /etc/systemd/system/" + unit + ".service"); err != nil {
			t.Errorf("systemd-analyze security: %v\n%s", err, out)
		}
	}
}

// The watchdog has no right of its own, and its helper kills and starts nothing
// but Redis, whoever the watchdog may have become.
func TestWatchdogHasNoRights(t *testing.T) {
	h := boot(t)
	if got := h.sh("grep -E '^(Uid|CapPrm|CapBnd):' /proc/$(" + mainPID + ")/status | tr -s '\\t\\n' ' '; id -u redis-watchdog"); !regexp.MustCompile(`^Uid: (\d+) \d+ \d+ \d+ CapPrm: 0+ CapBnd: 0+ \d+$`).MatchString(got) || strings.HasPrefix(got, "Uid: 0 ") {
		t.Errorf("the watchdog runs as %s, want its own user without a capability", got)
	}
	if got := h.sh("stat -c '%U %a' /run/redis-watchdog-helper.socket"); got != "redis-watchdog 600" {
		t.Errorf("the helper's socket belongs to %s", got)
	}
	h.sh("systemctl start redis-sentinel")
	h.await("redis-cli -p 26379 ping", "PONG")
	pidOf := func(unit string) string { return h.sh("systemctl show --value -p MainPID " + unit) }
	const journald = "systemd-journald.service"
	for _, request := range []string{
		"kill-other " + journald + " " + pidOf(journald),
		"kill-other " + journald + " " + pidOf("redis-server"), // a Redis, and not of that unit
		"kill-other redis-sentinel.service " + pidOf("redis-sentinel"),
		"kill-other ../../../etc/systemd/system/x.service " + pidOf("redis-server"),
		"start-other systemd-hostnamed.service",
	} {
		if out, err := h.try("redis-watchdog ask " + request); err == nil {
			t.Errorf("%s: %s, want it refused", request, out)
		}
	}
	for _, unit := range []string{journald, "redis-sentinel", "redis-server"} {
		if pid := pidOf(unit); pid == "0" {
			t.Errorf("%s does not run any more", unit)
		}
	}
	if got := h.sh("find /run/systemd/system /etc/systemd/system -name '*redis-watchdog*' -not -name 'redis-watchdog*.s*'"); got != "" {
		t.Errorf("the helper has left %s", got)
	}
	h.ask("prepare")
	h.sh("systemctl kill -s KILL redis-watchdog-helper")
	// What the one before had prepared, the next one has too.
	h.await("p=$(systemctl show --value -p MainPID redis-watchdog-helper); test $p != 0 && journalctl -q -o cat _PID=$p | grep -c 'is prepared again'", "1")
	if err := h.SignalInit(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Logf("kill by a new helper took %s", h.ask("kill"))
	if out, _ := h.try("redis-cli ping 2>&1 || true"); strings.Contains(out, "PONG") {
		t.Errorf("Redis answers after its kill: %s", out)
	}
	if err := h.SignalInit(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	h.staysDown()
	h.ask("restore")
	h.await(role, "master")
}
