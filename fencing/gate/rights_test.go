package gate

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate/resp"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// withoutRight is a gate whose user lacks one of its rights.
func withoutRight(t *testing.T, denied string, change ...func(*Config)) (*server, *lab) {
	s := startRedis(t, "user w on >p "+ACLRule+" "+denied)
	l := startGate(t, s, append(change, func(c *Config) { c.Username, c.Password = "w", "p" })...)
	l.sees("Redis", func(r watchdog.Redis) bool { return r.Answer == watchdog.Up })
	eventually(t, "rights are known", func() bool { return l.capabilities().Checked })
	return s, l
}

func TestDeniedRightIsSaidAndTheFenceHoldsWithoutIt(t *testing.T) {
	for _, tt := range []struct{ denied, fault string }{
		{"-client|kill", "rights_kill"},
		{"-multi", "rights_multi"},
		{"-exec", "rights_multi"},
		{"-xread", "rights_xread"},
		{"-client|pause", "rights_pause"},
		{"-failover", "rights_failover"},
		{"-role", "rights_role"},
		{"-get", "rights_probe"},
		{"-del", "rights_probe"},
		{"-ping", "rights_ping"},
		{"-config|rewrite", "rights_rewrite"},
		{"-client|unpause", "rights_unpause"},
		{"resetkeys ~other:*", "rights_probe"},
		{"-hello", ""},
	} {
		t.Run(tt.denied, func(t *testing.T) {
			s, l := withoutRight(t, tt.denied)
			if tt.fault != "" {
				eventually(t, "fault "+tt.fault+" is there", func() bool { return l.fault(tt.fault) != nil })
			}
			c := s.client()
			c.do("PING")
			l.Want(refuse())
			l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing && r.Role == watchdog.Nowhere })
			if r, err := c.try("GET", "k"); err == nil && !r.ErrorIs("MASTERDOWN") {
				t.Errorf("GET on an open connection: got %+v", r)
			}
		})
	}
}

// A right without which Redis is not guarded at all is an error, and says so.
func TestDeniedRightThatBlindsTheGateIsAnError(t *testing.T) {
	for _, tt := range []struct{ denied, fault string }{
		{"-info", "rights_info"},
		{"-config|get", "rights_config_get"},
		{"-client|list", "rights_xread"},
	} {
		t.Run(tt.denied, func(t *testing.T) {
			_, l := withoutRight(t, tt.denied)
			eventually(t, "error "+tt.fault+" is there", func() bool { f := l.fault(tt.fault); return f != nil && f.Severity == watchdog.SeverityError })
		})
	}
}

// Where HELLO is not to be had, two more rights are.
func TestDeniedClientIDMattersWhereHelloIsRenamed(t *testing.T) {
	for _, denied := range []string{"-client|id", "-client|setname"} {
		t.Run(denied, func(t *testing.T) {
			s := startRedis(t, "user w on >p "+ACLRule+" "+denied, `rename-command HELLO ""`)
			l := startGate(t, s, func(c *Config) { c.Username, c.Password = "w", "p" })
			eventually(t, "the fault is there", func() bool { return l.fault("rights_client_id") != nil })
		})
	}
}

// Redis 6.0.16 refuses a line for resetchannels and for +failover, and takes it
// without them.
func TestRuleIsOfTheVersion(t *testing.T) {
	if got := aclRuleFor("7.0.15"); got != ACLRule {
		t.Errorf("7.0: %q", got)
	}
	got := aclRuleFor("6.0.16")
	if !strings.HasPrefix(got, "~redis-watchdog:* -@all +ping ") || strings.Contains(got, "failover") || len(got) != len(ACLRule)-len("resetchannels ")-len(" +failover") {
		t.Errorf("6.0: %q", got)
	}
}

