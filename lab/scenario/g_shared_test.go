package scenario

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// TestGroupsOfAHostShareTheirSentinels: of three groups on one host, watched by the
// same Sentinels, one is taken out of the configuration and put back, and all are.
// Each Sentinel sees one connection of the watchdog that polls and one that is
// subscribed, as long as there is a group; one that stays is not taken anew.
func TestGroupsOfAHostShareTheirSentinels(t *testing.T) {
	t.Parallel()
	f := watched.StartFleet(t, watched.FleetOptions{Groups: 3})
	f.Watchdog.Restart()
	f.WaitServing(2 * time.Minute)
	waitClients(f, 1)
	all := f.Watchdog.Config().Groups
	for _, groups := range [][]map[string]any{all[:2], all, all[:2], all[1:2], all} {
		c := f.Watchdog.Config()
		c.Groups = groups
		f.Watchdog.Write(c)
		f.Mark("a configuration of %d groups", len(groups))
		taken := strings.Count(f.Watchdog.Text(), "configuration taken over")
		f.Watchdog.Signal(syscall.SIGHUP)
		f.Eventually("it is taken over", 30*time.Second, func() error {
			if strings.Count(f.Watchdog.Text(), "configuration taken over") == taken {
				return fmt.Errorf("not yet")
			}
			return nil
		})
		waitClients(f, 1)
	}
	f.WaitServing(2 * time.Minute)
	for line := range strings.Lines(f.Watchdog.Text()) {
		if strings.Contains(logged(line, "taken_anew"), f.Group(1)) {
			t.Errorf("%s stayed in the configuration: %s", f.Group(1), line)
		}
	}
	f.Watchdog.Term()
	f.Watchdog.Wait()
	waitClients(f, 0)
}

// waitClients waits until every Sentinel sees so many connections of the watchdog of
// each kind.
func waitClients(f *watched.Fleet, want int) {
	f.T.Helper()
	for _, s := range f.Sentinels {
		f.Eventually(fmt.Sprintf("the Sentinel of %s sees %d of each kind", s.Host.Name, want), 30*time.Second, func() error {
			polls, subscribed, err := clientsOf(s)
			if err == nil && (polls != want || subscribed != want) {
				err = fmt.Errorf("%d connections poll, %d are subscribed", polls, subscribed)
			}
			return err
		})
	}
}

func clientsOf(s *lab.Sentinel) (polls, subscribed int, err error) {
	text, err := s.Try("CLIENT", "LIST")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(fmt.Sprint(text)) {
		if strings.Contains(line, " name=redis-watchdog ") {
			polls++
		}
		if !strings.Contains(line, " sub=0 ") {
			subscribed++
		}
	}
	return polls, subscribed, nil
}
