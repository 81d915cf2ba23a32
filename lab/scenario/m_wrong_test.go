package scenario

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// mistake is one wrong value in a configuration that is right otherwise.
type mistake struct {
	name  string
	make  func(c *watched.Config)
	fault string   // the id of the error that voids the guarding
	says  []string // what status and log must name: the server, and what was refused at which step
}

// TestWrongCredentialIsNamed is case m, a wrong one of each: a watchdog that is
// restarted with it is not ready, not guarded, and says at whom and at which
// step it failed; the clients of the group notice nothing. Each restart makes
// one mistake at Redis, one at the Sentinels and one at etcd: none may hide
// another.
func TestWrongCredentialIsNamed(t *testing.T) {
	t.Parallel()
	w, ca := secured(t, watched.Options{Hosts: 2})
	d := w.Watchdogs[1] // beside the replica
	writer := w.Hosts[0].Writer(lab.LoadConfig{To: w.Group.Master()})
	reader := d.Host.Reader(lab.LoadConfig{To: d.Redis})
	redis, sentinel, etcd := mistakes(t, w, d, ca)
	for i := range max(len(redis), len(sentinel), len(etcd)) {
		var made []mistake
		c := d.Config()
		for _, some := range [][]mistake{redis, sentinel, etcd} {
			if i < len(some) {
				some[i].make(&c)
				made = append(made, some[i])
			}
		}
		mustSay(t, d, c, made)
	}
	d.Term()
	d.Write(d.Config())
	d.Restart()
	w.WaitGuarded()
	noFaults(t, w)
	for _, trace := range []lab.Trace{writer.Stop(), reader.Stop()} {
		if failed := trace.Failed(); len(failed) > 0 {
			t.Errorf("%d clients' commands failed, the first %s %s", len(failed), failed[0].Kind, failed[0].Text)
		}
	}
}

// mustSay restarts d with mistakes and waits until it says so everywhere.
func mustSay(t *testing.T, d *watched.Watchdog, c watched.Config, made []mistake) {
	t.Helper()
	d.Term()
	d.Write(c)
	logged := len(d.Text())
	d.Restart()
	for _, m := range made {
		s := d.WaitFor("has fault "+m.fault+" ("+m.name+")", func(s agent.Status) bool {
			voids, said := false, false
			for _, f := range s.Faults {
				voids = voids || f.ID == m.fault && f.Severity == agent.SeverityError && f.Remedy != ""
				said = said || contains(f.Text, m.says)
			}
			return voids && said
		})
		if s.Guarded {
			t.Errorf("%s: guarded all the same", m.name)
		}
		if metric := fmt.Sprintf("id=%q", m.fault); !strings.Contains(d.Metrics(), metric) {
			t.Errorf("%s: no metric of a fault with %s", m.name, metric)
		}
		d.WaitLogged(m.name, logged, func(line string) bool {
			return contains(line, m.says) && (strings.Contains(line, "[ERROR]") || strings.Contains(line, "[WARN]"))
		})
	}
	if ready, line := d.Systemd.Said(); ready || !strings.Contains(line, "not guarded") {
		t.Errorf("%s: READY said: %t; status line: %s", made[0].name, ready, line)
	}
	if code := d.Get("/readyz"); code != 503 {
		t.Errorf("%s: /readyz answers %d", made[0].name, code)
	}
}

func contains(text string, parts []string) bool {
	return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(text, p) })
}

