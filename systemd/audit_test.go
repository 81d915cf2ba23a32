package systemd_test

import (
	"strings"
	"testing"
)

// TestAuditUnderTheShippedUnitLowersItsPriority: an audit of the fleet, which the
// watchdog runs beside itself, comes past that under the unit's filters, as far as to
// a group that is not configured. Where the filter lets it not, it does not begin.
func TestAuditUnderTheShippedUnitLowersItsPriority(t *testing.T) {
	t.Parallel()
	h := bootIn(t, "")
	h.install("../cmd/redis-watchdog")
	h.sh(`mkdir -p /etc/redis-watchdog /etc/systemd/system/redis-watchdog.service.d
cat > /etc/redis-watchdog/redis-watchdog.yaml <<'END'
etcd: {endpoints: ["http://127.0.0.1:2379"]}
groups: [{name: mymaster, sentinels: ["127.0.0.1:26379"], nodes: [{address: "127.0.0.1:6379"}]}]
END
chmod 644 /etc/redis-watchdog/redis-watchdog.yaml
cat > /etc/systemd/system/redis-watchdog.service.d/audit.conf <<'END'
[Service]
Type=oneshot
Restart=no
WatchdogSec=0
ExecStart=
ExecStart=/usr/bin/redis-watchdog keyspace fleet audit nogroup default
END
systemctl daemon-reload`)
	const lowest = "without the lowest priority"
	said := func() string {
		t.Helper()
		return h.sh("systemctl start redis-watchdog || true; journalctl --sync; journalctl -u redis-watchdog -o cat --no-pager")
	}
	if out := said(); !strings.Contains(out, `no group "nogroup"`) || strings.Contains(out, lowest) {
		t.Errorf("under the shipped unit: %s", out)
	}
	h.sh(`printf 'SystemCallFilter=~setpriority\n' >> /etc/systemd/system/redis-watchdog.service.d/audit.conf; systemctl daemon-reload; systemctl reset-failed redis-watchdog || true`)
	if out := said(); !strings.Contains(out, lowest) {
		t.Errorf("under a filter that takes setpriority away: %s", out)
	}
}
