//go:build soak

package systemd_test

import (
	"strings"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// What a person may get wrong on a host, each said in the journal by a line that
// names it, and shown: by a start that fails where nothing can be done, by status
// where the rest is guarded on.
func TestBadInputOnARealHost(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.etcd.Restart()
	const file = "/etc/redis-watchdog/redis-watchdog.yaml"
	s.sh("cp " + file + " /root/good.yaml; systemctl start redis-watchdog")
	s.awaitFine()
	from := s.lab.Mark("bad input")

	for name, test := range map[string]struct {
		make string
		says []string // in one line of the journal
	}{
		"half a configuration":     {"head -c 150 /root/good.yaml >" + file, []string{file + ":", "is not YAML"}},
		"a key that is none":       {"cp /root/good.yaml " + file + "; echo 'ectd: {}' >>" + file, []string{file + ":", "ectd", "unknown key"}},
		"a secret open to all":     {"cp /root/good.yaml " + file + "; echo secret >/etc/redis-watchdog/pw; chmod 644 /etc/redis-watchdog/pw; sed -i 's/unit: redis-server.service/&, password_file: pw/' " + file, []string{"password_file", "open to everyone", "chmod o="}},
		"a secret of root's alone": {"cp /root/good.yaml " + file + "; install -m 600 /dev/null /etc/redis-watchdog/pw; echo secret >/etc/redis-watchdog/pw; sed -i 's/unit: redis-server.service/&, password_file: pw/' " + file, []string{"password_file", "permission denied", "user the service runs as"}},
		"a secret that is nowhere": {"cp /root/good.yaml " + file + "; sed -i 's/unit: redis-server.service/&, password_file: nowhere/' " + file, []string{"password_file", "cannot be read"}},
	} {
		s.lab.Mark("%s", name)
		cursor := s.sh("journalctl -n 0 --show-cursor | sed -n 's/^-- cursor: //p'")
		s.sh("systemctl stop redis-watchdog; " + test.make)
		if out, err := s.try("redis-watchdog check-config"); err == nil {
			t.Errorf("%s: check-config, by root, finds nothing: %s", name, out)
		}
		if out, err := s.try("systemctl start redis-watchdog"); err == nil {
			t.Errorf("%s: the start succeeds: %s", name, out)
		}
		if got := s.sh(active + "; systemctl show --value -p ExecMainStatus redis-watchdog"); got != "failed\n64" {
			t.Errorf("%s: the unit is %q, want failed with 64", name, got)
		}
		journal := s.sh("journalctl -o cat -u redis-watchdog --after-cursor='" + cursor + "'")
		said := false
		for line := range strings.Lines(journal) {
			all := true
			for _, word := range test.says {
				all = all && strings.Contains(line, word)
			}
			said = said || all
		}
		if !said {
			t.Errorf("%s: no line with %q in\n%s", name, test.says, journal)
		}
	}

	s.lab.Mark("a port that is taken")
	s.sh("cp /root/good.yaml " + file + "; echo 'http: {listen: \"127.0.0.1:6379\"}' >>" + file + "; systemctl start redis-watchdog")
	s.awaitNode("first", "nobody is answered over HTTP, and Redis is guarded", func(n agent.Status) bool {
		return hasFault(n, "http_listen") && n.Guarded && n.Deadline >= 0
	})
	if got := s.sh("journalctl -u redis-watchdog | grep -c 'address already in use'"); got == "0" {
		t.Error("the journal does not say that the port is taken")
	}
	s.sh("systemctl stop redis-watchdog")

	// A Redis of no group, beside two that are guarded.
	s.lab.Mark("a Redis of no group")
	s.sh(`cd /etc/redis; sed 's/^port .*/port 6381/' redis.conf >redis-stray.conf
		printf 'dbfilename stray.rdb\nlogfile /var/log/redis/stray.log\npidfile /run/redis-stray/redis-server.pid\n' >>redis-stray.conf
		chown redis:redis redis-stray.conf; systemctl start redis-server@stray
		cp /root/good.yaml ` + file + `; echo '      - {name: stray, address: "127.0.0.1:6381", unit: redis-server@stray.service}' >>` + file + `
		systemctl start --no-block redis-watchdog`)
	s.awaitNode("stray", "a Redis of no group is said to be none", func(n agent.Status) bool { return !n.Guarded && len(n.Faults) > 0 })
	s.awaitNode("first", "the others are guarded", func(n agent.Status) bool { return n.Guarded && n.Phase == "serve" && n.Deadline >= 0 })
	if got := s.sh("redis-cli -p 6381 set stray 1"); got != "OK" {
		t.Errorf("a Redis of no group answers %q, want OK: nobody fences a stranger", got)
	}
	if code := s.exit("redis-watchdog status"); code != 1 {
		t.Errorf("status with a stranger: exit code %d, want 1", code)
	}

	// An etcd that does not take the user, here: none at all.
	s.lab.Mark("etcd refuses the user")
	s.sh("cp /root/good.yaml " + file + "; systemctl restart redis-watchdog")
	s.awaitFine()
	s.etcdctl("user", "add", "root:"+etcdRoot)
	s.etcdctl("user", "grant-role", "root", "root")
	s.etcdctl("auth", "enable")
	s.awaitNode("first", "the refusal is a fault", func(n agent.Status) bool { return hasFault(n, "etcd_auth") })
	s.sh("echo wrong >/etc/redis-watchdog/pw; chgrp redis-watchdog /etc/redis-watchdog/pw; chmod 640 /etc/redis-watchdog/pw; sed 's/^etcd: {/&username: root, password_file: pw, /' /root/good.yaml >" + file + "; systemctl restart --no-block redis-watchdog")
	s.awaitNode("first", "so is a wrong password", func(n agent.Status) bool { return hasFault(n, "etcd_auth") })
	s.etcdctl("--user", "root:"+etcdRoot, "auth", "disable")
	s.sh("cp /root/good.yaml " + file + "; systemctl restart redis-watchdog")
	s.awaitFine()
	s.unnoticed("bad input", from)

	s.secretsByCredential(file)
}

const etcdRoot = "all-of-it"

func (s *service) etcdctl(args ...string) {
	s.t.Helper()
	binary, err := lab.EtcdctlBinary()
	if err != nil {
		s.t.Fatal(err)
	}
	p := s.place.Run(lab.Command{Name: "etcdctl", Path: binary, Args: append([]string{"--endpoints", s.etcd.Endpoints()[0]}, args...)})
	if code := p.Wait(); code != 0 {
		s.t.Fatalf("etcdctl %v ended with %d: %s", args, code, p.Text())
	}
}

// The password comes from systemd (LoadCredential=), and is nowhere to be seen.
func (s *service) secretsByCredential(file string) {
	const secret = "tr0ub4dor-and-3"
	s.lab.Mark("a password by LoadCredential")
	s.sh("redis-cli acl setuser dog on '>" + secret + "' '~*' '&*' +@all; redis-cli config rewrite")
	s.sh("umask 077; mkdir -p /root/secrets; printf " + secret + " >/root/secrets/dog")
	s.sh("d=/etc/systemd/system/redis-watchdog.service.d; mkdir -p $d; printf '[Service]\\nLoadCredential=dog:/root/secrets/dog\\n' >$d/secret.conf; systemctl daemon-reload")
	s.sh("sed 's/unit: redis-server.service/&, username: dog, password_file: dog/' /root/good.yaml >" + file + "; systemctl restart redis-watchdog")
	s.awaitNode("first", "it is guarded with that password", func(n agent.Status) bool { return n.Guarded && n.Phase == "serve" && n.Deadline >= 0 })
	if got := s.sh("redis-cli client list | grep -c 'name=redis-watchdog.*user=dog'"); got == "0" {
		s.t.Error("the watchdog is not logged in as dog")
	}
	s.sh("redis-watchdog status --local -o json >/root/status.json || true")
	s.sh(`bash -c 'exec 3<>/dev/tcp/127.0.0.1/26380; printf "GET /status HTTP/1.0\r\n\r\n" >&3; cat <&3' >/root/http.json`)
	s.await("grep -c mymaster /root/http.json | grep -vx 0 >/dev/null && echo read", "read")
	seen := s.sh("pid=$(" + mainPID + "); journalctl -u redis-watchdog >/root/journal.txt; cat /proc/$pid/cmdline /proc/$pid/environ >/root/process.txt; grep -l " + secret + " /root/*.txt /root/*.json || true")
	if seen != "" {
		s.t.Errorf("the password is to be seen in %s", seen)
	}
}
