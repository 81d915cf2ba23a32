package sim

import (
	"errors"
	"strconv"
	"time"

	tally "github.com/redis-watchdog/redis-watchdog/sentinel"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/failover"
)

// The operator's command, redis-watchdog failover: what it does next is decided
// by the product's own watchdog/failover, and what comes of it happens here. What
// the watchdogs make of its order is the core's.

const (
	askEtcd     = 3 * sec
	askSentinel = 2 * sec
)

type outcome uint8

const (
	underWay outcome = iota
	refused          // it could not begin
	killed
	undone
	unclear
	handedOver
	overtaken // undone, and then the failover went through
	outcomes  // how many there are
)

func (o outcome) String() string {
	return [...]string{"under way", "refused", "killed", "undone", "unclear", "done", "undone and then promoted"}[o]
}

// command is one planned failover. It is a process on some host.
type command struct {
	proc
	id, from, to int
	downAfter    time.Duration
	steps        *failover.Failover

	words       []word // by Sentinel
	at          int    // the Sentinel; -1: none is chosen yet
	interrupted bool   // the operator does not want it any more
	outcome     outcome
	why         string
	onStep      func(step string)

	promoted *redis  // to, by this command's failover; nil: not yet
	had      dataset // what it had then
}

// word is one Sentinel's last answer.
type word struct {
	tally.Answer
	polling int
}

func (o *word) fresh(now watchdog.Instant) bool { return o.SentAt != 0 && now.Sub(o.SentAt) < sec }

func (o *word) failing() bool {
	m := o.Master
	return (m.Has(tally.FlagFailover) || m.Failover != tally.FailoverNone) && m.Failover < tally.FailoverReconf
}

func (c *command) now() watchdog.Instant { return c.w.hosts[c.host].clock(c.w) }

// newCommand is an operator who wants another master.
func newCommand(w *World, host, to int) *command {
	n := len(w.commands) + 1
	c := &command{proc: proc{w: w, name: "cmd" + strconv.Itoa(n), host: host}, id: n, to: to, at: -1, onStep: func(string) {}}
	c.words = make([]word, w.Sentinels)
	c.downAfter = w.sents[0].conf.downAfter
	for _, s := range w.sents {
		c.downAfter = min(c.downAfter, s.conf.downAfter)
	}
	w.commands = append(w.commands, c)
	c.start()
	return c
}

// etcd asks it something; nothing runs after too long a silence but late.
func (c *command) etcd(limit time.Duration, do func(e *etcd) func(), late func()) {
	e, done := c.w.etcd, false
	c.ask(&e.proc, func() func() {
		then := do(e)
		return func() {
			if e.wait != 0 {
				c.after(c.w.between(e.wait/2, e.wait), func() {
					if !done {
						done = true
						then()
					}
				})
			} else if !done {
				done = true
				then()
			}
		}
	})
	c.after(limit, func() {
		if !done {
			done = true
			late()
		}
	})
}

// begin orders it, from whoever etcd names.
func (c *command) begin() {
	c.etcd(askEtcd, func(e *etcd) func() {
		from := idOf(e.agreement.Master)
		return func() {
			if from < 0 || from == c.to {
				c.end(refused, "etcd")
				return
			}
			c.from = from
			plan := failover.Plan{ID: strconv.Itoa(c.id), From: address(c.from), To: address(c.to), DownAfter: c.downAfter}
			for i := range c.w.redis {
				if i != c.from && i != c.to {
					plan.Others = append(plan.Others, address(i))
				}
			}
			c.steps = failover.New(plan)
			c.pollSentinels()
			c.came(failover.Event{})
		}
	}, func() { c.end(refused, "etcd is silent") })
}

func (c *command) step(name string) {
	c.w.logf(c.name, "%s R%d -> R%d", name, c.from, c.to)
	c.onStep(name)
	c.w.stepped(c.from, c.to)
}

func (c *command) end(o outcome, why string) {
	if c.outcome != underWay {
		return
	}
	c.outcome, c.why = o, why
	c.w.logf(c.name, "%s: %s", o, why)
	c.w.check.commanded(c)
	c.kill()
}

// came carries out the next step.
func (c *command) came(e failover.Event) {
	a := c.steps.Next(c.now(), e)
	if a.Say != "" {
		c.w.logf(c.name, "%s", a.Say)
	}
	switch limit := c.limit(a); a.Kind {
	case failover.Begin:
		c.request(limit, func(e *etcd) bool { return e.beginOrder(order{id: c.id, from: c.from, to: c.to}, a.Lasts) })
		c.step("prepare")
	case failover.Stop:
		c.step("stop")
		c.request(limit, func(e *etcd) bool { return e.stopOrder(c.id, a.Lasts) })
	case failover.End:
		c.request(limit, func(e *etcd) bool { e.endOrder(c.id); return true })
	case failover.Look:
		c.after(a.After, func() { c.look(a) })
	case failover.FailOver:
		c.at = sentinelOf(a.Sentinel)
		c.step("fail over")
		c.command(limit, func(s *sentinel) bool { return s.failoverFor(c) }, func(e failover.Event) {
			if e.Failure == failover.Unanswered { // or done
				c.step("follow")
			}
			c.came(e)
		})
	case failover.SetTimeout:
		c.step("failover-timeout " + a.Timeout.String())
		c.command(limit, func(s *sentinel) bool { s.conf.failoverTimeout = a.Timeout; return true }, c.came)
	case failover.Finish:
		c.end(outcomeOf(a))
	}
}