// A command that was renamed or taken away is given back by no right, and no right
// is offered for it.
func TestRemedyIsOfWhatIsMissing(t *testing.T) {
	const right, name = "ACL SETUSER", "rename-command"
	for _, tt := range []struct {
		line, denied, fault, want, not string
	}{
		{`rename-command CONFIG ""`, "", "rights_config", name, right},
		{`rename-command CONFIG hidden`, "", "rights_config", name, right},
		{"", "-config", "rights_config", right, name},
		{`rename-command CONFIG ""`, "-client|kill", "rights_kill", right, "\x00"},
	} {
		t.Run(tt.line+tt.denied, func(t *testing.T) {
			s := startRedis(t, "user w on >p "+ACLRule+" "+tt.denied, tt.line)
			l := startGate(t, s, func(c *Config) { c.Username, c.Password = "w", "p" })
			eventually(t, tt.fault+" tells what helps", func() bool {
				f := l.fault(tt.fault)
				return f != nil && strings.Contains(f.Remedy, tt.want) && !strings.Contains(f.Remedy, tt.not)
			})
		})
	}
}

func TestRenamedExecDoesNotCatchThePrimaryConnection(t *testing.T) {
	s := startRedis(t, `rename-command EXEC ""`)
	l := startGate(t, s)
	eventually(t, "the fault is there", func() bool { return l.fault("rights_multi") != nil })
	l.Want(watchdog.Gate{Access: watchdog.Lock})
	l.sees("the lock", func(r watchdog.Redis) bool { return r.Locked })
	l.Want(refuse())
	l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing })
}

// The fence needs no transaction, the one that stands inside Redis neither.
func TestFenceIsArmedAndFiresWithoutMulti(t *testing.T) {
	for _, denied := range []string{"-multi", "-exec", "-multi -exec"} {
		t.Run(denied, func(t *testing.T) {
			kept := newShelf(t)
			s, l := withoutRight(t, denied, func(c *Config) { c.Store = kept })
			stop := l.serve(time.Second)
			l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
			stop()
			l.stop()
			eventually(t, "it fires", func() bool { return strings.HasPrefix(s.role(), "slave of 127.0.0.1:0") })
			if r := s.do("GET", "k"); !r.ErrorIs("MASTERDOWN") {
				t.Errorf("GET: got %+v", r)
			}
		})
	}
}

func TestRedisThatCannotBeFencedIsKilled(t *testing.T) {
	for _, tt := range []struct{ denied, fault string }{
		{"-replicaof", "rights_replicaof"},
		{"-config", "rights_config"},
	} {
		t.Run(tt.denied, func(t *testing.T) {
			k := &killer{}
			s, l := withoutRight(t, tt.denied, func(c *Config) { c.Killer = k })
			k.s = s
			eventually(t, "fault "+tt.fault+" is there", func() bool { return l.fault(tt.fault) != nil })
			l.Want(watchdog.Gate{Access: watchdog.Refuse, StopBy: bootTime().Add(400 * time.Millisecond)})
			l.sees("nobody listening", func(r watchdog.Redis) bool { return r.Answer == watchdog.Absent })
			if n := k.calls.Load(); n != 1 {
				t.Errorf("kills: got %d, want 1", n)
			}
		})
	}
}

// The pause that held writers is lifted by the fence. What cannot be fenced
// must not take them for it: another master may have been promoted.
func TestHeldWriteIsRefusedWhereTheFenceFails(t *testing.T) {
	for _, denied := range []string{"-replicaof", "-replicaof -client|kill", "-multi -replicaof"} {
		t.Run(denied, func(t *testing.T) {
			s, l := withoutRight(t, denied)
			refusedAfterHold(t, s, l)
		})
	}
	t.Run("taken away at the last moment", func(t *testing.T) {
		s, l := withoutRight(t, "")
		s.do("ACL", "SETUSER", "w", "-replicaof")
		refusedAfterHold(t, s, l)
	})
}

func refusedAfterHold(t *testing.T, s *server, l *lab) {
	t.Helper()
	l.Want(watchdog.Gate{Access: watchdog.Hold})
	l.sees("a hold", func(r watchdog.Redis) bool { return r.Held })
	answer := make(chan resp.Reply, 1)
	write := func() {
		c := s.client()
		go func() {
			r, _ := c.try("SET", "held", "1")
			answer <- r
		}()
	}
	write()
	eventually(t, "the write waits", func() bool {
		select {
		case <-answer: // the hold was late on a busy machine
			write()
		default:
		}
		for client := range strings.Lines(s.do("CLIENT", "LIST").Text) {
			if strings.Contains(client, " cmd=set ") && strings.Contains(client, " flags=b ") {
				return true
			}
		}
		return false
	})
	l.Want(refuse())
	select {
	case r := <-answer:
		if r.OK() {
			t.Errorf("the held write was acknowledged")
		}
	case <-time.After(patience):
		t.Error("the held write was never answered")
	}
}

