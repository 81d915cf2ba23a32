package watched

import (
	"fmt"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/lab"
)

// Churn counts what goes on in a group that should be quiet.
type Churn struct {
	w     *World
	roles []*lab.RoleWatch
	began Counts
}

// Counts of a Churn.
type Counts struct {
	Roles    int // changes of a Redis' role, ROLE's first word
	Switches int // +switch-master in the logs of all Sentinels
	Down     int // +sdown of the master there
	Stopped  int // decisions of the watchdogs to lock or refuse
	Held     int // to hold: writers wait a moment and get no error
}

// Quiet says that nothing happened that a client or an operator would notice.
// A hold is none of it: on a machine that stalls, half a second without an
// answer from anybody is all it takes, and no command fails of it.
func (c Counts) Quiet() bool { return c.Roles == 0 && c.Switches == 0 && c.Down == 0 && c.Stopped == 0 }

func (c Counts) String() string {
	return fmt.Sprintf("%d role changes, %d +switch-master, %d +sdown of a master, %d decisions to lock or refuse, %d to hold",
		c.Roles, c.Switches, c.Down, c.Stopped, c.Held)
}

// Churn begins to count.
func (w *World) Churn() *Churn {
	c := &Churn{w: w, roles: w.Group.WatchRoles()}
	c.began = c.total()
	return c
}

// Counts is what has happened since.
func (c *Churn) Counts() Counts {
	now := c.total()
	return Counts{now.Roles - c.began.Roles, now.Switches - c.began.Switches, now.Down - c.began.Down, now.Stopped - c.began.Stopped, now.Held - c.began.Held}
}

func (c *Churn) total() Counts {
	var n Counts
	for _, watch := range c.roles {
		last := ""
		for _, change := range watch.Changes() {
			if name := change.Role.Name; name != "" {
				if last != "" && name != last {
					n.Roles++
				}
				last = name
			}
		}
	}
	for _, s := range c.w.Group.Sentinels {
		text := s.Text()
		n.Switches += strings.Count(text, "+switch-master")
		n.Down += strings.Count(text, "+sdown master")
	}
	for _, d := range c.w.Watchdogs {
		for _, v := range d.Decided() {
			n.Held += strings.Count(v.Line, " to=hold ")
			n.Stopped += strings.Count(v.Line, " to=lock ") + strings.Count(v.Line, " to=refuse ")
		}
	}
	return n
}
