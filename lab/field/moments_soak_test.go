//go:build soak

package field

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// rounds is how often each moment is played: ROUNDS, or three times.
func rounds(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("ROUNDS"))
	if err != nil {
		return 3
	}
	t.Logf("%d rounds", n)
	return n
}

// quietly plays something again and again that must change nothing: no command
// fails, nobody refuses, nobody is failed over.
func quietly(t *testing.T, play func(s *story)) {
	t.Parallel()
	w := moments(t)
	s := begin(t, w)
	quiet := w.Churn()
	for range rounds(t) {
		play(s)
		if t.Failed() {
			return
		}
	}
	s.unrefused()
	if n := quiet.Counts(); !n.Quiet() {
		t.Errorf("%s; want none of it", n)
	}
}

// certified waits until the master serves by the word of the Sentinels.
func (s *story) certified() {
	s.t.Helper()
	s.master.WaitFor("serves by the word of the Sentinels", func(st agent.Status) bool {
		return st.Phase == "serve" && st.Reason == "certified_by_sentinels" && st.GrantRemaining == 0
	})
}

// While etcd is away the master serves by the word of the Sentinels alone (row 11).
func TestMasterStandsStillWhileEtcdIsAwaySoak(t *testing.T) {
	quietly(t, func(s *story) {
		s.done("etcd is stopped")
		s.Etcd.Stop()
		s.certified()
		for _, p := range []struct {
			what string
			who  stopper
		}{{"the master", s.master.Redis}, {"its watchdog", s.master}} {
			s.done(p.what + " stands still for " + bearable.String())
			p.who.Stop()
			s.Pause(bearable)
			p.who.Cont()
			s.Pause(momentsD - bearable + time.Second)
			s.certified()
		}
		s.done("its host stands still for " + bearable.String())
		// Etcd's own member on it is stopped anyway, and must stay so when it is thawed.
		s.master.Redis.Stop()
		s.master.Stop()
		s.Pause(bearable)
		s.master.Redis.Cont()
		s.master.Cont()
		s.Pause(momentsD - bearable + time.Second)
		s.certified()
		s.done("etcd goes on")
		s.Etcd.Cont()
		s.WaitGuarded()
	})
}

// The watchdog is restarted while its Redis stands still: what the one before knew
// of E is all that the next knows, until the Sentinels have answered it.
func TestMasterStandsStillWhileItsWatchdogIsRestartedSoak(t *testing.T) {
	at := 0
	quietly(t, func(s *story) {
		// At the begin of the stall, in its midst, at its end.
		before := []time.Duration{0, bearable / 2, bearable - 100*time.Millisecond}[at%3]
		at++
		s.done(fmt.Sprintf("the master stands still for %v, %v later its watchdog is restarted", bearable, before))
		s.master.Redis.Stop()
		s.Pause(before)
		begun := lab.Now()
		s.master.Kill()
		s.master.Restart()
		s.Pause(bearable - before - lab.Now().Sub(begun))
		s.master.Redis.Cont()
		s.settles(bearable)
	})
}

// The master is cut off, so that its writers are held, and stands still; the cut
// heals while it does.
func TestMasterStandsStillWhileItsWritersAreHeldSoak(t *testing.T) {
	quietly(t, func(s *story) {
		s.done("the master's host is cut off")
		s.Isolate(s.master.Host)
		s.master.WaitPhase("hold")
		s.done("the master stands still, the cut heals")
		s.master.Redis.Stop()
		s.Pause(300 * time.Millisecond)
		s.Heal()
		s.Pause(bearable / 2)
		s.master.Redis.Cont()
		s.settles(bearable)
	})
}

