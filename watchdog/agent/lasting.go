package agent

// What of a status is worth writing down for others: what stays as it is while
// nothing happens. An age grows by itself, and says nothing new.

import (
	"reflect"
	"slices"
	"time"
)

// Lasting is the status without what passes by itself: ages and times that
// remain are -1, which is "not told". It is what a node publishes.
func (s Status) Lasting() Status {
	s.LagSeconds, s.GrantRemaining, s.Deadline, s.EarliestPromotion = -1, -1, -1, -1
	s.CoordinatorAge, s.Maintenance = -1, -1
	s.Faults, s.Sentinels = slices.Clone(s.Faults), slices.Clone(s.Sentinels)
	for i := range s.Sentinels {
		s.Sentinels[i].AgeSeconds = -1
	}
	none := Status{}
	s.Redis, s.Coordinator, s.Want = none.Redis, none.Coordinator, none.Want
	return s
}

// News is how much one lasting status says that another did not.
type News int

// The News, the least first.
const (
	Nothing News = iota
	Wording      // the text of a fault, or why a Sentinel does not answer
	Witness      // what the Sentinels say
	Matter       // anything else
)

// NewsOf compares two lasting statuses.
func NewsOf(before, now Status) News {
	level := Matter
	for _, without := range []func(Status) Status{withoutWitnesses, withoutWording, func(s Status) Status { return s }} {
		if !reflect.DeepEqual(without(before), without(now)) {
			return level
		}
		level--
	}
	return Nothing
}

func withoutWording(s Status) Status {
	s.Faults, s.Sentinels = slices.Clone(s.Faults), slices.Clone(s.Sentinels)
	for i := range s.Faults {
		s.Faults[i].Text, s.Faults[i].Remedy, s.Faults[i].Since = "", "", time.Time{}
	}
	for i := range s.Sentinels {
		s.Sentinels[i].Error = ""
	}
	return s
}

func withoutWitnesses(s Status) Status {
	s = withoutWording(s)
	s.Sentinels = nil
	s.SentinelsAnswering, s.SentinelsAgreeing, s.PromotableReplicas = 0, 0, 0
	return s
}

const (
	witnessesApart = 5 * time.Second // at least, between what is published for their sake
	wordingApart   = time.Minute     // likewise
	mattersApart   = 5 * time.Second // on the long run, of what comes again and again
	mattersAtOnce  = 5               // of them that need not wait for it
)

// Told decides when a node has something to publish. The zero Told has published
// nothing. It is not for several goroutines.
type Told struct {
	last  Status
	at    time.Time // of the last; zero: none
	spent []time.Time
}

// Due is whether now, a lasting status, is to be published, and takes it for
// published then. A state that changes again and again is told a handful of
// times at once, and every few seconds from then on: its last is always told.
func (t *Told) Due(now Status, at time.Time) bool {
	news := NewsOf(t.last, now)
	switch since := at.Sub(t.at); {
	case t.at.IsZero():
	case news == Nothing,
		news == Wording && since < wordingApart,
		news == Witness && since < witnessesApart:
		return false
	}
	t.spent = slices.DeleteFunc(t.spent, func(s time.Time) bool { return at.Sub(s) >= mattersApart*mattersAtOnce })
	if len(t.spent) >= mattersAtOnce && at.Sub(t.at) < mattersApart {
		return false
	}
	t.spent = append(t.spent, at)
	t.last, t.at = now, at
	return true
}
