package lab_test

import (
	"context"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/lab"
)

func TestGroupWithTLSAndPasswords(t *testing.T) {
	t.Parallel()
	l := lab.Loopback(t)
	group := l.Group(lab.GroupConfig{
		Redis:    lab.RedisConfig{TLS: l.CA(), Password: "redis-secret"},
		Sentinel: lab.SentinelConfig{Password: "sentinel-secret"},
	})
	writer := l.Host("a").Writer(lab.LoadConfig{To: group.Redis[0]})
	writer.WaitOK(0, 10*time.Second)
	if lost := lab.Lost(writer.Stop(), group.Redis[0]); len(lost) > 0 {
		t.Errorf("%d writes are not there", len(lost))
	}
	stranger := l.Host("a").Writer(lab.LoadConfig{Name: "stranger", Address: group.Redis[0].Address})
	l.Eventually("a client without TLS is turned away", 10*time.Second, func() error {
		trace := stranger.Trace()
		if len(trace.Failed()) == 0 || len(trace.OK()) > 0 {
			return errAnswers(trace)
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(l.Context(), 5*time.Second)
	defer cancel()
	if err := group.Redis[1].ClientFrom(l.Host("a")).Ping(ctx).Err(); err != nil {
		t.Errorf("go-redis over TLS: %v", err)
	}
	if err := group.Sentinels[1].ClientFrom(l.Host("a")).Ping(ctx).Err(); err != nil {
		t.Errorf("go-redis to a Sentinel over TLS: %v", err)
	}
}

func TestGroupWithUsersAndNames(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	a, b, c := l.Host("a"), l.Host("b"), l.Host("c")
	users := []string{
		"user default off",
		"user app on >app-secret ~* &* +@all -@admin -@dangerous",
		"user replication on >repl-secret +psync +replconf +ping",
		"user sentinel on >sentinel-secret ~* &* allchannels +multi +slaveof +ping +exec +subscribe +config|rewrite +role +publish +info +client|setname +client|kill +script|kill",
	}
	config := lab.RedisConfig{Users: users, ReplUser: "replication", ReplPass: "repl-secret", Rename: map[string]string{"FLUSHALL": ""}}
	config.Announce = "a"
	master := a.Redis(config)
	config.ReplicaOf, config.Announce = master, "b"
	inStep(l, b.Redis(config))
	var sentinels []*lab.Sentinel
	for _, h := range []*lab.Host{a, b, c} {
		sentinels = append(sentinels, h.Sentinel(lab.SentinelConfig{
			ResolveHostnames: true, AnnounceHostnames: true,
			Monitors: []lab.Monitor{{Group: "named", MasterAddress: "a:6379", User: "sentinel", Password: "sentinel-secret"}},
		}))
	}
	l.WaitStable("named", 1, sentinels...)
	if got := sentinels[0].State("named")["ip"]; got != "a" {
		t.Errorf("the master's name: got %q", got)
	}
	if got := sentinels[0].Master("named"); got != master.Address {
		t.Errorf("the master's address: got %q", got)
	}
	writer := c.Writer(lab.LoadConfig{Sentinels: sentinels, Group: "named", User: "app", Password: "app-secret"})
	writer.WaitOK(0, 10*time.Second)
	if lost := lab.Lost(writer.Stop(), master); len(lost) > 0 {
		t.Errorf("%d writes are not there", len(lost))
	}
	if _, err := master.Try("FLUSHALL"); err == nil {
		t.Error("a renamed command is still there")
	}
}

func TestEtcdWithTLSAndUsers(t *testing.T) {
	t.Parallel()
	l := lab.Loopback(t)
	e := l.Etcd(lab.EtcdConfig{TLS: l.CA(), RootPassword: "root-secret"})
	if err := put(e.Client(nil), "1"); err != nil {
		t.Errorf("root: %v", err)
	}
	for name, change := range map[string]func(*clientv3.Config){
		"without a user":      func(c *clientv3.Config) { c.Username, c.Password = "", "" },
		"of another CA":       func(c *clientv3.Config) { c.TLS = l.CA().ClientConfig() },
		"with a wrong secret": func(c *clientv3.Config) { c.Password = "wrong" },
	} {
		c := e.ClientConfig(nil)
		c.DialTimeout = time.Second
		change(&c)
		client, err := clientv3.New(c)
		if err == nil {
			err = put(client, "2")
			client.Close()
		}
		if err == nil {
			t.Errorf("a client %s was let in", name)
		}
	}
}

func TestFrozenHostAnswersNothingAndIsThawed(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	a, b := l.Host("a"), l.Host("b")
	r := a.Redis(lab.RedisConfig{})
	local := a.Writer(lab.LoadConfig{Name: "local", To: r})
	remote := b.Writer(lab.LoadConfig{Name: "remote", To: r, Timeout: 30 * time.Second})
	local.WaitOK(0, 10*time.Second)
	remote.WaitOK(0, 10*time.Second)

	a.Freeze()
	frozen := lab.Now()
	l.Pause(500 * time.Millisecond)
	thawed := lab.Now()
	a.Thaw()
	remote.WaitOK(thawed, 20*time.Second)
	local.WaitOK(thawed, 20*time.Second)

	sent := local.Stop().Sent(frozen, thawed)
	if len(sent) > 0 {
		t.Errorf("clients on a frozen host sent %s", sent)
	}
	trace := remote.Stop()
	if answered := trace.AckedAfter(frozen).Received(frozen, thawed).Sent(frozen, thawed); len(answered) > 0 {
		t.Errorf("a frozen host answered %s", answered)
	}
	// What was queued is answered on waking, late.
	if late := trace.Sent(0, thawed).AckedAfter(thawed); len(late) == 0 {
		t.Errorf("no queued write was answered: %s", trace)
	}
}

func TestProgramEndsWithItsLab(t *testing.T) {
	t.Parallel()
	var out quiet
	var r *lab.Redis
	code := lab.NewProgram("demo", &out).Run(func(p *lab.Program) {
		r = lab.Loopback(p).Host("a").Redis(lab.RedisConfig{})
		r.Restart()
		r.Term()
	})
	if code != 0 || r.Running() {
		t.Errorf("exit code %d, still running: %t", code, r.Running())
	}
	code = lab.NewProgram("demo", &out).Run(func(p *lab.Program) { p.Fatalf("on purpose") })
	if code != 1 {
		t.Errorf("exit code after Fatalf: got %d, want 1", code)
	}
}

// quiet swallows what a Program prints.
type quiet struct{}

func (quiet) Write(p []byte) (int, error) { return len(p), nil }
