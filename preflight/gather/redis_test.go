package gather_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
)

func read(t *testing.T, c gather.RedisConfig) (*preflight.Redis, []preflight.Gap) {
	t.Helper()
	if c.ReadBy == "" {
		c.ReadBy = preflight.ReadLive
	}
	if c.Timeout == 0 {
		c.Timeout = 20 * time.Second // no test of the deadline: the machine may be busy
	}
	return gather.Redis(t.Context(), c)
}

func without(t *testing.T, gaps []preflight.Gap) {
	t.Helper()
	if len(gaps) > 0 {
		t.Fatalf("gaps: %+v", gaps)
	}
}

func gapNames(gaps []preflight.Gap) (names []string) {
	for _, g := range gaps {
		names = append(names, g.What)
	}
	slices.Sort(names)
	return names
}

// secretsIn finds secrets in anything that would be published.
func secretsIn(t *testing.T, facts any, secrets ...string) {
	t.Helper()
	b, err := json.Marshal(facts)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range secrets {
		if strings.Contains(string(b), secret) {
			t.Errorf("the secret %q became a fact", secret)
		}
	}
}

// hash is how Redis keeps a password.
func hash(password string) string {
	sum := sha256.Sum256([]byte(password))
	return hex.EncodeToString(sum[:])
}

func TestRedisTellsEverythingButSecrets(t *testing.T) {
	l := lab.Loopback(t)
	h := l.Host("a")
	master := h.Redis(lab.RedisConfig{Password: "hunter2", Lines: []string{"slowlog-log-slower-than 0", "tls-key-file-pass keysecret", "maxmemory 64mb"}})
	replica := h.Redis(lab.RedisConfig{Password: "hunter2", ReplicaOf: master})
	master.Do("ACL", "SETUSER", "app", "on", ">passone", ">passtwo", "~app:*", "+@read", "-keys")
	replica.Do("ACL", "SETUSER", "app", "on", ">passtwo", ">passone", "~app:*", "+@read", "-keys")
	master.Do("SET", "private", "argument")
	l.Eventually("the replica is in step", 10*time.Second, func() error {
		// The replica says so first, the master once it has acknowledged.
		if at := master.Info()["slave0"]; !replica.Role().Synced() || !strings.Contains(at, "state=online") {
			return fmt.Errorf("%+v, %q", replica.Role(), at)
		}
		return nil
	})

	a, gaps := read(t, gather.RedisConfig{Server: gather.Server{Address: master.Address, Password: "hunter2"}, Key: "k", Clients: true})
	without(t, gaps)
	b, gaps := read(t, gather.RedisConfig{Server: gather.Server{Socket: replica.Socket, Password: "hunter2"}, Key: "k", ReadBy: preflight.ReadWatchdog})
	without(t, gaps)

	if a.ReadBy != preflight.ReadLive || b.ReadBy != preflight.ReadWatchdog {
		t.Errorf("read by %q and %q", a.ReadBy, b.ReadBy)
	}
	if a.Info["role"] != "master" || a.Info["redis_version"] == "" || a.Info["maxmemory"] != "67108864" || a.Info["db0"] == "" {
		t.Errorf("INFO: %v", a.Info)
	}
	for key := range a.Info {
		if strings.HasPrefix(key, "cmdstat_") {
			t.Errorf("INFO has %s", key)
		}
	}
	if len(a.Config) < 150 || a.Config["maxmemory"] != "67108864" {
		t.Errorf("CONFIG: %d parameters, %q", len(a.Config), a.Config["maxmemory"])
	}
	for name, want := range map[string]string{"requirepass": preflight.Masked, "masterauth": preflight.Masked, "tls-key-file-pass": preflight.Masked, "tls-client-key-file-pass": ""} {
		if got, there := a.Config[name]; got != want || !there {
			t.Errorf("%s: got %q, %v, want %q", name, got, there, want)
		}
	}
	secretsIn(t, []any{a, b}, "hunter2", "keysecret", "argument", "private", "passone", "passtwo", hash("passone"), hash("passtwo"))

	userA, userB := userOf(t, a, "app"), userOf(t, b, "app")
	if userA != userB || userA.Passwords == "" || !strings.Contains(userA.Rules, "#2 ") || !strings.Contains(userA.Rules, "~app:*") {
		t.Errorf("the same user on both: got %+v and %+v", userA, userB)
	}
	other, _ := read(t, gather.RedisConfig{Server: gather.Server{Address: master.Address, Password: "hunter2"}, Key: "another"})
	if userOf(t, other, "app").Passwords == userA.Passwords {
		t.Error("the digest does not depend on the key")
	}
	replica.Do("ACL", "SETUSER", "app", "<passtwo", ">passthree")
	b, _ = read(t, gather.RedisConfig{Server: gather.Server{Socket: replica.Socket, Password: "hunter2"}, Key: "k"})
	if userOf(t, b, "app").Passwords == userA.Passwords {
		t.Error("another password has the same digest")
	}

	slow := slices.IndexFunc(a.Slow, func(s preflight.Slow) bool { return s.Command == "set" })
	if slow < 0 || a.Slow[slow].AgeSeconds > 30 {
		t.Errorf("slow log: %+v", a.Slow)
	}
	if len(a.Replicas) != 1 || a.Replicas[0].Address != replica.Address || a.Replicas[0].State != "online" || a.Replicas[0].Offset < 0 {
		t.Errorf("replicas: %+v", a.Replicas)
	}
	if a.Modules == nil || a.SentinelLacks == nil || len(a.SentinelLacks) != 0 {
		t.Errorf("modules %v, sentinels %v, want none and none", a.Modules, a.SentinelLacks)
	}
}

