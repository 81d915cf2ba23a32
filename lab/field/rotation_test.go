package field

// Passwords are changed while the group runs, in whatever order.

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

const oldPassword, newPassword = "last-year", "this-year"

// rotation is a group whose one password is being changed.
type rotation struct {
	*story
	file string // of the watchdogs' password
}

func (r rotation) written(password string) {
	r.t.Helper()
	if err := os.WriteFile(r.file, []byte(password+"\n"), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func ofOnePassword(t *testing.T) rotation {
	t.Helper()
	return ofPasswords(t, oldPassword, nil)
}

// ofPasswords is a group whose watchdogs log in with that password, as that user
// (nil: as all others).
func ofPasswords(t *testing.T, watchdogs string, user map[string]any) rotation {
	t.Helper()
	r := rotation{story: &story{t: t}, file: filepath.Join(t.TempDir(), "redis-password")}
	r.written(watchdogs)
	users := []string{"user default on >" + oldPassword + " ~* &* +@all"}
	if user != nil {
		users = append(users, fmt.Sprintf("user %s on >%s ~* &* +@all", user["username"], watchdogs))
	}
	r.story = begin(t, start(t, watched.Options{
		Systemd: true,
		Group: lab.GroupConfig{
			Redis:   lab.RedisConfig{Users: users, ReplUser: "default", ReplPass: oldPassword},
			Monitor: lab.Monitor{Password: oldPassword},
		},
		Config: func(c *watched.Config) {
			n := c.Groups[0]["nodes"].([]map[string]any)[0]
			n["password_file"] = r.file
			maps.Copy(n, user)
		},
	}))
	return r
}

// redis has every Redis know the new password alone.
func (r rotation) redis() {
	r.t.Helper()
	for _, d := range r.Watchdogs {
		r.done(d.Name + ": CONFIG SET requirepass, and masterauth")
		d.Redis.Do("CONFIG", "SET", "requirepass", newPassword)
		d.Redis.Do("CONFIG", "SET", "masterauth", newPassword)
	}
}

func (r rotation) sentinels(which ...*lab.Sentinel) {
	r.t.Helper()
	for _, one := range which {
		r.done(one.Name + ": SENTINEL SET mymaster auth-pass")
		one.Do("SENTINEL", "SET", "mymaster", "auth-pass", newPassword)
	}
}

func (r rotation) reloaded() {
	r.t.Helper()
	for _, d := range r.Watchdogs {
		r.done(d.Name + " is reloaded")
		d.Signal(syscall.SIGHUP)
	}
}

// everybodyIsTold waits until every watchdog says so.
func (s *story) everybodyIsTold(fault string, parts ...string) (remedy string) {
	s.t.Helper()
	for _, d := range s.Watchdogs {
		remedy = remedyOf(s.told(d, fault, parts...), fault)
	}
	return remedy
}

// isOver is what every rotation ends with.
func (r rotation) isOver() {
	r.t.Helper()
	for _, d := range r.Watchdogs {
		d.Redis.Do("ACL", "SAVE")
		d.Redis.Do("CONFIG", "REWRITE")
	}
	r.calm()
}

// TestPasswordIsChangedAtRedisFirst: one password at a time, without an interval
// in which two are good. Connections that are there go on; the watchdog that has
// to log in anew says that it cannot, and which file is behind.
func TestPasswordIsChangedAtRedisFirst(t *testing.T) {
	t.Parallel()
	r := ofOnePassword(t)
	r.redis()
	r.told(r.master, "redis_auth", "password_file")
	r.told(r.master, "armed_off", "password_file")
	r.sentinels(r.Group.Sentinels...)
	r.written(newPassword)
	r.reloaded()
	r.isOver()
	r.unrefused()
	r.failsOver()
}

// TestPasswordIsChangedAtTheWatchdogsFirst: a new password_file is there, and
// loaded, before Redis knows it. What is in force stays so; another reload takes
// it, as the fault says.
func TestPasswordIsChangedAtTheWatchdogsFirst(t *testing.T) {
	t.Parallel()
	r := ofOnePassword(t)
	r.written(newPassword)
	r.reloaded()
	r.everybodyIsTold("reload_refused", "WRONGPASS", "systemctl reload redis-watchdog")
	r.redis()
	r.sentinels(r.Group.Sentinels...)
	r.told(r.master, "armed_off")
	r.reloaded()
	r.isOver()
	r.unrefused()
	r.failsOver()
}

// TestPasswordIsChangedAtASentinelFirst: a Sentinel whose login Redis refuses holds
// everybody down, and does not log in again when the password has become right.
func TestPasswordIsChangedAtASentinelFirst(t *testing.T) {
	t.Parallel()
	r := ofOnePassword(t)
	first := r.Group.Sentinels[1]
	r.sentinels(first)
	r.everybodyIsTold("sentinel_refused", r.master.Redis.Address+" those of "+first.Address, "auth-pass")
	r.redis()
	r.written(newPassword)
	r.reloaded()
	r.Pause(5 * time.Second) // it would have logged in by now, if it did
	remedy := r.everybodyIsTold("sentinel_refused", first.Address)
	r.sentinels(r.Group.Sentinels[0], r.Group.Sentinels[2])
	r.done("as printed")
	r.paste(r.master, strings.ReplaceAll(remedy, "PASSWORD", newPassword))
	r.isOver()
	r.unrefused()
	r.failsOver()
}

// TestPasswordIsChangedAtAllSentinelsFirst: no Sentinel is let in by any Redis. They
// would promote the first replica that lets them in, so the master is fenced. It
// serves again as soon as its password is the one that they have, though Sentinel
// does not log in again by itself; the watchdogs are users of their own, and nobody
// reloads them.
func TestPasswordIsChangedAtAllSentinelsFirst(t *testing.T) {
	t.Parallel()
	r := ofPasswords(t, "of-the-watchdogs", map[string]any{"username": "redis-watchdog"})
	r.sentinels(r.Group.Sentinels...)
	r.everybodyIsTold("sentinel_refused", r.master.Redis.Address+" those of ", "auth-pass")
	r.master.WaitFor("refuses", func(st agent.Status) bool { return st.Phase == "refuse" })
	r.Pause(5 * time.Second) // the fence itself puts them out, and they log in anew once
	r.redis()
	changed := lab.Now()
	if now := r.WaitServing(); now != r.master {
		t.Errorf("%s serves; nobody could have been promoted", now.Name)
	}
	r.writer.WaitOK(changed, patience)
	r.reader.WaitOK(changed, patience)
	remedy := r.everybodyIsTold("sentinel_refused")
	r.done("as printed, for the replicas")
	r.paste(r.master, strings.ReplaceAll(remedy, "PASSWORD", newPassword))
	r.isOver()
	r.failsOver()
}
