package field

// What a Redis reads from its disk at a start is not what its group has
// acknowledged.

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// shortFailover has Sentinel try again within seconds where nobody could be
// promoted: it waits for twice its failover-timeout.
func shortFailover(o watched.Options) watched.Options {
	o.Group.FailTimeout = 5 * time.Second
	return o
}

// leaveStale stops a replica right after it saved, lets the master take more
// writes, and then ends the master, with all of it on its disk, and every other
// replica. The stale one is started again, alone. What was acknowledged is the
// result.
func leaveStale(s *story) (stale *watched.Watchdog, acked lab.Trace) {
	s.t.Helper()
	others := s.Others(s.master)
	stale = others[0]
	stale.Redis.Do("SAVE")
	stale.Redis.Kill()
	s.done("a replica saved its data and was stopped")
	s.writer.WaitOK(lab.Now().Add(2*time.Second), time.Minute)
	s.reader.Stop()
	acked = s.writer.Stop()
	for _, d := range others[1:] {
		d.Redis.Kill()
	}
	s.master.Redis.Do("SAVE")
	s.master.Redis.Kill()
	s.done("all the others were stopped, two seconds of writes later")
	stale.Redis.Restart()
	s.done("the one that was stopped first is started, alone")
	return stale, acked
}

// triedToPromote waits until a Sentinel has tried to promote somebody since the
// mark, and found nobody, twice.
func (s *story) triedToPromote(before map[*lab.Sentinel]int, times int) {
	s.t.Helper()
	s.Eventually("the Sentinels found nobody to promote", 2*time.Minute, func() error {
		n := 0
		for _, one := range s.Group.Sentinels {
			n += strings.Count(one.Text(), "-failover-abort-no-good-slave") - before[one]
		}
		if n < times {
			return fmt.Errorf("%d times, want %d", n, times)
		}
		return nil
	})
}

func (s *story) attempts() map[*lab.Sentinel]int {
	n := map[*lab.Sentinel]int{}
	for _, one := range s.Group.Sentinels {
		n[one] = strings.Count(one.Text(), "-failover-abort-no-good-slave")
	}
	return n
}

// A replica that was stopped for a while is started when all others are gone. Its
// data is of the day before yesterday: promoted, it would throw away what was
// acknowledged since. It is not, and the master has it all when it comes back.
func TestStaleReplicaAloneIsNotPromoted(t *testing.T) {
	t.Parallel()
	s := begin(t, start(t, shortFailover(watched.Options{})))
	before := s.attempts()
	stale, acked := leaveStale(s)
	s.told(stale, "data_behind", "redis-watchdog unfence", s.master.Redis.Address)
	s.triedToPromote(before, 2)
	if role := stale.Redis.Role(); role.Name != "slave" {
		t.Errorf("%s is %s", stale.Name, role)
	}
	for _, line := range stale.Decisions() {
		if strings.Contains(line, " grant=claim") {
			t.Errorf("the stale one claimed the grant: %s", line)
		}
	}

	s.done("the master is started again")
	s.master.Redis.Restart()
	for _, d := range s.Others(s.master) {
		if d != stale {
			d.Redis.Restart()
		}
	}
	serving := s.WaitServing()
	if lost := lab.Lost(acked, serving.Redis); len(lost) != 0 {
		t.Errorf("%d acknowledged writes are lost at %s, want 0", len(lost), serving.Name)
	}
	s.WaitGuarded()
	stale.WaitFor("is in step again, and may be promoted", func(st agent.Status) bool {
		return st.Role == "replica" && st.LinkUp && !st.Veto && len(st.Faults) == 0
	})
}

// The same, and the others never come back: a person decides, by the command that
// the fault names.
func TestStaleReplicaIsAcceptedByAPerson(t *testing.T) {
	t.Parallel()
	s := begin(t, start(t, shortFailover(watched.Options{})))
	before := s.attempts()
	stale, acked := leaveStale(s)
	st := s.told(stale, "data_behind")
	for _, f := range st.Faults {
		t.Logf("told: %s %s: %s | %s", f.Severity, f.ID, f.Text, f.Remedy)
	}
	s.triedToPromote(before, 1)
	for _, command := range commandsIn(t, st, "data_behind") {
		s.run(stale, command)
	}
	if got := s.WaitServing(); got != stale {
		t.Errorf("%s serves", got.Name)
	}
	lost := lab.Lost(acked, stale.Redis)
	if len(lost) == 0 {
		t.Error("nothing was lost: the story is not the one it tells")
	}
	t.Logf("clients: %d of %d acknowledged writes are lost, by a person's decision", len(lost), len(acked.OK()))
}

// commandsIn are the commands of a fault's remedy, in its order: what stands
// behind ": " or between ", then ".
func commandsIn(t *testing.T, st agent.Status, fault string) []string {
	t.Helper()
	for _, f := range st.Faults {
		if f.ID != fault {
			continue
		}
		_, commands, found := strings.Cut(f.Remedy, "accept the loss: ")
		if !found {
			t.Fatalf("%s has no command: %s", fault, f.Remedy)
		}
		return strings.Split(commands, "; ")
	}
	t.Fatalf("no fault %s: %v", fault, st.Faults)
	return nil
}

// run does what was printed, on the host of a watchdog.
func (s *story) run(d *watched.Watchdog, command string) {
	s.t.Helper()
	words := strings.Fields(command)
	if len(words) == 0 {
		s.t.Fatal("an empty command")
	}
	s.done(command)
	if words[0] == "redis-watchdog" {
		if out, code := d.CLI(words[1:]...); code != 0 {
			s.t.Fatalf("%s: exit %d: %s", command, code, out)
		}
		return
	}
	p := d.Host.Run(lab.Command{Name: "operator", Path: words[0], Args: words[1:]})
	if code := p.Wait(); code != 0 {
		s.t.Fatalf("%s: exit %d: %s", command, code, p.Text())
	}
}