func userOf(t *testing.T, r *preflight.Redis, name string) preflight.User {
	t.Helper()
	for _, u := range r.Users {
		if u.Name == name {
			return u
		}
	}
	t.Fatalf("no user %q among %+v", name, r.Users)
	return preflight.User{}
}

// The least rights are enough; each one less is one Gap and nothing more.
func TestRedisLackingRightsLeaveGaps(t *testing.T) {
	h := lab.Loopback(t).Host("a")
	const fence = "resetchannels ~redis-watchdog:* -@all +ping +info +config|get +client|list"
	r := h.Redis(lab.RedisConfig{Users: []string{
		"user full on >pw " + fence + " " + gather.ReadRights,
		"user fence on >pw " + fence,
		"user ping on >pw -@all +ping",
	}})
	as := func(user string) ([]string, *preflight.Redis) {
		facts, gaps := read(t, gather.RedisConfig{Server: gather.Server{Address: r.Address, Username: user, Password: "pw"}, Clients: true})
		for _, g := range gaps {
			if !strings.Contains(g.Why, "NOPERM") {
				t.Errorf("%s: %s: %q does not say why", user, g.What, g.Why)
			}
		}
		return gapNames(gaps), facts
	}
	if gaps, facts := as("full"); len(gaps) > 0 || facts == nil || facts.Users == nil || facts.SentinelLacks == nil {
		t.Errorf("with all rights: gaps %v, facts %+v", gaps, facts)
	}
	if gaps, facts := as("fence"); !slices.Equal(gaps, []string{"acl", "slowlog"}) || facts == nil || facts.Users != nil || len(facts.Config) < 150 {
		t.Errorf("with the fence's rights: gaps %v", gaps)
	}
	if gaps, facts := as("ping"); !slices.Equal(gaps, []string{"redis"}) || facts != nil {
		t.Errorf("with no rights: gaps %v, facts %+v", gaps, facts)
	}
	_, gaps := read(t, gather.RedisConfig{Server: gather.Server{Address: r.Address, Username: "full", Password: "wrong"}})
	if len(gaps) != 1 || gaps[0].What != "redis" || !strings.Contains(gaps[0].Why, "WRONGPASS") {
		t.Errorf("with a wrong password: %+v", gaps)
	}
}

