package scenario

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// saysAtStart restarts a watchdog and waits until it names what is missing, in
// status, metric and log, before there is anything to fence. An error among
// the faults: it is neither guarded nor ready.
func saysAtStart(t *testing.T, w *watched.World, d *watched.Watchdog, faults ...string) {
	t.Helper()
	d.Term()
	d.Systemd.Empty() // stopped and started, not restarted: no fence of before is left
	logged := len(d.Text())
	d.Restart()
	s := d.WaitFor("names what is missing", func(s agent.Status) bool {
		for _, id := range faults {
			if !slices.ContainsFunc(s.Faults, func(f agent.Fault) bool { return f.ID == id && f.Remedy != "" }) {
				return false
			}
		}
		return s.Phase == "serve" && s.GrantOurs
	})
	metrics := d.Metrics()
	for _, id := range faults {
		if !strings.Contains(metrics, fmt.Sprintf("id=%q", id)) {
			t.Errorf("no metric of fault %s", id)
		}
		d.WaitLogged(id, logged, func(line string) bool {
			return strings.Contains(line, "id="+id) && (strings.Contains(line, "[ERROR]") || strings.Contains(line, "[WARN]"))
		})
	}
	severe := slices.ContainsFunc(s.Faults, func(f agent.Fault) bool { return f.Severity == agent.SeverityError })
	if !severe || s.Guarded || d.Get("/readyz") == 200 {
		t.Errorf("faults %+v, guarded %t, /readyz %d", s.Faults, s.Guarded, d.Get("/readyz"))
	}
	w.Mark("%s has named %v", d.Name, faults)
}

// cutMaster cuts the master off until a client has written to another, and a
// little longer.
func cutMaster(w *watched.World) *watched.Cutting {
	w.T.Helper()
	c := w.BeforeCut()
	c.Cut("cut: the master sees nobody", func() { w.Isolate(c.Old().Host) })
	c.WaitWritten()
	w.Pause(time.Second)
	return c
}

// contractOfKill is what must hold where a master cannot be fenced: it is
// killed in time. holds is whether its writers could be made to wait.
func contractOfKill(t *testing.T, c watched.Change, holds bool) {
	t.Helper()
	t.Logf("killed: last write %v after the cut, down %v, promoted %v", c.LastAcked().Sub(c.Cut), c.Down.At.Sub(c.Cut), c.Promoted.At.Sub(c.Cut))
	if c.Promoted.At == 0 || c.New == c.Old {
		t.Fatal("nobody was promoted")
	}
	if c.Down.At == 0 || c.Down.At > c.Promoted.After {
		t.Errorf("down %v after the cut, another was promoted %v after it", c.Down.At.Sub(c.Cut), c.Promoted.After.Sub(c.Cut))
	}
	if w, r := len(c.OverlappingWrites), len(c.OverlappingReads); w > 0 || r > 0 {
		t.Errorf("overlap: %d writes, %d reads", w, r)
	}
	// Held until killed: next to nobody was answered at the end, as many as ever
	// at first.
	third := c.Down.At.Sub(c.Cut) / 3
	first, last := len(c.Acked.Received(c.Cut, c.Cut.Add(third))), len(c.Acked.Received(c.Down.At.Add(-third), c.Down.At))
	if holds && last > first/2 {
		t.Errorf("%d writes were acknowledged in the last third of the time from the cut to the kill, %d in the first", last, first)
	}
	if c.Rejoined.At == 0 {
		t.Error("it never became a replica in step")
	}
}

