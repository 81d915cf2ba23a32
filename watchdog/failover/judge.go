package failover

// What is missing until a step is done, by what etcd and the Sentinels show.

import (
	"fmt"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// inForce says that the order is, and that nobody else has changed the master.
func (f *Failover) inForce(v View) error {
	switch p := f.plan; {
	case v.Order != p.ID:
		return final("the order was taken back, or ran out")
	case v.Master != p.From || v.Holder != p.From:
		return final("the master changed meanwhile: etcd names %s, the grant is held by %q", v.Master, v.Holder)
	}
	return nil
}

// ready says what is missing until only To can be promoted.
func (f *Failover) ready(v View, sentinels []Sentinel) error {
	p := f.plan
	from, to := v.Answers[p.From], v.Answers[p.To]
	switch {
	case from.ID != p.ID:
		return fmt.Errorf("the watchdog of the master %s has not answered", p.From)
	case to.ID != p.ID:
		return fmt.Errorf("the watchdog of %s has not answered", p.To)
	case from.Fault != "" || from.Role != "master":
		return fmt.Errorf("the master %s: %s %s", p.From, from.Role, from.Fault)
	case to.Barred:
		return final("%s has a replica-priority of 0 by its operator: Sentinel never promotes it; there: CONFIG SET replica-priority 100", p.To)
	case to.Fault != "" || to.Role != "replica" || !to.LinkUp || to.Following != p.From:
		return fmt.Errorf("%s is a %s of %s, its link up: %v %s", p.To, to.Role, to.Following, to.LinkUp, to.Fault)
	case to.Vetoed:
		return fmt.Errorf("%s is vetoed by its own preflight", p.To)
	}
	for _, other := range p.Others {
		if a := v.Answers[other]; a.ID == p.ID && a.Vetoed || excluded(sentinels, other) {
			continue
		}
		return fmt.Errorf("%s is not seen to be vetoed: Sentinel might promote it; its watchdog must run (systemctl status redis-watchdog there)", other)
	}
	return nil
}

// excluded says that no Sentinel that answers would promote it.
func excluded(sentinels []Sentinel, a watchdog.Address) bool {
	asked := 0
	for _, s := range sentinels {
		if !s.Answering {
			continue
		}
		asked++
		for _, replica := range s.Replicas {
			if replica.Address == a && replica.Priority != 0 && !replica.Down {
				return false
			}
		}
	}
	return asked > 0
}

// choose is the address of a Sentinel that will do it now, by what it shows.
func choose(sentinels []Sentinel, p Plan) (string, error) {
	at, why := "", []string{}
	for _, s := range sentinels {
		switch unfit := unfit(s, p); {
		case s.Failover:
			return "", fmt.Errorf("sentinel %s shows a failover that is running", s.Address)
		case unfit == "" && at == "":
			at = s.Address
		case unfit != "":
			why = append(why, s.Address+" "+unfit)
		}
	}
	if at == "" {
		return "", fmt.Errorf("no Sentinel would do it: %s", strings.Join(why, ", "))
	}
	return at, nil
}

// unfit says why a Sentinel would not do it; empty: it would.
func unfit(s Sentinel, p Plan) string {
	switch {
	case !s.Answering:
		return "does not answer"
	case s.Tilt:
		return "is in TILT"
	case s.Master != p.From:
		return "names " + string(s.Master)
	}
	for _, replica := range s.Replicas {
		switch {
		case replica.Address != p.To:
		case replica.Down:
			return "holds " + string(p.To) + " down"
		case replica.Priority == 0:
			return "still shows " + string(p.To) + " with priority 0"
		default:
			return ""
		}
	}
	return "does not list " + string(p.To)
}

// behind says what is missing until the writers are stopped and To has all they
// wrote.
func (f *Failover) behind(now watchdog.Instant, v View) error {
	if err := f.inForce(v); err != nil {
		return err
	}
	p := f.plan
	from, to := v.Answers[p.From], v.Answers[p.To]
	if from.ID != p.ID || !from.Stop || !from.Held || from.Role != "master" {
		return fmt.Errorf("the writers of %s are not seen to be stopped", p.From)
	}
	if f.result.Times.Held == 0 {
		f.result.Times.Held = f.since(now)
	}
	if to.ID != p.ID || !to.Stop || !to.LinkUp || to.Following != p.From || to.Offset < from.Offset {
		return fmt.Errorf("%s has not all of its data: offset %d of %d", p.To, to.Offset, from.Offset)
	}
	f.result.Offset = from.Offset
	return nil
}

// progress notes how far it has come; nil: to the end.
func (f *Failover) progress(now watchdog.Instant, e Event) error {
	p, v, t := f.plan, e.View, &f.result.Times
	to := v.Answers[p.To]
	for _, step := range []struct {
		seen bool
		at   *time.Duration
	}{
		{to.ID == p.ID && to.Role == "master" || v.Master == p.To, &t.Promoted},
		{v.Master == p.To, &t.Agreed},
		{v.Holder == p.To, &t.Granted},
		{v.Holder == p.To && to.ID == p.ID && to.Serving, &t.Opened},
	} {
		if step.seen && *step.at == 0 {
			*step.at = f.since(now)
		}
	}
	switch {
	case t.Opened != 0, t.Granted != 0 && v.Order != p.ID: // then there are no answers any more
		return nil
	case t.Granted != 0:
		return fmt.Errorf("%s holds the grant, and is not seen to accept writes", p.To)
	case t.Agreed != 0:
		return fmt.Errorf("etcd names %s, the grant is held by %q", p.To, v.Holder)
	case t.Promoted != 0:
		return fmt.Errorf("%s is promoted, and no majority of the Sentinels names it yet", p.To)
	case now.Sub(f.askedAt) <= max(abortedAfter, p.DownAfter/2):
	case !running(e.Sentinels, p.From):
		return final("Sentinel gave its failover up (see its log for -failover-abort)")
	case !f.ended:
		return &finalError{text: fmt.Sprintf("%s does not turn master (%s)", p.To, to.Fault), stuck: true}
	}
	return fmt.Errorf("%s is not promoted yet", p.To)
}

// running says whether a Sentinel shows a failover of from, or has ended one.
func running(sentinels []Sentinel, from watchdog.Address) bool {
	for _, s := range sentinels {
		if s.Failover || s.Answering && s.Master != from {
			return true
		}
	}
	return false
}
