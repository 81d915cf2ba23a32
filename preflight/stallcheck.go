package preflight

import (
	"fmt"
	"strconv"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/stall"
)

const (
	// stallSlack is how near a stall may come to what the group bears.
	stallSlack = time.Second
	// borneLess is how much less than down-after-milliseconds a stall may last.
	borneLess = stall.BorneLess
)

// hostStalls is whether Redis stood still for nearly as long as the group bears.
func hostStalls(s *subject) answer {
	stalls := s.node.Stalls
	if stalls == nil {
		s.lack("the stalls of "+s.node.Address, gapWhy(s.node, "report", "watchdog"), onHost(s.node, "systemctl status redis-watchdog"))
		return answer{}
	}
	worst, count, fired := stalls.worst()
	s.show("stalls within a day", strconv.FormatInt(count, 10), "counted by the watchdog of "+s.node.Address)
	if count == 0 {
		return passed(s.node.Address + " has answered its watchdog for the last day without a stall")
	}
	s.show("the longest", worst.Longest.Round(time.Millisecond).String(), "until "+worst.At.UTC().Format("2006-01-02 15:04:05")+" UTC")
	if stalls.Bears == 0 {
		s.lack("how long a stall the group bears", "its watchdog was not told down-after-milliseconds", "redis-watchdog status "+s.facts.Group)
		return answer{}
	}
	s.show("the group bears", stalls.Bears.Round(time.Millisecond).String(), "down-after-milliseconds, less a poll of the Sentinels and the time to act")
	text := fmt.Sprintf("%s stood still for %s at the longest, %d times for a second or longer within a day", s.node.Address, worst.Longest.Round(10*time.Millisecond), count)
	if fired > 0 {
		text += fmt.Sprintf(", and was fenced for it %d times", fired)
	}
	if worst.Longest <= stalls.Bears-stallSlack {
		return passed(fmt.Sprintf("%s; the group bears %s", text, stalls.Bears.Round(10*time.Millisecond)))
	}
	enough := (worst.Longest + stallSlack + borneLess).Truncate(time.Second) + time.Second
	return failed(fmt.Sprintf("%s: the group bears %s, and what lasts longer is fenced, and failed over at down-after-milliseconds", text, stalls.Bears.Round(10*time.Millisecond)),
		fmt.Sprintf("%s SLOWLOG GET 10   # what it did; or, to bear it, at each Sentinel: SENTINEL SET %s down-after-milliseconds %d", cli(s.node), s.facts.Group, enough.Milliseconds()))
}