// TestRenamedCommands is case n, renamed: told of by commands: in the
// configuration, nothing is lacking; untold, it is said at the start, and a
// master that cannot be fenced is killed before another is promoted.
func TestRenamedCommands(t *testing.T) {
	t.Parallel()
	names := map[string]string{"CLIENT": "x-client", "CONFIG": "x-config", "REPLICAOF": "x-replicaof", "XREAD": "x-xread", "HELLO": ""}
	commands := map[string]string{}
	for from, to := range names {
		commands[strings.ToLower(from)] = to
	}
	w := watched.Start(t, watched.Options{
		Group: lab.GroupConfig{
			FailTimeout: 10 * time.Second, Redis: lab.RedisConfig{Rename: names},
			Monitor: lab.Monitor{Lines: []string{"sentinel rename-command %[1]s CONFIG x-config", "sentinel rename-command %[1]s CLIENT x-client"}},
		},
		Config:  func(c *watched.Config) { c.Groups[0]["nodes"].([]map[string]any)[0]["commands"] = commands },
		Systemd: true,
	})
	w.Narrate()
	noFaults(t, w)
	told := cutMaster(w).Heal()
	w.WaitGuarded()
	t.Logf("told: %s", told.Sum(downAfter))
	contractOfFence(t, told)

	d := w.WaitServing()
	untold := d.Config()
	delete(untold.Groups[0]["nodes"].([]map[string]any)[0], "commands")
	d.Write(untold)
	saysAtStart(t, w, d, "rights_kill", "rights_config", "rights_replicaof", "rights_xread")
	cutting := cutMaster(w)
	contractOfKill(t, startAgain(w, d, cutting), false)
}

// startAgain heals, has the person put right what was wrong, and starts the
// Redis that was killed.
func startAgain(w *watched.World, d *watched.Watchdog, c *watched.Cutting) watched.Change {
	w.T.Helper()
	if d.Redis.Running() {
		w.T.Fatalf("%s runs still", d.Redis.Name)
	}
	c.Mend()
	d.Term()
	d.Write(d.Config())
	d.Restart()
	started := lab.Now()
	d.Redis.Restart()
	change := c.Heal()
	// What is started as a master may answer until its watchdog has seen it:
	// docs/guarantees.md says so, and that is not what is shown here.
	for _, answers := range []*lab.Trace{&change.Acked, &change.OverlappingWrites, &change.OverlappingReads} {
		*answers = answers.Received(0, started)
	}
	w.WaitGuarded()
	return change
}

// TestDeniedRights is case n, denied by ACL. Without CLIENT KILL and XREAD no
// fence stands armed and connections stay open, and the watchdog's own fence
// keeps the contract; without REPLICAOF there is no fence, and Redis is killed
// in its place.
func TestDeniedRights(t *testing.T) {
	t.Parallel()
	redis, _ := documentedUsers(t)
	file := secrets(t)
	w := watched.Start(t, watched.Options{
		Group: lab.GroupConfig{FailTimeout: 10 * time.Second, Redis: lab.RedisConfig{Users: []string{
			"user default on nopass ~* &* +@all", "user " + strings.TrimPrefix(line(redis), "ACL SETUSER ")}}},
		Config: func(c *watched.Config) {
			n := c.Groups[0]["nodes"].([]map[string]any)[0]
			n["username"], n["password_file"] = "redis-watchdog", file(redisSecret)
		},
		Systemd: true,
	})
	w.Narrate()
	noFaults(t, w)

	d := w.WaitServing()
	d.Redis.Do("ACL", "SETUSER", "redis-watchdog", "-client|kill", "-xread")
	saysAtStart(t, w, d, "rights_kill", "rights_xread")
	if n := watched.ArmedFences(d.Redis); n != 0 {
		t.Errorf("%d fences stand armed", n)
	}
	unarmed := cutMaster(w).Heal()
	t.Logf("without CLIENT KILL and XREAD: %s", unarmed.Sum(downAfter))
	contractOfFence(t, unarmed)
	d.Redis.Do("ACL", "SETUSER", "redis-watchdog", "+client|kill", "+xread")
	d.Term()
	d.Restart()
	w.WaitGuarded()

	d = w.WaitServing()
	d.Redis.Do("ACL", "SETUSER", "redis-watchdog", "-replicaof")
	saysAtStart(t, w, d, "rights_replicaof")
	// Its aclfile is as it was: the Redis that is started again has the right.
	contractOfKill(t, startAgain(w, d, cutMaster(w)), true)
}

func line(words []any) string {
	return strings.TrimSuffix(fmt.Sprintln(words...), "\n")
}