func mistakes(t *testing.T, w *watched.World, d *watched.Watchdog, ca *lab.CA) (atRedis, atSentinel, atEtcd []mistake) {
	t.Helper()
	file, other := secrets(t), w.CA()
	strangeCert, strangeKey := other.Client("redis-watchdog")
	redis, sentinel, etcd := d.Redis.Address, w.Group.Sentinels[0].Address, w.Etcd.Endpoints()[0]

	node := func(change func(map[string]any)) func(*watched.Config) {
		return func(c *watched.Config) { change(c.Groups[0]["nodes"].([]map[string]any)[0]) }
	}
	group := func(change func(map[string]any)) func(*watched.Config) {
		return func(c *watched.Config) { change(c.Groups[0]) }
	}
	coordinator := func(change func(map[string]any)) func(*watched.Config) {
		return func(c *watched.Config) { change(c.Etcd) }
	}
	set := func(key string, value any) func(map[string]any) {
		return func(m map[string]any) { m[key] = value }
	}
	unset := func(keys ...string) func(map[string]any) {
		return func(m map[string]any) {
			for _, k := range keys {
				delete(m, k)
			}
		}
	}
	wrongCA := map[string]any{"ca": other.File}
	wrongCert := map[string]any{"ca": ca.File, "cert": strangeCert, "key": strangeKey}
	wrongName := map[string]any{"ca": ca.File, "server_name": "elsewhere.example"}
	wrong, nobody := file("wrong-secret"), "nobody"
	return []mistake{
			{"Redis, wrong password", node(set("password_file", wrong)), "redis_auth", []string{redis, "WRONGPASS"}},
			{"Redis, unknown user", node(set("username", nobody)), "redis_auth", []string{redis, "WRONGPASS"}},
			{"Redis, no password", node(unset("username", "password_file")), "redis_auth", []string{redis, "NOAUTH"}},
			{"Redis, wrong authority", node(set("tls", wrongCA)), "redis_tls", []string{redis, "tls handshake", "unknown authority"}},
			{"Redis, wrong certificate", node(set("tls", wrongCert)), "redis_tls", []string{redis, "remote error: tls"}},
			{"Redis, wrong name", node(set("tls", wrongName)), "redis_tls", []string{redis, "tls handshake", "elsewhere.example"}},
			{"Redis, no TLS", node(unset("tls")), "redis_unreachable", []string{"no connection to Redis", redis}},
		}, []mistake{
			{"Sentinel, wrong password", group(set("sentinel_password_file", wrong)), "sentinel_auth", []string{sentinel, "WRONGPASS"}},
			{"Sentinel, unknown user", group(set("sentinel_username", nobody)), "sentinel_auth", []string{sentinel, "WRONGPASS"}},
			{"Sentinel, no password", group(unset("sentinel_username", "sentinel_password_file")), "sentinel_auth", []string{sentinel, "NOAUTH"}},
			{"Sentinel, wrong authority", group(set("sentinel_tls", wrongCA)), "sentinel_tls", []string{sentinel, "tls handshake", "unknown authority"}},
			{"Sentinel, wrong certificate", group(set("sentinel_tls", wrongCert)), "sentinel_tls", []string{sentinel, "remote error: tls"}},
			{"Sentinel, wrong name", group(set("sentinel_tls", wrongName)), "sentinel_tls", []string{sentinel, "tls handshake", "elsewhere.example"}},
			{"Sentinel, no TLS", group(unset("sentinel_tls")), "sentinel_minority", []string{"no answer from sentinel", sentinel}},
		}, []mistake{
			{"etcd, wrong password", coordinator(set("password_file", wrong)), "etcd_auth", []string{etcd, "authenticate", "redis-watchdog"}},
			{"etcd, unknown user", coordinator(set("username", nobody)), "etcd_auth", []string{etcd, "authenticate", nobody}},
			{"etcd, no right to the prefix", coordinator(set("prefix", "/elsewhere/v1/")), "etcd_auth", []string{etcd, "permission denied"}},
			{"etcd, wrong authority", coordinator(set("tls", wrongCA)), "etcd_tls", []string{etcd, "TLS handshake", "unknown authority"}},
			{"etcd, wrong certificate", coordinator(set("tls", wrongCert)), "etcd_tls", []string{etcd, "remote error: tls"}},
			{"etcd, no certificate", coordinator(set("tls", map[string]any{"ca": ca.File})), "etcd_tls", []string{etcd, "remote error: tls"}},
		}
}

// TestEachMissingRightIsNoticed takes one right after the other away from the
// users of docs/install.md: each is either missed by the watchdog at once, or was not
// needed, and then has no place in docs/install.md.
func TestEachMissingRightIsNoticed(t *testing.T) {
	t.Parallel()
	w, ca := secured(t, watched.Options{Hosts: 2})
	d := w.Watchdogs[1]
	redis, sentinel := documentedUsers(t)
	for _, right := range rightsOf(redis) {
		if right == "+client|id" || right == "+client|setname" {
			continue // for a Redis that has no HELLO; package gate's tests show it
		}
		missed(t, w, d, d.Redis.Do, right, "rights_", "")
	}
	for _, right := range rightsOf(sentinel) {
		switch s := w.Group.Sentinels[0]; right {
		case "+ping": // asked on a subscription that was quiet for long
		case "+client|setname": // its loss takes nothing but a name in CLIENT LIST
			without(w, s.Do, right, func() error { return triedInVain(s.Try, right) })
		case "+sentinel|ckquorum": // asked by preflight only
			without(w, s.Do, right, func() error {
				asked := gather.Sentinels(w.Context(), gather.SentinelConfig{
					Group: w.Group.Name, Addresses: []string{s.Address}, Username: "redis-watchdog", Password: sentinelSecret,
					TLS: ca.ClientConfig(), Timeout: 2 * time.Second, Dial: w.Hosts[0].Dial,
				})
				if got := asked[0]; got.Address != s.Address || !strings.Contains(got.CKQuorum, "NOPERM") {
					return fmt.Errorf("%s: CKQUORUM %q, error %q", got.Address, got.CKQuorum, got.Error)
				}
				return nil
			})
		case "+subscribe":
			missed(t, w, d, s.Do, right, "sentinel_deaf", s.Address)
		default:
			missed(t, w, d, s.Do, right, "sentinel_auth", s.Address)
		}
	}
	w.WaitGuarded()
	// A CONFIG REWRITE of the watchdog's own may have written down the user
	// without one of its rights: that is drift, and said to be.
	d.Redis.Do("CONFIG", "REWRITE")
	w.Eventually("no fault is left", 20*time.Second, reported(w, func() error {
		for _, d := range w.Watchdogs {
			if f := d.Status().Faults; len(f) > 0 {
				return fmt.Errorf("%s: %+v", d.Name, f)
			}
		}
		return nil
	}))
}