func TestPutOffWithoutClientKill(t *testing.T) {
	kept := newShelf(t)
	s, l := withoutRight(t, "-client|kill", func(c *Config) { c.Store = kept })
	l.serve(800 * time.Millisecond)
	eventually(t, "renewals", func() bool { return l.Details().Armed >= 4 })
	if got := s.role(); got != "master" {
		t.Errorf("role: got %s", got)
	}
	eventually(t, "one is kept", func() bool { return kept.count() == 1 })
}

func TestLoadingRedisRefusesAndIsNotKilled(t *testing.T) {
	s := startRedis(t, "enable-debug-command yes", "key-load-delay 3000", "loading-process-events-interval-bytes 1024")
	s.do("DEBUG", "POPULATE", "1000")
	s.do("SAVE")
	if _, err := os.Stat(filepath.Join(s.dir, "dump.rdb")); err != nil {
		t.Fatal(err)
	}
	s.kill()
	k := &killer{}
	s.start()
	k.s = s
	l := startGate(t, s, func(c *Config) { c.Killer = k })
	l.Want(watchdog.Gate{Access: watchdog.Refuse, StopBy: bootTime()})
	l.sees("a loading Redis", func(r watchdog.Redis) bool { return r.Answer == watchdog.Loading && r.Refusing })
	l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Answer == watchdog.Up && r.Refusing })
	if n := k.calls.Load(); n != 0 {
		t.Errorf("a loading Redis was killed")
	}
}

func TestTheNewestWantWins(t *testing.T) {
	s := startRedis(t)
	l := startGate(t, s)
	l.sees("a master", func(r watchdog.Redis) bool { return r.Role == watchdog.Master })
	for i := range 150 {
		l.Want(refuse())
		pause(i)
		l.Want(watchdog.Gate{Access: watchdog.Lock, Open: true})
		pause(i * 7)
		l.Want(watchdog.Gate{Access: watchdog.Serve, Arm: bootTime().Add(time.Minute)})
		pause(i * 13)
	}
	l.Want(refuse())
	at := bootTime()
	l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing && r.SentAt > at })
	for i := range 100 {
		if got := s.do("GET", "k"); !got.ErrorIs("MASTERDOWN") {
			t.Fatalf("GET %d after the last fence: got %+v", i, fmt.Sprint(got))
		}
	}
	l.Want(watchdog.Gate{Access: watchdog.Lock, Open: true})
	l.sees("a master", func(r watchdog.Redis) bool { return r.Role == watchdog.Master })
	l.Want(watchdog.Gate{Access: watchdog.Serve})
	checkOriginals(t, s, "100")
}

// pause rests up to 3 ms, so that every step is met in every state.
func pause(i int) { time.Sleep(time.Duration(i%31) * 100 * time.Microsecond) }

// A Redis that lets nobody in any more, and has lost all our connections: nothing is
// armed in it, and no fence can be sent. It counts from when it was lost, and not from
// each attempt that it answers with an error.
func TestRedisThatRefusesOurLoginIsKilled(t *testing.T) {
	k := &killer{}
	s, l := withoutRight(t, "", func(c *Config) { c.Killer = k })
	k.s = s
	l.Want(watchdog.Gate{Access: watchdog.Serve})
	l.sees("a master", func(r watchdog.Redis) bool { return r.Role == watchdog.Master })
	s.do("ACL", "SETUSER", "default", "-replicaof", "-config", "-client|kill") // else the fence behind a greeting is executed
	s.do("ACL", "DELUSER", "w")                                                // and hangs up on whoever it was
	eventually(t, "the login is refused", func() bool { return l.fault("redis_auth") != nil })
	l.Want(watchdog.Gate{Access: watchdog.Refuse, StopBy: bootTime().Add(400 * time.Millisecond)})
	eventually(t, "it is killed", func() bool { return k.calls.Load() > 0 })
}
