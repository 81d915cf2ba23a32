package goredis

// What is sent before the first command, and what is made of the answer.

import (
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/watchdog/redisclient"
)

func TestWhatIsSentOnAConnection(t *testing.T) { whatIsSent(t, lab.Loopback(t), "") }

func whatIsSent(t *testing.T, l *lab.Lab, binary string) {
	h := l.Host("a")
	r := h.Redis(lab.RedisConfig{Binary: binary, Password: "pw"})
	open := h.Redis(lab.RedisConfig{Binary: binary, Name: "open"})
	renamed := h.Redis(lab.RedisConfig{Binary: binary, Name: "renamed", Password: "pw", Rename: map[string]string{"HELLO": "", "AUTH": "let-me-in"}, Paused: true})
	renamed.Process.Restart()
	inside := redisclient.Server{Address: renamed.Address, Password: "pw", Commands: map[string]string{"hello": "", "auth": "let-me-in"}}
	l.Eventually("the lab's own AUTH is unknown, ours is not", long, func() error {
		_, err := redisclient.Ask(within(t, long), inside, []string{"PING"})
		return err
	})

	var w wires
	if err := asItComes(t, &redis.Options{Addr: r.Address, Password: "pw", Dialer: w.dial}).Ping(within(t, long)).Err(); err != nil {
		t.Fatal(err)
	}
	sent := w.commands()
	for i, want := range []string{"hello 3 auth default pw", "client maint_notifications", "client setinfo lib-name", "client setinfo lib-ver", "ping"} {
		if i >= len(sent) || !strings.HasPrefix(sent[i], want) {
			t.Errorf("as it comes: sent %q, want %q as number %d", sent, want, i)
		}
	}
	for name, c := range map[string]struct {
		server redisclient.Server
		want   []string
	}{
		"a password": {redisclient.Server{Address: r.Address, Password: "pw"}, []string{"hello 2 auth default pw", "ping"}},
		"none":       {redisclient.Server{Address: open.Address}, []string{"hello 2", "ping"}},
		// By HELLO it does not matter that none is asked for; by AUTH it is an error.
		"one too many": {redisclient.Server{Address: open.Address, Password: "pw"}, []string{"hello 2 auth default pw", "ping"}},
		"renamed":      {inside, []string{"hello 2", "let-me-in pw", "ping"}},
	} {
		c.server.Dial = w.dial
		answers, err := redisclient.Ask(within(t, long), c.server, []string{"PING"})
		if sent := w.commands(); err != nil || answers[0].Text() != "PONG" || !slices.Equal(sent, c.want) {
			t.Errorf("%s: %v, %v; sent %q, want %q", name, answers, err, sent, c.want)
		}
	}
}

// The library takes every error that HELLO answers for a server that does not
// know HELLO.
func TestAWrongPasswordIsSentOnce(t *testing.T) { wrongPassword(t, lab.Loopback(t), "") }

func wrongPassword(t *testing.T, l *lab.Lab, binary string) {
	r := l.Host("a").Redis(lab.RedisConfig{Binary: binary, Password: "pw"})
	var w wires
	logins := func() (n int) {
		for _, command := range w.commands() {
			if strings.Contains(command, "wrong") {
				n++
			}
		}
		return n
	}
	err := asItComes(t, &redis.Options{Addr: r.Address, Password: "wrong", Dialer: w.dial, MaxRetries: -1, DialerRetries: 1}).Ping(within(t, long)).Err()
	if n := logins(); err == nil || n != 2 {
		t.Errorf("as it comes: %v after %d logins, want 2 (else redisclient's greeting is needed no more)", err, n)
	}
	_, err = redisclient.Ask(within(t, long), redisclient.Server{Address: r.Address, Password: "wrong", Dial: w.dial}, []string{"PING"})
	if n := logins(); err == nil || !strings.Contains(err.Error(), "log in to") || !strings.Contains(err.Error(), "WRONGPASS") || n != 1 {
		t.Errorf("ours: %v after %d logins, want 1", err, n)
	}
}

// On 6.0 the rights of the default user bind who has not logged in yet, also for
// HELLO; AUTH is always allowed.
func TestADefaultUserWithoutRightsDoesNotStopTheLogin(t *testing.T) {
	restrictedDefault(t, lab.Loopback(t), "")
}