// rightsOf are the commands among the words of an ACL line.
func rightsOf(line []any) (rights []string) {
	for _, word := range line {
		if right := word.(string); strings.HasPrefix(right, "+") {
			rights = append(rights, right)
		}
	}
	return rights
}

// missed takes a right away, waits for the fault, and gives it back.
func missed(t *testing.T, w *watched.World, d *watched.Watchdog, do func(...any) any, right, fault, at string) {
	t.Helper()
	has := func() string {
		for _, f := range d.Status().Faults {
			if strings.HasPrefix(f.ID, fault) && strings.Contains(f.Text, at) {
				return f.ID
			}
		}
		return ""
	}
	without(w, do, right, reported(w, func() error {
		if has() == "" {
			return fmt.Errorf("faults %+v", d.Status().Faults)
		}
		return nil
	}))
	w.Eventually("all is well again with "+right, 20*time.Second, reported(w, func() error {
		if f := has(); f != "" {
			return fmt.Errorf("fault %s is there", f)
		}
		return nil
	}))
}

// reported asks for node reports meanwhile, as a preflight does: by themselves they
// come once a minute.
func reported(w *watched.World, done func() error) func() error {
	var asked watchdog.Instant
	return func() error {
		err := done()
		if now := lab.Now(); err != nil && now.Sub(asked) > 2*time.Second {
			asked = now
			ctx, cancel := context.WithTimeout(w.Context(), time.Second)
			defer cancel()
			if ask := w.Store(w.Hosts[0]).Ask(ctx, w.Group.Name, rand.Text()); ask != nil {
				return ask
			}
		}
		return err
	}
}

// without runs with a right taken away until it is noticed.
func without(w *watched.World, do func(...any) any, right string, noticed func() error) {
	do("ACL", "SETUSER", "redis-watchdog", "-"+right[1:])
	do("CLIENT", "KILL", "USER", "redis-watchdog") // all else would have to wait for its next look
	w.Eventually("that "+right+" is missing is noticed", 20*time.Second, noticed)
	do("ACL", "SETUSER", "redis-watchdog", right)
	do("CLIENT", "KILL", "USER", "redis-watchdog")
}

func triedInVain(ask func(...any) (any, error), right string) error {
	log, err := ask("ACL", "LOG")
	if err == nil && !strings.Contains(fmt.Sprint(log), "object "+right[1:]+" username redis-watchdog") {
		err = fmt.Errorf("ACL LOG: %v", log)
	}
	return err
}

// TestExampleOfInstallIsAccepted has check-config read the YAML of docs/install.md, as
// it stands and with its comments taken off.
func TestExampleOfInstallIsAccepted(t *testing.T) {
	t.Parallel()
	l := lab.Loopback(t)
	binary, err := watched.Binary()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(installation(t), "       etcd:\n")
	example, _, ended := strings.Cut("       etcd:\n"+rest, "\n\n")
	if !found || !ended {
		t.Fatal("docs/install.md has no example of a configuration")
	}
	example = strings.ReplaceAll("\n"+example+"\n", "\n       ", "\n")
	password := secrets(t)
	for _, tt := range []struct{ name, yaml string }{
		{"plain", example},
		{"with users", strings.NewReplacer("#username", "username", "#password_file", "password_file",
			"/etc/redis-watchdog/etcd-password", password(etcdSecret),
			"/etc/redis-watchdog/redis-password", password(redisSecret)).Replace(example)},
	} {
		path := password("config") // any name will do
		if err := os.WriteFile(path, []byte(tt.yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		p := l.Host("a").Run(lab.Command{Name: "check-config", Path: binary, Args: []string{"check-config", "--config", path}})
		if code := p.Wait(); code != 0 {
			t.Errorf("%s: exit code %d: %s", tt.name, code, p.Text())
		}
	}
}
