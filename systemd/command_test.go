package systemd_test

import (
	"strings"
	"testing"
)

// The watchdog, which has no rights, learns from the helper what the unit of a
// Redis starts, whose title hides it, and of no other process.
func TestHelperSaysWhatTheUnitOfARedisStarts(t *testing.T) {
	h := boot(t)
	h.sh(`cat >/etc/systemd/system/super.service <<'END'
[Service]
ExecStart=/bin/sh -c 'redis-server --port 6391 --save "" --daemonize no & wait'
END
mkdir -p /etc/systemd/system/redis-server.service.d
cat >/etc/systemd/system/redis-server.service.d/options.conf <<'END'
[Service]
ExecStart=
ExecStart=/usr/bin/redis-server /etc/redis/redis.conf --supervised systemd --daemonize no --save "" --databases 5
Type=notify
END
systemctl daemon-reload && systemctl restart redis-server && systemctl start super`)
	h.await("redis-cli config get databases | tail -1", "5")
	const pidOf = "info server | tr -d '\\r' | sed -n 's/^process_id://p'"
	pid := h.sh("redis-cli " + pidOf)
	if got := h.sh("tr '\\0' ' ' </proc/" + pid + "/cmdline"); strings.Contains(got, "databases") {
		t.Fatalf("its title hides nothing: %s", got)
	}
	const want = "/usr/bin/redis-server /etc/redis/redis.conf --supervised systemd --daemonize no --save  --databases 5"
	if got := h.ask("command " + pid); got != want {
		t.Errorf("the unit starts %q, want %q", got, want)
	}
	h.await("redis-cli -p 6391 "+pidOf+" | grep -c .", "1")
	for what, pid := range map[string]string{
		"process is not the main one": h.sh("redis-cli -p 6391 " + pidOf),
		"refused":                     h.sh("systemctl show --value -p MainPID systemd-journald"),
	} {
		if out, err := h.try("redis-watchdog ask command " + pid); err == nil || !strings.Contains(out+err.Error(), what) {
			t.Errorf("of process %s: %s %v, want %s", pid, out, err, what)
		}
	}
}
