package systemd_test

import (
	"testing"

	"github.com/redis-watchdog/redis-watchdog/preflight"
)

// Debian's units of Redis are of Type=notify and leave TimeoutStartSec= at systemd's
// 90 s; Redis says READY=1 when it has loaded its data, and one that loads for longer
// is ended and started anew: it never serves. The remedy of the check
// persistence_load_timeout helps the start that is under way.
func TestRedisThatLoadsLongerThanItsUnitWaits(t *testing.T) {
	t.Parallel()
	h := bootIn(t, "")
	if got := h.sh("systemctl show --value -p TimeoutStartUSec redis-server"); got != "1min 30s" {
		t.Errorf("the unit waits %s for a start, want systemd's own 1min 30s", got)
	}
	h.sh(`systemctl start redis-server
		redis-cli eval 'for i = 1, 30000 do local v = ""; for j = 1, 8 do v = v .. redis.sha1hex(i .. j) end; redis.call("SET", i, v) end' 0; redis-cli save # 10 MB: it looks for a signal every 2 MiB
		echo key-load-delay 200 >>/etc/redis/redis.conf # 6 s of loading, and more
		d=/run/systemd/system/redis-server.service.d; mkdir -p $d; printf '[Service]\nTimeoutStartSec=3\n' >$d/short.conf; systemctl daemon-reload
		systemctl restart --no-block redis-server`)
	const restarts = "systemctl show --value -p NRestarts redis-server"
	const sub = "systemctl show --value -p SubState redis-server"
	h.await("test $("+restarts+") -ge 1 && "+sub, "start")

	h.sh(preflight.WaitForLoading("redis-server.service"))
	before, still := h.sh(restarts), h.sh(sub)
	t.Logf("after %s starts anew, with the unit in state %s, it may take as long as it takes", before, still)
	h.await("systemctl is-active redis-server || true", "active")
	if after := h.sh(restarts); still == "start" && after != before {
		t.Errorf("started anew after the remedy: %s times, before %s", after, before)
	}
	if got := h.sh("redis-cli dbsize"); got != "30000" {
		t.Errorf("it has %s keys", got)
	}
	if got := h.sh("grep -c 'shutdown signal during loading' /var/log/redis/redis-server.log || true"); got == "0" {
		t.Error("nobody ended it while it loaded")
	}
}