// The new master stands still as soon as it is one, and as soon as it serves.
func TestMasterStandsStillAfterItsPromotionSoak(t *testing.T) {
	t.Parallel()
	w := moments(t)
	for i := range 2 * rounds(t) {
		old := w.WaitServing()
		quiet := w.Churn()
		c := w.BeforeCut()
		c.Cut("SENTINEL FAILOVER", func() { w.Group.Sentinels[i%len(w.Group.Sentinels)].Do("SENTINEL", "FAILOVER", w.Group.Name) })
		next := old
		w.Eventually("another is promoted", time.Minute, func() error {
			for _, d := range w.Others(old) {
				if role, err := d.Redis.Try("ROLE"); err == nil && strings.Contains(fmt.Sprint(role), "master") && !strings.Contains(fmt.Sprint(role), "slave") {
					next = d
					return nil
				}
			}
			return fmt.Errorf("nobody is")
		})
		if i%2 == 1 {
			next.WaitPhase("serve")
		}
		t.Logf("done: the new master stands still for %v, after it %s", bearable, []string{"was promoted", "served"}[i%2])
		begun := len(next.Decided())
		next.Redis.Stop()
		w.Pause(bearable)
		next.Redis.Cont()
		c.WaitWritten()
		w.Pause(momentsD - bearable + time.Second)
		w.WaitGuarded()
		if now := w.WaitServing(); now != next {
			t.Errorf("%s serves, want %s", now.Name, next.Name)
		}
		for _, one := range next.Decided()[begun:] {
			if needless(one.Line) && !strings.Contains(one.Line, " to=hold ") {
				t.Errorf("the new master stopped serving: %s", one.Line)
			}
		}
		change := c.Heal()
		t.Logf("%s", change.Sum(momentsD))
		if n := len(change.OverlappingWrites); n != 0 {
			t.Errorf("%d writes overlap, want 0", n)
		}
		if n := quiet.Counts().Switches; n != len(w.Group.Sentinels) {
			t.Errorf("%d times +switch-master, want %d, one failover", n, len(w.Group.Sentinels))
		}
		w.Group.WaitReplicas()
		if t.Failed() {
			return
		}
	}
}

// The old master, or the new one, stands still in the middle of a planned failover:
// it comes to an end that the command says, and nothing that was acknowledged is lost.
func TestStallInAPlannedFailoverSoak(t *testing.T) {
	t.Parallel()
	w := moments(t)
	for i := range 2 * rounds(t) {
		old := w.WaitServing()
		to := w.Others(old)[i/2%2]
		w.Eventually("a preflight lets it go", 3*time.Minute, func() error {
			if out, code := old.CLI("preflight", w.Group.Name, "--to", to.Redis.Address); code != 0 {
				return fmt.Errorf("%d: %s", code, lastLine(out))
			}
			return nil
		})
		crowd := w.Crowd()
		from := lab.Now()
		crowd.WaitOK(from)
		type result struct {
			out  string
			code int
		}
		ended := make(chan result, 1)
		go func() {
			out, code := old.CLI("failover", w.Group.Name, "--to", to.Redis.Address, "--yes")
			ended <- result{out, code}
		}()
		stalls := []*lab.Redis{old.Redis, to.Redis}[i%2]
		w.Eventually("the writers are stopped, or it is over", time.Minute, func() error {
			if s, err := old.TryStatus(); len(ended) == 0 && err == nil && s.Reason != "planned_failover" {
				return fmt.Errorf("%s", s.Reason)
			}
			return nil
		})
		t.Logf("done: %s stands still for %v", stalls.Name, bearable)
		stalls.Stop()
		w.Pause(bearable)
		stalls.Cont()
		r := <-ended
		t.Logf("exit %d: %s", r.code, lastLine(r.out))
		w.Pause(momentsD)
		w.WaitGuarded()
		now := w.WaitServing()
		if moved := now != old; r.code == 0 && !moved || r.code == 1 && moved { // 2: it could not find out
			t.Errorf("%s serves, and the command ended with %d", now.Name, r.code)
		}
		crowd.WaitOK(lab.Now())
		writes, _ := crowd.Stop()
		if lost := lab.Lost(writes, now.Redis); len(lost) != 0 {
			t.Errorf("%d acknowledged writes are lost, want 0", len(lost))
		}
		w.Group.WaitReplicas()
		if t.Failed() {
			return
		}
	}
}

// lastLine is the last line of what was printed.
func lastLine(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return lines[len(lines)-1]
}