func restrictedDefault(t *testing.T, l *lab.Lab, binary string) {
	r := l.Host("a").Redis(lab.RedisConfig{Binary: binary})
	r.Do("ACL", "SETUSER", "app", "on", ">pw", "~*", "-@all", "+echo")
	r.Do("ACL", "SETUSER", "default", "-@all", "+ping")
	answers, err := redisclient.Ask(within(t, long), redisclient.Server{Address: r.Address, Username: "app", Password: "pw"}, []string{"ECHO", "me"}, []string{"PING"})
	if err != nil || answers[0].Text() != "me" || answers[1].Err == nil || !strings.HasPrefix(answers[1].Err.Error(), "NOPERM") {
		t.Errorf("got %v, %v", answers, err)
	}
}

func TestAFullServerIsQuoted(t *testing.T) { fullServer(t, lab.Loopback(t), "") }

func fullServer(t *testing.T, l *lab.Lab, binary string) {
	r := l.Host("a").Redis(lab.RedisConfig{Binary: binary, Lines: []string{"maxclients 1"}})
	holder := ours(t, redisclient.Server{Address: r.Address}, 1)
	l.Eventually("the test's own way in is counted no more", long, func() error { return holder.Ping(within(t, long)).Err() })
	lost := 0
	for range 10 {
		_, err := redisclient.Ask(within(t, long), redisclient.Server{Address: r.Address}, []string{"PING"})
		switch {
		case err == nil:
			t.Error("there was room for another")
		case strings.Contains(err.Error(), "max number of clients"):
			return
		}
		lost++ // its words are overtaken by the reset now and then
	}
	t.Errorf("%d times not told that the server is full", lost)
}

func TestRenamedCommandsTLSSocketsAndUsers(t *testing.T) {
	l := lab.Loopback(t)
	ca := l.CA()
	h := l.Host("a")
	secure := h.Redis(lab.RedisConfig{Name: "secure", TLS: ca, Password: "pw"})
	renamed := h.Redis(lab.RedisConfig{Name: "renamed", Rename: map[string]string{"CONFIG": "c-o-n-f-i-g", "SLOWLOG": ""}})
	for name, s := range map[string]redisclient.Server{
		"tls":                         {Address: secure.Address, Password: "pw", TLS: ca.ClientConfig()},
		"unix socket":                 {Socket: renamed.Socket},
		"both, where the socket wins": {Socket: renamed.Socket, Address: secure.Address, TLS: ca.ClientConfig()},
	} {
		if answers, err := redisclient.Ask(within(t, long), s, []string{"PING"}); err != nil || answers[0].Text() != "PONG" {
			t.Errorf("%s: %v, %v", name, answers, err)
		}
	}
	s := redisclient.Server{Socket: renamed.Socket, Commands: map[string]string{"config": "c-o-n-f-i-g", "slowlog": ""}}
	answers, err := redisclient.Ask(within(t, long), s, []string{"SLOWLOG", "GET"}, []string{"CONFIG", "GET", "port"}, []string{"NONE"})
	if err != nil || answers[0].Err != redisclient.ErrRemoved || answers[1].Pairs()["port"] == "" || !answers[2].UnknownCommand() {
		t.Errorf("got %v, %v", answers, err)
	}
	if _, err := redisclient.Ask(within(t, long), redisclient.Server{Address: secure.Address, TLS: ca.ClientConfig(), Password: "pw", Username: "nobody"}, []string{"PING"}); err == nil ||
		!strings.Contains(err.Error(), "WRONGPASS") {
		t.Errorf("an unknown user: %v", err)
	}
}

func TestASentinelIsGreetedLikeARedis(t *testing.T) {
	l := lab.Loopback(t)
	g := l.Group(lab.GroupConfig{Sentinel: lab.SentinelConfig{Password: "pw"}})
	var w wires
	s := redisclient.Server{Address: g.Sentinels[0].Address, Password: "pw", Dial: w.dial}
	answers, err := redisclient.Ask(within(t, long), s, []string{"SENTINEL", "GET-MASTER-ADDR-BY-NAME", "nobody"}, []string{"SENTINEL", "MASTER", g.Name})
	if err != nil || answers[0].Value != nil || answers[0].Err != nil || answers[1].Pairs()["name"] != g.Name {
		t.Errorf("got %v, %v", answers, err)
	}
	if sent := w.commands(); len(sent) != 3 || sent[0] != "hello 2 auth default pw" {
		t.Errorf("sent %q", sent)
	}
}
