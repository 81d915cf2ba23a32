package systemd_test

import (
	"strings"
	"testing"
)

// A Redis that a supervisor runs among others, with a real systemd: it is killed,
// and neither the supervisor nor what else it runs; the supervisor's unit is not
// kept down.
func TestSupervisedRedisIsKilledAlone(t *testing.T) {
	h := boot(t)
	h.sh(`cat >/etc/systemd/system/super.service <<'END'
[Service]
ExecStart=/bin/sh -c 'redis-server --port 6391 --save "" --daemonize no & sleep 100000 & wait'
END
systemctl daemon-reload && systemctl start super`)
	const ask = "redis-cli -p 6391 info server | tr -d '\\r' | sed -n 's/^process_id://p'"
	h.await(ask+" | grep -c .", "1")
	pid := h.sh(ask)
	h.ask("kill-other super.service " + pid)
	if out, err := h.try("test ! -e /proc/" + pid); err != nil {
		t.Errorf("Redis lives: %s %v", out, err)
	}
	if got := h.sh("systemctl is-active super; pgrep -fc 'sleep 100000'"); !strings.HasPrefix(got, "active\n") || strings.HasSuffix(got, "\n0") {
		t.Errorf("the supervisor and what else it runs: %s", got)
	}
	if got := h.sh("find /run/systemd/system -path '*super.service*'"); got != "" {
		t.Errorf("the supervisor's unit is blocked: %s", got)
	}
	if out, err := h.try("redis-watchdog ask start-other super.service"); err == nil {
		t.Errorf("the supervisor's unit was started: %s", out)
	}
	h.sh("systemctl restart super")
	h.await("redis-cli -p 6391 ping", "PONG")
}
