package sentinel

// Two Sentinels with one id: the image of a host was cloned, with its sentinel.conf.
// Each takes the other's messages for its own and leaves them unread. All others
// know one of them, at the address that it told last, and so now the one, now the
// other: at every hello of either they see their peer move (sentinel.c,
// sentinelProcessHelloMessage, +sentinel-address-switch). They count once, and both
// may hold the master down, vote, and lead a failover.

import (
	"fmt"
	"slices"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/sorted"
)

// twins says that two processes have one id, as their INFO tells. At one address it
// is one that was started again.
func twins(a, b *Member) bool {
	return a.RunID != "" && a.RunID == b.RunID && a.process != "" && b.process != "" && a.process != b.process &&
		(a.Address == "" || a.Address != b.Address)
}

// mayBeTwins says that there are two of their id, as another Sentinel shows, and one
// has not told yet which process it is.
func (s *State) mayBeTwins(a, b *Member) bool {
	return a.RunID == b.RunID && a.Address != b.Address && (a.process == "" || b.process == "") && s.alternates(a.RunID, s.now) != nil
}

// place is where a Sentinel lists one of the others.
type place struct {
	id         string
	at, before Peer
	back       [2]watchdog.Instant // when it was last listed again where it had been before, and the time before that
}

// hearPlaces notes who is listed where. One that moves is at its new address from
// then on; only two of one id are at the old one again, and again.
func (m *Member) hearPlaces(peers []Peer, at watchdog.Instant) {
	for _, p := range peers {
		if p.RunID == "" || p.Address == "" {
			continue
		}
		i := slices.IndexFunc(m.places, func(l place) bool { return l.id == p.RunID })
		if i < 0 {
			if len(m.places) >= maxSentinels {
				m.places = slices.Delete(m.places, 0, 1)
			}
			m.places = append(m.places, place{id: p.RunID, at: p})
			continue
		}
		l := &m.places[i]
		if l.at.Dial == p.Dial { // a name may be resolved to many
			continue
		}
		if l.before.Dial == p.Dial {
			l.back = [2]watchdog.Instant{at, l.back[0]}
		}
		l.at, l.before = p, l.at
	}
}

// alternates is where a Sentinel of that id is listed in turns, sorted; nil: it is
// at one address, or has moved. It stands for twice shrinkAfter: the lists are read
// every few seconds, and may show the same one several times.
func (s *State) alternates(id string, now watchdog.Instant) []watchdog.Address {
	for i := range s.Members {
		for _, l := range s.Members[i].places {
			if l.id == id && id != "" && l.back[1] != 0 && now.Sub(l.back[1]) < 2*shrinkAfter {
				return slices.Sorted(slices.Values([]watchdog.Address{l.at.Address, l.before.Address}))
			}
		}
	}
	return nil
}

// alone says that no other Sentinel has its id.
func (s *State) alone(m *Member, now watchdog.Instant) bool {
	return s.alternates(m.RunID, now) == nil && !slices.ContainsFunc(s.Members, func(o Member) bool { return twins(&o, m) })
}

// reunite makes one again of two that have one id, once the process of one has not
// been heard for shrinkAfter: it was started again elsewhere. Two that are configured
// stay two, whether they answer or not.
func (s *State) reunite(now watchdog.Instant) {
	for i := range s.Members {
		m := &s.Members[i]
		heard := m.Last.SentAt.Max(s.Began).Max(m.metAt)
		if m.RunID == "" || heard == 0 || now.Sub(heard) < shrinkAfter || s.alternates(m.RunID, now) != nil ||
			!slices.ContainsFunc(s.Members, func(o Member) bool { return o.Key != m.Key && o.RunID == m.RunID && !(o.Configured && m.Configured) }) {
			continue
		}
		m.process = ""
		s.Met(m.Key, m.RunID, "", "")
		return // the next one at the next turn
	}
}

// sameIDs are the Sentinels that have one id.
func (s *State) sameIDs(group string, now watchdog.Instant) (faults []Fault) {
	by := map[string][]string{}
	add := func(id string, at watchdog.Address) {
		if at != "" && !slices.Contains(by[id], string(at)) {
			by[id] = append(by[id], string(at))
		}
	}
	for i := range s.Members {
		m := &s.Members[i]
		for _, at := range s.alternates(m.RunID, now) {
			add(m.RunID, at)
		}
		if s.fresh(m, now) && slices.ContainsFunc(s.Members, func(o Member) bool { return twins(&o, m) && s.fresh(&o, now) }) {
			add(m.RunID, m.Address)
		}
	}
	for id, at := range by {
		slices.Sort(at)
		faults = append(faults, Fault{ID: "sentinel_same_id", Severity: severityWarning,
			Text:   fmt.Sprintf("the sentinels at %s of group %q have one id (%s), as those of a cloned host have: they do not know each other, and the others know only one of them, so that the group counts fewer sentinels than run, and a failover may find no majority", strings.Join(at, ", "), group, id),
			Remedy: fmt.Sprintf("stop the sentinel at %s, remove the line \"sentinel myid %s\" from its sentinel.conf, start it: it takes a new id, and the others learn of it within seconds (no SENTINEL RESET is needed)", at[len(at)-1], id)})
	}
	sorted.By(faults, func(a, b Fault) int { return strings.Compare(a.Text, b.Text) })
	return faults
}
