package sim

import (
	"strconv"
	"time"

	tally "github.com/redis-watchdog/redis-watchdog/sentinel"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// The operator's command: redis-watchdog failover, after
// cmd/redis-watchdog/internal/handover, with its times. What the watchdogs make
// of its order is the core's.

const (
	prepareLasts = 16 * sec
	prepareTime  = 14 * sec
	vetoAge      = 1200 * ms
	followTime   = 15 * sec
	abortedAfter = 2500 * ms
	askEtcd      = 3 * sec
	askSentinel  = 2 * sec
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

	words     []word // by Sentinel
	view      orderView
	gives     watchdog.Instant // when the running step gives up
	vetoed    watchdog.Instant // since when only to can be promoted; zero: not
	stoppedAt watchdog.Instant
	askedAt   watchdog.Instant
	at        int // the Sentinel
	outcome   outcome
	why       string
	onStep    func(step string)

	stands   bool    // it may have stopped the writers
	equal    bool    // to was seen to have all that from acknowledged
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
		o := order{id: c.id, from: idOf(e.agreement.Master), to: c.to}
		ok := o.from >= 0 && o.from != o.to && e.beginOrder(o, prepareLasts)
		return func() {
			if !ok {
				c.end(refused, "etcd")
				return
			}
			c.from = o.from
			c.step("prepare")
			c.gives = c.now().Add(prepareTime)
			c.pollSentinels()
			c.prepare()
		}
	}, func() { c.end(refused, "etcd is silent") })
}

