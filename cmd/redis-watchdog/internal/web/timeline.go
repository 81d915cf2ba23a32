package web

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
	"github.com/redis-watchdog/redis-watchdog/watchdog/sorted"
)

// episode is a stretch of decisions that belong together, of all nodes of a
// group: a failover, a fence, a start.
type episode struct {
	ID     string // stable while it grows
	Kind   string // failover, fence, hold, change
	Title  string
	When   string
	Lasted string
	Lanes  []lane
	Marks  []mark
	Steps  []stepView
	Left   int // steps that are not shown

	steps []agent.Step
}

type stepView struct {
	Time, Node, From, To, Why, Master, Evidence string
}

// lane is what one node's watchdog wanted over the episode.
type lane struct {
	Node     string
	Segments []segment
}

type segment struct {
	X, Width float64 // of laneWidth
	Access   string
}

// mark is the instant at which another master was named.
type mark struct{ X float64 }

const (
	quietFor      = 30 * time.Second // ends an episode
	episodesShown = 6
	stepsShown    = 16 // of one episode
	laneWidth     = 600.0
)

// episodes cuts the history, oldest first, into episodes, newest first.
func episodes(history []agent.Step) []episode {
	steps := slices.Clone(history)
	// Each node writes by its own clock.
	sorted.By(steps, func(a, b agent.Step) int { return a.Time.Compare(b.Time) })
	var all []episode
	var known named
	for i := 0; i < len(steps); {
		end := i + 1
		for end < len(steps) && steps[end].Time.Sub(steps[end-1].Time) < quietFor {
			end++
		}
		var e episode
		e, known = newEpisode(steps[i:end], known)
		all = append(all, e)
		i = end
	}
	slices.Reverse(all)
	return all[:min(len(all), episodesShown)]
}

// named is the newest master that anybody knew of.
type named struct {
	master string // empty: nobody
	term   term
}

// newEpisode tells one, and whom anybody knew to be named at its end.
func newEpisode(steps []agent.Step, known named) (episode, named) {
	first, last := steps[0], steps[len(steps)-1]
	e := episode{
		ID: fmt.Sprintf("e%d", first.Time.UnixNano()), steps: steps,
		When: clock(first.Time), Lasted: seconds(last.Time.Sub(first.Time).Seconds()),
	}
	before := known.master
	for _, s := range steps {
		if s.Master == "" {
			continue
		}
		if before == "" {
			before = s.Master
		}
		if t := termOf(s); known.master == "" || t.compare(known.term) >= 0 {
			known = named{s.Master, t}
		}
	}
	after := known.master
	e.Kind, e.Title = story(steps, before, after)
	e.draw(first.Time, last.Time, before, after)
	for i := len(steps) - 1; i >= 0 && len(e.Steps) < stepsShown; i-- {
		// One that only found another reason for the same is for `history`.
		if steps[i].From != steps[i].To || len(steps) == 1 {
			e.Steps = append(e.Steps, viewStep(steps[i]))
		}
	}
	e.Left = len(steps) - len(e.Steps)
	return e, known
}

func story(steps []agent.Step, before, after string) (kind, title string) {
	if after != before && before != "" {
		return "failover", fmt.Sprintf("Failover: %s → %s", before, after)
	}
	for _, to := range []string{"refuse", "hold"} {
		for _, s := range steps {
			if s.To != to {
				continue
			}
			if to == "hold" {
				return "hold", fmt.Sprintf("Writers of %s waited: %s", nodeOf(s), s.Reason)
			}
			return "fence", fmt.Sprintf("Fence of %s: %s", nodeOf(s), s.Reason)
		}
	}
	s := steps[len(steps)-1]
	if len(steps) == 1 {
		return "change", fmt.Sprintf("%s: %s", nodeOf(s), s.Reason)
	}
	return "change", fmt.Sprintf("%d decisions, the last of %s: %s", len(steps), nodeOf(s), s.Reason)
}

// draw lays the lanes out. A node wanted what its first step changes from until
// then, and what its last one changes to from then on.
func (e *episode) draw(from, to time.Time, before, after string) {
	span := to.Sub(from)
	pad := max(span/20, 100*time.Millisecond)
	from, to = from.Add(-pad), to.Add(pad)
	x := func(at time.Time) float64 { return laneWidth * float64(at.Sub(from)) / float64(to.Sub(from)) }
	byNode := map[string]int{}
	addressed := slices.ContainsFunc(e.steps, func(s agent.Step) bool { return s.Self != "" })
	for _, s := range e.steps {
		if s.Self == "" && addressed {
			continue // of whom it is was not known yet, and every host has a "default"
		}
		i, known := byNode[nodeOf(s)]
		if !known {
			i = len(e.Lanes)
			byNode[nodeOf(s)] = i
			e.Lanes = append(e.Lanes, lane{Node: nodeOf(s), Segments: []segment{{Access: s.From}}})
		}
		l := &e.Lanes[i]
		l.Segments[len(l.Segments)-1].Width = x(s.Time) - l.Segments[len(l.Segments)-1].X
		l.Segments = append(l.Segments, segment{X: x(s.Time), Access: s.To})
		if after != before && s.Master == after && len(e.Marks) == 0 {
			e.Marks = append(e.Marks, mark{X: x(s.Time)})
		}
	}
	sorted.By(e.Lanes, func(a, b lane) int { return cmp.Compare(a.Node, b.Node) })
	for i := range e.Lanes {
		l := &e.Lanes[i]
		l.Segments[len(l.Segments)-1].Width = laneWidth - l.Segments[len(l.Segments)-1].X
	}
}

func viewStep(s agent.Step) stepView {
	v := stepView{
		Time: s.Time.Local().Format("15:04:05.000"), Node: nodeOf(s), From: s.From, To: s.To,
		Why: fmt.Sprintf("%s (row %d)", s.Reason, s.Row), Master: orDash(s.Master),
		Evidence: fmt.Sprintf("%d of %d Sentinels agree", s.Votes, s.Known),
	}
	if s.CoordinatorAge >= 0 {
		v.Evidence += ", etcd heard " + seconds(s.CoordinatorAge) + " before"
	}
	if s.Before > 0 {
		v.Why += fmt.Sprintf(", and %d to and fro before", s.Before)
	}
	if s.Would != "" {
		v.Why += ", would " + s.Would
	}
	return v
}

func nodeOf(s agent.Step) string {
	if s.Self != "" {
		return s.Self
	}
	return orDash(s.Node)
}

// term orders what the nodes knew: one that was cut off wrote late what had
// been true before.
type term struct{ generation, epoch uint64 }

// termOf is zero where it cannot be read.
func termOf(s agent.Step) term {
	var t term
	if n, err := fmt.Sscanf(s.Term, "%d/%d", &t.generation, &t.epoch); n != 2 || err != nil {
		return term{}
	}
	return t
}

func (t term) compare(u term) int {
	return cmp.Or(cmp.Compare(t.generation, u.generation), cmp.Compare(t.epoch, u.epoch))
}
