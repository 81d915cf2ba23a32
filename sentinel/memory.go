package sentinel

// What a restart of the watchdog must not forget: with it the Sentinels that
// cannot be asked would have to be heard anew before they count.

import (
	"slices"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Memory is what a State knew, of this boot alone: its Instants mean nothing to
// another. The zero Memory knows nothing.
type Memory struct {
	Sentinels []Remembered `json:"sentinels"`
}

// Remembered is one Sentinel.
type Remembered struct {
	Key       string           `json:"key"`
	RunID     string           `json:"run_id"`
	Process   string           `json:"process,omitempty"`
	Address   watchdog.Address `json:"address"`
	Quorum    int              `json:"quorum"`
	DownAfter time.Duration    `json:"down_after"`
	Pings     []RememberedPing `json:"pings,omitempty"`
}

// RememberedPing is the newest PING of that Sentinel that counts, at one of our
// Redis.
type RememberedPing struct {
	Of     watchdog.Address `json:"of"`
	At     watchdog.Instant `json:"at"`
	SeenAt watchdog.Instant `json:"seen_at"`
}

// Remember is what is to be kept.
func (s *State) Remember() (all Memory) {
	for i := range s.Members {
		m := &s.Members[i]
		one := Remembered{Key: m.Key, RunID: m.RunID, Process: m.process, Address: m.Address, Quorum: m.quorum, DownAfter: m.downAfter}
		for _, p := range m.pings {
			if p.at != 0 {
				one.Pings = append(one.Pings, RememberedPing{p.of, p.at, p.seenAt})
			}
		}
		all.Sentinels = append(all.Sentinels, one)
	}
	return all
}

// Recall takes in what an earlier life of this boot knew. It makes nobody known
// that is not.
func (s *State) Recall(all Memory) {
	for _, one := range all.Sentinels {
		i := slices.IndexFunc(s.Members, func(m Member) bool { return m.Key == one.Key }) // first: two may have one id
		if i < 0 {
			i = slices.IndexFunc(s.Members, func(m Member) bool {
				return one.RunID != "" && m.RunID == one.RunID || one.Address != "" && m.Address == one.Address
			})
		}
		if i < 0 {
			s.recalled = append(s.recalled, one) // it may be met
			continue
		}
		s.Members[i].recall(one)
	}
}

func (m *Member) recall(one Remembered) {
	if m.RunID == "" {
		m.RunID = one.RunID
	}
	if m.RunID != one.RunID {
		return // another one is there now
	}
	if m.process == "" && m.Key == one.Key {
		m.process = one.Process
	}
	if m.quorum == 0 && one.Quorum > 0 {
		m.quorum = one.Quorum
	}
	if m.downAfter == 0 && one.DownAfter > 0 {
		m.downAfter = one.DownAfter
	}
	if len(m.pings) > 0 {
		return
	}
	for _, p := range one.Pings {
		if p.At > 0 && len(m.pings) < maxTerms {
			m.pings = append(m.pings, pinged{of: p.Of, at: p.At, seenAt: p.SeenAt, recalled: true})
		}
	}
}

// recallMet gives to one just met what was known of it.
func (s *State) recallMet(m *Member) {
	i := slices.IndexFunc(s.recalled, func(r Remembered) bool { return r.RunID != "" && r.RunID == m.RunID })
	if i >= 0 {
		m.recall(s.recalled[i])
		s.recalled = slices.Delete(s.recalled, i, i+1)
	}
}

// Remember is what is to be kept over a restart.
func (w *Watcher) Remember() Memory {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state.Remember()
}
