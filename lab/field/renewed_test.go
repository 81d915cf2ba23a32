package field

// Authentication is switched on in etcd, and certificates are renewed, while the
// group runs.

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// TestAuthenticationOfEtcdIsSwitchedOn: users are made as docs/install.md has it,
// and auth is enabled before any watchdog has one.
func TestAuthenticationOfEtcdIsSwitchedOn(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := start(t, watched.Options{Systemd: true, Cluster: lab.EtcdConfig{Args: []string{"--bcrypt-cost=4"}}})
	s := begin(t, w)
	s.pasteAll(w.Hosts[0], "root=$ETCDCTL_PASSWORD; unset ETCDCTL_PASSWORD\nexport ETCDCTL_ENDPOINTS="+strings.Join(w.Etcd.Endpoints(), ",")+"\n"+
		"etcdctl user add root:\"$root\"\netcdctl user grant-role root root\n"+
		strings.ReplaceAll(linesOf(t, "../../docs/install.md", "etcdctl", "redis-watchdog", "secret"), "etcdctl auth enable\n", "")+
		"etcdctl auth enable\n")
	s.everybodyIsTold("etcd_auth", "etcd.username")
	w.Pause(10 * time.Second) // for a grant to run out, many times over
	s.serves(11)
	s.done("every watchdog is given the user, and reloaded")
	for _, d := range w.Watchdogs {
		c := d.Config()
		c.Etcd["username"], c.Etcd["password_file"] = "redis-watchdog", file
		d.Write(c)
		d.Signal(syscall.SIGHUP)
	}
	s.calm()
	s.serves(9)
	s.unrefused() // its grant lapsed meanwhile: writers wait for the moment that claiming another takes
	s.failsOver()
}

// TestCertificatesAreRenewed: those of Redis, Sentinels and etcd by new ones of the
// same authority in the same files. Redis is told by CONFIG SET, etcd reads them by
// itself, Sentinels are started again; every connection is then begun anew.
func TestCertificatesAreRenewed(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	ca := l.CA()
	tls := map[string]any{"ca": ca.File}
	w := watched.StartIn(l, t, watched.Options{
		Systemd: true, Cluster: lab.EtcdConfig{TLS: ca},
		Group: lab.GroupConfig{Redis: lab.RedisConfig{TLS: ca}, Sentinel: lab.SentinelConfig{TLS: ca}},
		Config: func(c *watched.Config) {
			c.Etcd["tls"] = tls
			c.Groups[0]["sentinel_tls"] = tls
			c.Groups[0]["nodes"].([]map[string]any)[0]["tls"] = tls
		},
	})
	s := begin(t, w)
	for _, d := range w.Watchdogs {
		cert, key := ca.Server(d.Host.IP, d.Host.Name)
		s.done(d.Name + ": a new certificate, for Redis, the Sentinel and etcd of its host")
		d.Redis.Do("CONFIG", "SET", "tls-cert-file", cert, "tls-key-file", key)
	}
	for _, one := range w.Group.Sentinels {
		s.done(one.Name + " is started again")
		one.Term()
		one.Restart()
		w.Group.WaitStable()
	}
	s.done("every watchdog is restarted: it dials everybody anew")
	for _, d := range w.Watchdogs {
		d.Restart()
		w.WaitGuarded()
	}
	for _, m := range w.Etcd.Members {
		m.Term()
		m.Restart()
		w.Etcd.WaitHealthy()
	}
	s.done("the replicas are put out, and log in anew")
	s.master.Redis.Do("CLIENT", "KILL", "TYPE", "replica")
	w.Group.WaitReplicas()
	s.calm()
	s.unrefused()
	s.failsOver()
}
