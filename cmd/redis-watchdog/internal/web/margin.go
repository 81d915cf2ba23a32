package web

import (
	"fmt"

	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// marginView is the promise as it stands at one Redis: its fence must fire
// before its grant ends and before the Sentinels can promote another.
type marginView struct {
	Node string
	Bars []bar
	Text string
	Late bool // the fence would not fire first
}

// bar is a span of time from now on, as a share of the longest.
type bar struct {
	Label, Value string
	Class        string
	Width        float64 // of 100
}

// margin is for a Redis that holds a grant or under an armed fence.
func margin(n agent.Status) (marginView, bool) {
	if n.Deadline < 0 && !(n.GrantOurs && n.GrantRemaining > 0) {
		return marginView{}, false
	}
	longest := max(n.DownAfter, n.Deadline, n.GrantRemaining, n.EarliestPromotion, 0.001)
	add := func(label, class string, s float64, never string) bar {
		if s < 0 {
			width := 0.0
			if class == "promotion" {
				width = 100
			}
			return bar{Label: label, Value: never, Class: class, Width: width}
		}
		return bar{Label: label, Value: seconds(s), Class: class, Width: 100 * s / longest}
	}
	grant := n.GrantRemaining
	if !n.GrantOurs || grant <= 0 {
		grant = -1
	}
	m := marginView{Node: n.Node, Bars: []bar{
		add("its fence fires, unless put off", "fence", n.Deadline, "none is armed"),
		add("its grant ends", "grant", grant, "none in force"),
		add("Sentinels could promote another", "promotion", n.EarliestPromotion, "never"),
	}}
	switch {
	case n.Deadline < 0:
		m.Text = "No fence is armed inside Redis: only a watchdog that is awake would fence it."
		m.Late = true
	case n.EarliestPromotion < 0:
		m.Text = "The Sentinels can promote nobody."
	default:
		spare := n.EarliestPromotion - n.Deadline
		m.Text = fmt.Sprintf("The fence comes %s before another could be promoted.", seconds(spare))
		if spare < 0 {
			m.Text = fmt.Sprintf("The fence comes %s after another could be promoted.", seconds(-spare))
			m.Late = true
		}
	}
	return m, true
}