func (c *command) step(name string) {
	c.w.logf(c.name, "%s R%d -> R%d", name, c.from, c.to)
	c.onStep(name)
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

func (c *command) undo(why string) {
	c.etcd(5*sec, func(e *etcd) func() {
		e.endOrder(c.id)
		return func() { c.end(undone, why) }
	}, func() { c.end(undone, why+", not taken back") })
	c.gives = 0
}

// look reads etcd, and what is missing then; again in a while, until nothing is.
func (c *command) look(every time.Duration, missing func() (what string, final bool), next func(), late func(what string)) {
	c.etcd(askEtcd, func(e *etcd) func() {
		v := e.viewOrder()
		return func() {
			c.view = v
			what, final := missing()
			switch {
			case what == "":
				next()
			case final:
				c.undo(what)
			case c.now() >= c.gives:
				late(what)
			default:
				c.after(every, func() { c.look(every, missing, next, late) })
			}
		}
	}, func() {
		if c.now() >= c.gives {
			late("etcd is silent")
			return
		}
		c.look(every, missing, next, late)
	})
}

func (c *command) prepare() {
	c.look(100*ms, func() (string, bool) {
		if what := c.stood(); what != "" {
			return what, true
		}
		if what := c.ready(); what != "" {
			c.vetoed = 0
			return what, false
		}
		if c.vetoed == 0 {
			c.vetoed = c.now()
		}
		if c.now().Sub(c.vetoed) < vetoAge {
			return "the vetoes are young", false
		}
		return c.choose(), false
	}, c.stop, c.undo)
}

// stood says that the order does, and nobody else has changed the master.
func (c *command) stood() string {
	switch v := c.view; {
	case v.id != c.id:
		return "the order is gone"
	case v.agreed != address(c.from) || v.holder != c.from:
		return "the master changed"
	}
	return ""
}

func (c *command) ready() string {
	from, to := c.view.answers[c.from], c.view.answers[c.to]
	switch {
	case from.id != c.id || to.id != c.id:
		return "no answer"
	case !from.up || from.role != watchdog.Master:
		return "the master is not fine"
	case !to.up || to.role != watchdog.Replica || !to.linkUp || to.following != address(c.from):
		return "the chosen one is not fine"
	case to.vetoed:
		return "the chosen one is vetoed"
	}
	for i := range c.w.redis {
		if a := c.view.answers[i]; i != c.from && i != c.to && !(a.id == c.id && a.vetoed) && !c.shut(i) {
			return "R" + strconv.Itoa(i) + " could be promoted"
		}
	}
	return ""
}

func (c *command) shut(other int) bool {
	asked := 0
	for i := range c.words {
		s := &c.words[i]
		if !s.fresh(c.now()) {
			continue
		}
		asked++
		for _, r := range s.Replicas {
			if r.Address == address(other) && r.Priority != 0 && !r.Has(tally.FlagSDown) && !r.Has(tally.FlagDisconnected) {
				return false
			}
		}
	}
	return asked > 0
}

// choose finds the Sentinel that shall do it.
func (c *command) choose() string {
	c.at = -1
	for i := range c.words {
		s := &c.words[i]
		if s.failing() {
			return "a failover is running"
		}
		if c.at >= 0 || !s.fresh(c.now()) || s.Tilt || s.Named != address(c.from) {
			continue
		}
		for _, r := range s.Replicas {
			if r.Address == address(c.to) && r.Priority != 0 && !r.Has(tally.FlagSDown) && !r.Has(tally.FlagDisconnected) {
				c.at = i
			}
		}
	}
	if c.at < 0 {
		return "no Sentinel would do it"
	}
	return ""
}

func (c *command) stopLasts() time.Duration {
	return max(5*sec, c.downAfter.Truncate(sec)+2*sec)
}

func (c *command) stop() {
	c.stoppedAt, c.stands = c.now(), true
	c.step("stop")
	c.etcd(askEtcd, func(e *etcd) func() {
		ok := e.stopOrder(c.id, c.stopLasts())
		return func() {
			if !ok {
				c.undo("the order is gone")
				return
			}
			c.gives = c.now().Add(c.downAfter / 4)
			c.look(10*ms, c.caughtUp, c.failOver, c.undo)
		}
	}, func() { c.undo("etcd is silent") })
}

func (c *command) caughtUp() (string, bool) {
	if what := c.stood(); what != "" {
		return what, true
	}
	from, to := c.view.answers[c.from], c.view.answers[c.to]
	switch {
	case c.w.Breakage.noWaitEqual || c.w.Breakage.noStop:
		return "", false
	case from.id != c.id || !from.stop || !from.held || from.role != watchdog.Master:
		return "the writers are not seen to be stopped", false
	case to.id != c.id || !to.stop || !to.linkUp || to.following != address(c.from) || to.offset < from.offset:
		return "the chosen one has not all of it", false
	}
	return "", false
}

func (c *command) failOver() {
	c.equal = true
	if c.stopLasts()-c.now().Sub(c.stoppedAt) < abortedAfter {
		c.undo("too slow")
		return
	}
	c.step("fail over")
	s, heard := c.w.sents[c.at], false
	follow := func() {
		c.askedAt = c.now()
		c.gives = c.now().Add(followTime)
		c.step("follow")
		c.look(10*ms, c.progress, func() {
			c.etcd(5*sec, func(e *etcd) func() {
				e.endOrder(c.id)
				return func() { c.end(handedOver, "") }
			}, func() { c.end(handedOver, "not taken back") })
		}, func(what string) { c.end(unclear, what) })
	}
	// A connection of its own: nothing is sent before it stands.
	c.ask(&s.proc, func() func() {
		return func() {
			if heard {
				return
			}
			heard = true
			c.failOverAt(s, follow)
		}
	})
	c.after(askSentinel, func() {
		if !heard {
			heard = true
			c.undo("no connection to the Sentinel")
		}
	})
}

func (c *command) failOverAt(s *sentinel, follow func()) {
	answered := false
	c.ask(&s.proc, func() func() {
		ok := s.failoverCommand()
		if ok {
			s.by = c
		}
		return func() {
			switch {
			case answered:
			case ok:
				answered = true
				follow()
			default:
				answered = true
				c.undo("the Sentinel refuses")
			}
		}
	})
	c.after(askSentinel, func() {
		if !answered {
			answered = true
			follow()
		}
	})
}

func (c *command) progress() (string, bool) {
	v, to := c.view, c.view.answers[c.to]
	switch {
	case v.holder == c.to && (to.id == c.id && to.serving || v.id != c.id):
		return "", false
	case v.holder == c.to:
		return "not seen to accept writes", false
	case v.agreed == address(c.to) || to.id == c.id && to.role == watchdog.Master:
		return "promoted, no more", false
	case c.now().Sub(c.askedAt) > abortedAfter && !c.running():
		return "the Sentinel gave up", true
	}
	return "not promoted yet", false
}

func (c *command) running() bool {
	for i := range c.words {
		if s := &c.words[i]; s.failing() || s.fresh(c.now()) && s.Named != address(c.from) {
			return true
		}
	}
	return false
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
