package field

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

var myID = regexp.MustCompile(`(?m)^sentinel myid .*\n`)

// editMyID puts line in the place of a Sentinel's line `sentinel myid`.
func editMyID(t *testing.T, s *lab.Sentinel, line string) {
	t.Helper()
	text, err := os.ReadFile(s.ConfigFile)
	if err == nil && !myID.Match(text) {
		err = fmt.Errorf("%s has no line sentinel myid", s.ConfigFile)
	}
	if err == nil {
		err = os.WriteFile(s.ConfigFile, myID.ReplaceAll(text, []byte(line)), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A host was made from another's image, sentinel.conf and all: two Sentinels have
// one id. Each takes the other's word for its own, so that the third knows one of
// them, now this, now that. Nothing shows it before the day when one is missing.
func TestTwoSentinelsOfOneImage(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{Group: lab.GroupConfig{DownAfter: 30 * time.Second}}) // Sentinel's own: nobody fails over
	s := begin(t, w)
	first, second := w.Group.Sentinels[1], w.Group.Sentinels[2]
	s.done("the Sentinel of c gets the id of b's")
	second.Kill()
	editMyID(t, second, "sentinel myid "+first.MyID()+"\n")
	for _, other := range w.Group.Sentinels[:2] { // as if c's had never been another
		other.Do("SENTINEL", "RESET", w.Group.Name)
	}
	second.Restart()
	for _, d := range w.Watchdogs {
		st := s.told(d, "sentinel_same_id", first.Address+", "+second.Address, "sentinel myid", "stop the sentinel at "+second.Address)
		if st.SentinelsKnown < 3 {
			t.Errorf("%s counts %d sentinels", d.Name, st.SentinelsKnown)
		}
	}
	d := w.Watchdogs[0]
	d.Process.Restart() // both are remembered, and are two
	s.told(d, "sentinel_same_id", first.Address+", "+second.Address)
	s.done("what the remedy says")
	second.Kill()
	editMyID(t, second, "")
	second.Restart()
	w.Eventually("every Sentinel knows the other two", 2*time.Minute, func() error {
		for _, one := range w.Group.Sentinels {
			if n := one.State(w.Group.Name)["num-other-sentinels"]; n != "2" {
				return fmt.Errorf("%s knows %s others", one.Name, n)
			}
		}
		return nil
	})
	w.Group.WaitStable()
	for _, d := range w.Watchdogs {
		d.WaitFor("says nothing of it", func(st agent.Status) bool {
			return remedyOf(st, "sentinel_same_id") == "" && st.SentinelsKnown == 3 && st.SentinelsAgreeing == 3
		})
	}
	s.unrefused()
}

// The image becomes a fourth host, and nobody tells the watchdogs of its Sentinel.
func TestASentinelOfAClonedHostThatNobodyNamed(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{Group: lab.GroupConfig{DownAfter: 30 * time.Second}})
	s := begin(t, w)
	first := w.Group.Sentinels[1]
	clone := w.Lab.Host("d").Sentinel(lab.SentinelConfig{
		Monitors: []lab.Monitor{{Group: w.Group.Name, Master: s.master.Redis, DownAfter: 30 * time.Second, Quorum: 2}},
		Lines:    []string{"sentinel myid " + first.MyID()}})
	s.done("a Sentinel is started on a fourth host, with the sentinel.conf of b's")
	for _, d := range w.Watchdogs {
		d.WaitFor("counts it, and says so", func(st agent.Status) bool {
			text := remedyOf(st, "sentinel_same_id")
			return st.SentinelsKnown == 4 && st.SentinelsAgreeing == 4 && strings.Contains(text, "stop the sentinel at "+clone.Address) && strings.Contains(text, first.MyID())
		})
	}
	s.done("what the remedy says")
	clone.Kill()
	editMyID(t, clone, "")
	clone.Restart()
	all := append(slices.Clone(w.Group.Sentinels), clone)
	w.Eventually("every Sentinel knows the other three", 2*time.Minute, func() error {
		for _, one := range all {
			if n := one.State(w.Group.Name)["num-other-sentinels"]; n != "3" {
				return fmt.Errorf("%s knows %s others", one.Name, n)
			}
		}
		return nil
	})
	for _, d := range w.Watchdogs {
		s.Eventually(d.Name+" says nothing of it", 4*time.Minute, func() error {
			st, err := d.TryStatus()
			if err == nil && (remedyOf(st, "sentinel_same_id") != "" || st.SentinelsKnown != 4 || st.SentinelsAgreeing != 4) {
				err = fmt.Errorf("%d of %d agree, faults %v", st.SentinelsAgreeing, st.SentinelsKnown, st.Faults)
			}
			return err
		})
	}
	s.unrefused()
}
