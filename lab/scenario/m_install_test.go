package scenario

// What docs/install.md tells an operator to type, taken from there and from nowhere
// else: what these tests do not prove does not stand in it.

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// The secrets of a secured world, each for one thing: what is let in with
// another's is a finding.
const (
	redisSecret    = "redis-secret"
	sentinelSecret = "sentinel-secret"
	etcdSecret     = "etcd-secret"
	ownerSecret    = "owner-secret" // of Redis' and Sentinel's default user and etcd's root: not the watchdog's
)

var setUser = regexp.MustCompile("ACL SETUSER redis-watchdog [^`\n]+")

func installation(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// documentedUsers are the two ACL lines, as the words of a command.
func documentedUsers(t *testing.T) (redis, sentinel []any) {
	t.Helper()
	lines := setUser.FindAllString(installation(t), -1)
	if len(lines) != 2 {
		t.Fatalf("docs/install.md has %d ACL lines, want one for Redis and one for Sentinel: %q", len(lines), lines)
	}
	return commandOf(lines[0], redisSecret), commandOf(lines[1], sentinelSecret)
}

func commandOf(line, password string) (words []any) {
	for word := range strings.FieldsSeq(strings.Replace(line, ">PASSWORD", ">"+password, 1)) {
		words = append(words, word)
	}
	return words
}

// documentedEtcdctl are the lines that make the role, without "etcdctl".
func documentedEtcdctl(t *testing.T) (lines [][]string) {
	t.Helper()
	for line := range strings.Lines(installation(t)) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "etcdctl" {
			lines = append(lines, words[1:])
		}
	}
	if len(lines) != 4 {
		t.Fatalf("docs/install.md has %d lines of etcdctl, want the four that make a role and a user: %q", len(lines), lines)
	}
	return lines
}

// grantRights does what docs/install.md says, at every server of the world.
func grantRights(t *testing.T, w *watched.World, ca *lab.CA) {
	t.Helper()
	redis, sentinel := documentedUsers(t)
	for _, r := range w.Group.Redis {
		r.Do(redis...)
		r.Do("CONFIG", "REWRITE")
	}
	for _, s := range w.Group.Sentinels {
		s.Do(sentinel...)
		s.Do("SENTINEL", "FLUSHCONFIG")
	}
	etcdctl, err := lab.EtcdctlBinary()
	if err != nil {
		t.Fatal(err)
	}
	cert, key := ca.Client("root")
	for _, line := range documentedEtcdctl(t) {
		args := append([]string{
			"--endpoints=" + w.Etcd.Endpoints()[0], "--cacert=" + ca.File, "--cert=" + cert, "--key=" + key, "--user=root:" + ownerSecret,
			"--dial-timeout=20s", "--command-timeout=20s",
		}, line...)
		if line[0] == "user" && line[1] == "add" {
			args = append(args, "--new-user-password="+etcdSecret) // instead of the prompt
		}
		p := w.Hosts[0].Run(lab.Command{Name: "etcdctl", Path: etcdctl, Args: args})
		if code := p.Wait(); code != 0 {
			t.Fatalf("etcdctl %s: exit code %d: %s", strings.Join(line, " "), code, p.Text())
		}
	}
}

// secrets is a directory of password files.
func secrets(t *testing.T) (file func(secret string) string) {
	t.Helper()
	dir := t.TempDir()
	return func(secret string) string {
		t.Helper()
		path := filepath.Join(dir, secret)
		if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
}

// secured is a world in which everything wants a password, a user of least
// rights, and TLS with our certificate, and everything has them.
func secured(t *testing.T, o watched.Options) (*watched.World, *lab.CA) {
	t.Helper()
	l := lab.New(t)
	ca := l.CA()
	o.Group.Redis.TLS, o.Group.Redis.Password = ca, ownerSecret
	o.Group.Sentinel.TLS, o.Group.Sentinel.Password = ca, ownerSecret
	o.Cluster = lab.EtcdConfig{TLS: ca, ClientCerts: true, RootPassword: ownerSecret,
		Args: []string{"--bcrypt-cost=4"}} // the default takes a busy machine seconds
	file := secrets(t)
	cert, key := ca.Client("redis-watchdog")
	tls := func() map[string]any { return map[string]any{"ca": ca.File, "cert": cert, "key": key} }
	o.Config = func(c *watched.Config) {
		c.Etcd["username"], c.Etcd["password_file"], c.Etcd["tls"] = "redis-watchdog", file(etcdSecret), tls()
		g := c.Groups[0]
		g["sentinel_username"], g["sentinel_password_file"], g["sentinel_tls"] = "redis-watchdog", file(sentinelSecret), tls()
		n := g["nodes"].([]map[string]any)[0]
		n["username"], n["password_file"], n["tls"] = "redis-watchdog", file(redisSecret), tls()
	}
	o.Paused, o.Systemd = true, true
	w := watched.StartIn(l, t, o)
	grantRights(t, w, ca)
	for _, d := range w.Watchdogs {
		d.Restart()
	}
	w.WaitGuarded()
	return w, ca
}