func TestRedisWithRenamedCommands(t *testing.T) {
	h := lab.Loopback(t).Host("a")
	r := h.Redis(lab.RedisConfig{Password: "pw", Rename: map[string]string{"CONFIG": "secret-config", "SLOWLOG": ""}})
	server := gather.Server{Address: r.Address, Password: "pw"}
	facts, gaps := read(t, gather.RedisConfig{Server: server})
	if got := gapNames(gaps); !slices.Equal(got, []string{"config", "slowlog"}) || facts == nil || facts.Info["role"] != "master" {
		t.Errorf("not told of the names: gaps %+v", gaps)
	}
	server.Commands = map[string]string{"config": "secret-config", "slowlog": ""}
	facts, gaps = read(t, gather.RedisConfig{Server: server})
	if len(gaps) != 1 || gaps[0].What != "slowlog" || !strings.Contains(gaps[0].Why, "taken away") || len(facts.Config) < 150 {
		t.Errorf("told of them: gaps %+v", gaps)
	}
}

func TestRedisOverTLS(t *testing.T) {
	l := lab.Loopback(t)
	ca := l.CA()
	r := l.Host("a").Redis(lab.RedisConfig{TLS: ca, Password: "pw"})
	server := gather.Server{Address: r.Address, Password: "pw", TLS: ca.ClientConfig()}
	facts, gaps := read(t, gather.RedisConfig{Server: server})
	if len(gaps) > 0 || facts == nil {
		t.Errorf("gaps %+v", gaps)
	}
	server.TLS = nil
	if facts, gaps = read(t, gather.RedisConfig{Server: server}); facts != nil || len(gaps) != 1 || gaps[0].What != "redis" {
		t.Errorf("in plain text: %+v", gaps)
	}
}

// A Redis that hangs, loads, is gone or is none costs its deadline at most.
func TestRedisThatCannotTell(t *testing.T) {
	l := lab.Loopback(t)
	h := l.Host("a")
	hung := h.Redis(lab.RedisConfig{Name: "hung"})
	hung.Stop()
	defer hung.Cont()
	gone := h.Redis(lab.RedisConfig{Name: "gone"})
	gone.Kill()
	for name, address := range map[string]string{"hung": hung.Address, "gone": gone.Address} {
		facts, gaps := read(t, gather.RedisConfig{Server: gather.Server{Address: address, Timeout: 200 * time.Millisecond}})
		if facts != nil || len(gaps) != 1 || gaps[0].What != "redis" || gaps[0].Why == "" {
			t.Errorf("%s: %+v, %+v", name, facts, gaps)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, gaps := gather.Redis(ctx, gather.RedisConfig{Server: gather.Server{Address: hung.Address, Timeout: time.Hour}}); len(gaps) != 1 {
		t.Errorf("after an end: %+v", gaps)
	}
}

func TestRedisThatLoadsTellsThatItDoes(t *testing.T) {
	l := lab.Loopback(t)
	r := l.Host("a").Redis(lab.RedisConfig{Lines: []string{"enable-debug-command yes"}})
	r.Do("DEBUG", "POPULATE", "20000", "k", "100")
	r.Do("SAVE")
	r.Kill()
	config, err := os.ReadFile(r.ConfigFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.ConfigFile, append(config, "key-load-delay 1000\nloading-process-events-interval-bytes 1024\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	r.Process.Restart()
	l.Eventually("it loads and tells", 10*time.Second, func() error {
		facts, gaps := read(t, gather.RedisConfig{Server: gather.Server{Address: r.Address}})
		if facts == nil || facts.Info["loading"] != "1" || len(facts.Config) < 150 {
			return fmt.Errorf("gaps %+v", gaps)
		}
		return nil
	})
}
