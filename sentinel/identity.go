package sentinel

// One Redis, however it is spelled: by an IP, an IPv6 address written in another
// way, or the name of a host.
//
// Where a name is resolved, or was resolved once (on disk, over restarts), it is
// its IP from the parser on. A name that never was is nobody that is known, until
// a Sentinel shows a run id beside it that is known from elsewhere: from another
// Sentinel, or from what this watchdog remembers of its own Redis.

import (
	"slices"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// alias is an address whose host cannot be resolved, and which one it is.
type alias struct{ spelled, is watchdog.Address }

// Told takes in where the Redis with that run id was in an earlier life. What the
// Sentinels say comes first.
func (s *State) Told(id string, of watchdog.Address) {
	if id == "" || !resolved(of) || slices.Contains(s.told, runID{of, id}) {
		return
	}
	if len(s.told) >= maxRunIDs {
		s.told = slices.Delete(s.told, 0, 1)
	}
	s.told = append(s.told, runID{of, id})
}

// identify puts in what each name is that could not be resolved, as far as a run
// id ever told. A name without a run id is who it was: SENTINEL RESET and a
// failover make a Sentinel forget run ids for some seconds.
func (s *State) identify(a *Answer) {
	s.identifyOne(&a.Master)
	for i := range a.Replicas {
		s.identifyOne(&a.Replicas[i])
	}
	a.Named = s.whose(a.Named)
}

func (s *State) identifyOne(in *Instance) {
	if in.Address == "" || resolved(in.Address) {
		return
	}
	if in.RunID != "" {
		s.learnAlias(in.Address, s.addressOf(in.RunID))
	}
	in.Address = s.whose(in.Address)
}

// learnAlias: an empty address is another Redis than the one that was there, and
// not known.
func (s *State) learnAlias(spelled, is watchdog.Address) {
	i := slices.IndexFunc(s.aliases, func(a alias) bool { return a.spelled == spelled })
	switch {
	case i >= 0 && is == "":
		s.aliases = slices.Delete(s.aliases, i, i+1)
	case i >= 0:
		s.aliases[i].is = is
	case is != "":
		if len(s.aliases) >= maxRunIDs {
			s.aliases = slices.Delete(s.aliases, 0, 1)
		}
		s.aliases = append(s.aliases, alias{spelled, is})
	}
}

// whose is the address that the spelled one is known to be; itself where it is
// not known, or has an IP.
func (s *State) whose(spelled watchdog.Address) watchdog.Address {
	if spelled == "" || resolved(spelled) {
		return spelled
	}
	for _, a := range s.aliases {
		if a.spelled == spelled {
			return a.is
		}
	}
	return spelled
}

// addressOf is where the Redis with that run id is; empty: not known.
func (s *State) addressOf(id string) watchdog.Address {
	for _, all := range [2][]runID{s.runIDs, s.told} {
		for _, r := range slices.Backward(all) {
			if r.id == id && resolved(r.of) {
				return r.of
			}
		}
	}
	return ""
}

// unresolved are the names in the newest answers of which it is not known whose
// they are, as they are spelled.
func (s *State) unresolved(now watchdog.Instant) (all []string) {
	see := func(a watchdog.Address, as string) {
		if a != "" && !resolved(a) && !slices.Contains(all, as) {
			all = append(all, as)
		}
	}
	for i := range s.Members {
		m := &s.Members[i]
		if !s.fresh(m, now) {
			continue
		}
		see(m.Last.Named, m.Last.As)
		for _, r := range m.Last.Replicas {
			see(r.Address, r.As)
		}
	}
	slices.Sort(all)
	return all
}

// spelled is how most Sentinels spell that Redis, by name where as many do;
// empty: none shows it. Those that name it as the master come first.
func (s *State) spelled(of watchdog.Address) string {
	votes := map[string]int{}
	for i := range s.Members {
		a := &s.Members[i].Last
		switch {
		case a.Named == of:
			votes[a.As] += maxSentinels
		case a.Master.Address == of:
			votes[a.Master.As]++
		default:
			if j := slices.IndexFunc(a.Replicas, func(r Instance) bool { return r.Address == of }); j >= 0 {
				votes[a.Replicas[j].As]++
			}
		}
	}
	delete(votes, "")
	best := ""
	for as, n := range votes {
		name := !resolved(watchdog.Address(as))
		switch was := !resolved(watchdog.Address(best)); {
		case best == "" || n > votes[best], n == votes[best] && name && !was, n == votes[best] && name == was && as < best:
			best = as
		}
	}
	return best
}

// Same is the one spelling of a Redis' address; empty: its host is a name that
// was never resolved, so that it is not known whose it is. It waits for nothing.
func (w *Watcher) Same(spelled watchdog.Address) watchdog.Address {
	a := w.names.Same(string(spelled))
	if a == "" || resolved(a) {
		return a
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if a = w.state.whose(a); resolved(a) {
		return a
	}
	return ""
}

// Spelled is how the Sentinels spell that Redis, for a REPLICAOF: what they name
// by its host's name shall stand in redis.conf by its name. While the name cannot
// be resolved here it is the address itself: Redis could not follow the name.
func (w *Watcher) Spelled(of watchdog.Address) watchdog.Address {
	w.mu.Lock()
	as := w.state.spelled(of)
	w.mu.Unlock()
	if as == "" || !w.names.Answers(as) || strings.ContainsAny(as, " \r\n") {
		return of
	}
	return watchdog.Address(as)
}

// Names are the IPs that were found for names, and a number that is another
// whenever they are: what is to be kept for Config.Names.
func (w *Watcher) Names() (names map[string]string, news uint64) { return w.names.Found() }

// NamesNews is the number that Names would tell.
func (w *Watcher) NamesNews() uint64 { return w.names.News() }

// Recall tells how the Sentinels called the Redis in an earlier life. Before Run.
func (l *Local) Recall(self watchdog.Address) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	l.before = self
}