func outcomeOf(a failover.Action) (outcome, string) {
	if a.Err != nil {
		return refused, a.Err.Error()
	}
	switch a.Result.Outcome {
	case failover.Done:
		return handedOver, a.Result.Text
	case failover.Undone:
		return undone, a.Result.Text
	}
	return unclear, a.Result.Text
}

// limit is how long etcd or a Sentinel has to answer.
func (c *command) limit(a failover.Action) time.Duration {
	limit := askEtcd
	if a.Kind == failover.FailOver || a.Kind == failover.SetTimeout {
		limit = askSentinel
	}
	if a.Until != 0 {
		limit = max(min(limit, a.Until.Sub(c.now())), 0)
	}
	return limit
}

var (
	errSilent  = errors.New("no answer")
	errRefused = errors.New("refused")
)

// request has etcd write something.
func (c *command) request(limit time.Duration, do func(e *etcd) bool) {
	c.etcd(limit, func(e *etcd) func() {
		ok := do(e)
		return func() {
			if ok {
				c.came(failover.Event{})
			} else {
				c.came(failover.Event{Err: errRefused})
			}
		}
	}, func() { c.came(failover.Event{Err: errSilent}) })
}

// look reads etcd, and what was last heard of the Sentinels.
func (c *command) look(a failover.Action) {
	if c.interrupted && !a.Through {
		c.came(failover.Event{Interrupted: true})
		return
	}
	c.etcd(c.limit(a), func(e *etcd) func() {
		v := e.viewOrder()
		return func() { c.came(failover.Event{View: c.seen(v), Sentinels: c.sentinels()}) }
	}, func() { c.came(failover.Event{Err: errSilent, Sentinels: c.sentinels()}) })
}

// seen is what etcd shows.
func (c *command) seen(v orderView) failover.View {
	to := failover.View{Master: v.agreed, Answers: map[watchdog.Address]failover.Answer{}}
	if v.id != 0 {
		to.Order = strconv.Itoa(v.id)
	}
	if v.holder >= 0 {
		to.Holder = address(v.holder)
	}
	for i := range c.w.redis {
		a := v.answers[i]
		if a.id == 0 {
			continue
		}
		answer := failover.Answer{
			ID: strconv.Itoa(a.id), Stop: a.stop, Role: a.role.String(), Following: a.following, LinkUp: a.linkUp,
			Vetoed: a.vetoed, Held: a.held, Serving: a.serving, Offset: a.offset,
		}
		if !a.up {
			answer.Fault = "Redis does not answer"
		}
		// What would be so if a step did not wait for it.
		if b := c.w.Breakage; (b.noWaitEqual || b.noStop) && v.stop {
			answer.Stop, answer.Held, answer.Offset = true, true, 0
			answer.LinkUp, answer.Following = i != c.from, address(c.from)
		}
		to.Answers[address(i)] = answer
	}
	return to
}

// sentinels are they as they were last heard.
func (c *command) sentinels() []failover.Sentinel {
	all := make([]failover.Sentinel, len(c.words))
	for i := range c.words {
		s := &c.words[i]
		to := failover.Sentinel{
			Address: sentinelKey(i), Answering: s.fresh(c.now()), Tilt: s.Tilt, Failover: s.failing(),
			Master: s.Named, Timeout: s.Master.FailoverTimeout,
		}
		for _, r := range s.Replicas {
			to.Replicas = append(to.Replicas, failover.Replica{
				Address: r.Address, Priority: r.Priority, Down: r.Has(tally.FlagSDown) || r.Has(tally.FlagDisconnected),
			})
		}
		all[i] = to
	}
	return all
}

func sentinelOf(key string) int {
	for i := range 8 {
		if sentinelKey(i) == key {
			return i
		}
	}
	panic("no Sentinel is called " + key)
}

// command has its Sentinel do something, on a connection of its own: nothing is
// sent before that stands.
func (c *command) command(limit time.Duration, do func(*sentinel) bool, then func(failover.Event)) {
	s, sent, ended := c.w.sents[c.at], false, false
	end := func(e failover.Event) {
		if !ended {
			ended = true
			then(e)
		}
	}
	c.ask(&s.proc, func() func() {
		return func() {
			if ended {
				return
			}
			sent = true
			c.ask(&s.proc, func() func() {
				ok := do(s)
				return func() {
					if ok {
						end(failover.Event{})
					} else {
						end(failover.Event{Err: errRefused, Failure: failover.Refused})
					}
				}
			})
		}
	})
	c.after(limit, func() {
		if sent {
			end(failover.Event{Err: errSilent})
		} else {
			end(failover.Event{Err: errSilent, Failure: failover.NotSent})
		}
	})
}

// pollSentinels is its Watcher.
func (c *command) pollSentinels() {
	for i := range c.words {
		o, s := &c.words[i], c.w.sents[i]
		if c.w.walled(i) {
			continue // it runs beside a watchdog
		}
		if o.polling > 0 {
			o.polling--
			continue
		}
		o.polling = 5
		sent := c.now()
		c.ask(&s.proc, func() func() {
			a := s.answer()
			a.SentAt = sent
			return func() { *o = word{Answer: a} }
		})
	}
	c.after(100*ms, c.pollSentinels)
}
