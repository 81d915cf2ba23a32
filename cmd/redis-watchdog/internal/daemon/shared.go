package daemon

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// sharedFault is what is said of Redis that two groups list; empty: there are none.
func (x *node) sharedFault() (text, remedy string) {
	all := x.keeper.Shared()
	if len(all) == 0 {
		return "", ""
	}
	s := x.agent.State()
	truth, _ := s.Truth()
	var told, foreign []string
	elsewhere := ""
	for _, shared := range all {
		told = append(told, fmt.Sprintf("%s (group %q)", shared.Address, shared.Group))
		ours := shared.Address == s.Self() && (s.Redis.LinkUp && s.Redis.Following == truth.Master || truth.Master == s.Self())
		if ours {
			elsewhere = shared.Group
		} else {
			foreign = append(foreign, shared.Group)
		}
	}
	text = fmt.Sprintf("the Sentinels of another group list Redis of this one too: %s; the failover of either group could promote it and put its data in the place of the other's, so its watchdog lets nobody promote it",
		strings.Join(told, ", "))
	if len(foreign) == 0 {
		return text, fmt.Sprintf("it is %s's: on a host of the other group, redis-watchdog status %s prints the lines by which those Sentinels forget it", x.group, elsewhere)
	}
	slices.Sort(foreign)
	owner := strings.Join(slices.Compact(foreign), " or ")
	return text, fmt.Sprintf("# where it is %[1]s's and not %[2]s's: when its ROLE names %[1]s's master (its watchdog sees to that within seconds), and while no backup runs:\n", owner, x.group) + x.resetLines()
}

// resetLines are the commands by which our Sentinels forget what is not theirs. Each
// has to have found the others again before the next one forgets them.
func (x *node) resetLines() string {
	var lines []string
	for _, w := range x.watcher.View().Sentinels {
		if host, port, err := net.SplitHostPort(w.Address); err == nil {
			lines = append(lines, fmt.Sprintf("redis-cli -h %s -p %s SENTINEL RESET %s", host, port, x.group))
		}
	}
	return strings.Join(lines, "\nsleep 20\n")
}
