package field

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/builds"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/preflight"
)

// standStill has the master do nothing but one script for so long, and returns
// when it answers again.
func (s *story) standStill(d time.Duration) {
	s.t.Helper()
	begun := lab.Now()
	_, err := s.master.Redis.Try("EVAL", `local t = redis.call('TIME') local till = t[1] * 1000 + t[2] / 1000 + ARGV[1]
		repeat t = redis.call('TIME') until t[1] * 1000 + t[2] / 1000 > till return 'done'`, "0", d.Milliseconds())
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) { // it runs on when nobody waits for it any more
		s.t.Fatal(err)
	}
	s.Eventually("it answers again", time.Minute, func() error {
		_, err := s.master.Redis.Try("PING")
		return err
	})
	if took := lab.Now().Sub(begun); took < d {
		s.t.Fatalf("it answered after %v, want it to stand still for %v", took, d)
	}
}

// A script keeps the master busy for half of down-after-milliseconds: clients wait
// for it, as they would without a watchdog, and nothing else. It is told: in the
// log, by a figure, in the history, and by a preflight once it comes near to what
// the group bears; what that offers is enough.
func TestMasterStandsStillForHalfOfDownAfter(t *testing.T) {
	t.Parallel()
	notOn(t, "TIME stands still in a script, until that keeps Redis busy for busy-reply-threshold", builds.Redis80, builds.Valkey81, builds.Valkey9)
	const d = 5 * time.Second
	w := start(t, watched.Options{Group: lab.GroupConfig{DownAfter: d, FailTimeout: 10 * time.Second}})
	s := begin(t, w)
	master := s.master
	s.done("a script of 2.5 s at the master")
	s.standStill(d / 2)
	master.WaitLogged("that Redis stood still", 0, func(line string) bool { return strings.Contains(line, "Redis stood still") })
	w.Pause(2 * time.Second) // for whatever a stall would bring about after it
	s.undisturbed()

	w.Eventually("the stall is counted and recorded", time.Minute, func() error {
		count := regexp.MustCompile(`(?m)^redis_watchdog_redis_stall_duration_seconds_count\{.*\} (\d+)$`).FindStringSubmatch(master.Metrics())
		if count == nil {
			return fmt.Errorf("no such metric")
		}
		if n, err := strconv.Atoi(count[1]); err != nil || n < 1 {
			return fmt.Errorf("%s stalls are counted (%v)", count[1], err)
		}
		if out, _ := master.CLI("history", w.Group.Name); !strings.Contains(out, "Redis stood still for 2.") {
			return fmt.Errorf("history: %s", out)
		}
		return nil
	})
	expect := func(check string, outcome preflight.Outcome) (found preflight.Finding) {
		w.Eventually("preflight judges the stall", 3*time.Minute, func() error {
			out, _ := master.CLI("preflight", w.Group.Name, "-o", "json")
			var r preflight.Report
			if err := json.Unmarshal([]byte(out), &r); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			i := slices.IndexFunc(r.Findings, func(f preflight.Finding) bool { return f.Check == check && f.Node == master.Redis.Address })
			if i < 0 {
				return fmt.Errorf("no %s of %s: %s", check, master.Redis.Address, out)
			}
			if found = r.Findings[i]; found.Outcome != outcome || !strings.Contains(found.Reason, "stood still for 2.") {
				return fmt.Errorf("%+v, want %v", found, outcome)
			}
			return nil
		})
		return found
	}
	expect("host_stalls", preflight.Passed)

	s.done("down-after-milliseconds 3000 at every Sentinel, which is less than a second above it")
	set := func(ms string) {
		for _, one := range w.Group.Sentinels {
			one.Do("SENTINEL", "SET", w.Group.Name, "down-after-milliseconds", ms)
		}
	}
	set("3000")
	offered := regexp.MustCompile(`SENTINEL SET \S+ down-after-milliseconds (\d+)`).FindStringSubmatch(expect("host_stalls", preflight.Failed).Remedy)
	if offered == nil {
		t.Fatal("preflight offers no down-after-milliseconds")
	}
	s.done("what it offers: " + offered[0])
	set(offered[1])
	expect("host_stalls", preflight.Passed)
}

// The master stands still for longer than down-after-milliseconds, and no replica
// may take its place: it wakes past its fence, which fires, and held down by the
// Sentinels. Its watchdog opens it as soon as they hear it again. It is told so.
func TestMasterWakesPastItsFence(t *testing.T) {
	t.Parallel()
	const d = 5 * time.Second
	group := lab.GroupConfig{DownAfter: d, FailTimeout: 10 * time.Second}
	group.Redis.Lines = []string{"replica-priority 0"}
	w := start(t, watched.Options{Group: group})
	master := w.WaitServing()
	never := regexp.MustCompile(`(?m)^redis_watchdog_earliest_promotion_seconds\{.*\} \+Inf$`)
	w.Eventually("it is known that nobody can be promoted", time.Minute, func() error {
		if !never.MatchString(master.Metrics()) {
			return errors.New("E is not never")
		}
		return nil
	})
	before, decided := master.Status(), len(master.Decided())
	w.Mark("the master stands still")
	master.Redis.Signal(syscall.SIGSTOP)
	// Longer than every Sentinel goes without an INFO: those that wait in a new
	// connection are answered by a Redis that is shut.
	w.Pause(d * 5 / 2)
	master.Redis.Signal(syscall.SIGCONT)
	woken := w.Mark("it goes on")
	w.Eventually("its fence fired, and is opened", time.Minute, func() error {
		text := master.Metrics()
		for _, result := range []string{"fired", "opened"} {
			line := regexp.MustCompile(`(?m)^redis_watchdog_stall_fences_total\{[^}]*result="` + result + `"[^}]*\} 1$`)
			if !line.MatchString(text) {
				return fmt.Errorf("not one %s: %s", result, regexp.MustCompile(`(?m)^redis_watchdog_stall_fences_total.*$`).FindAllString(text, -1))
			}
		}
		if out, _ := master.CLI("history", w.Group.Name); !strings.Contains(out, "past its armed fence, which fired") {
			return fmt.Errorf("history: %s", out)
		}
		return nil
	})
	t.Logf("it is known to be opened %v after it woke", lab.Now().Sub(woken))
	w.WaitServing(master)
	writer := master.Host.Writer(lab.LoadConfig{To: master.Redis})
	writer.WaitOK(woken, time.Minute)
	writer.Stop()
	if n := watched.Sum(master.Metrics(), "redis_watchdog_fences_total"); n != 1 {
		t.Errorf("%v fences are counted, want the one", n)
	}
	// Nobody was promoted, nor could be: what a Sentinel was told in the moment in
	// which it was shut is no reason to make clients wait for its next INFO.
	for _, one := range master.Decided()[decided:] {
		if strings.Contains(one.Line, "reason=opened_not_yet_certified") || strings.Contains(one.Line, "reason=sentinels_do_not_certify") {
			t.Errorf("clients waited: %s", one.Line)
		}
	}
	if after := master.Status(); after.RunID != before.RunID || after.Epoch != before.Epoch {
		t.Errorf("run %s at epoch %d became run %s at epoch %d: want the same Redis, and no failover", before.RunID, before.Epoch, after.RunID, after.Epoch)
	}
}
