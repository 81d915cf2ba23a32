package sim

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	tally "github.com/redis-watchdog/redis-watchdog/sentinel"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// daemon is one watchdog: the real core and the real tally, and adapters that see
// and do what the real ones see and do, with their delays.
type daemon struct {
	proc
	id     int
	r      *redis
	policy watchdog.Policy
	core   watchdog.State
	last   watchdog.Want
	disk   stateDir

	tally     tally.State
	pollEvery time.Duration
	polling   []int // by Sentinel: the poll that is under way; 0: none
	keptAt    watchdog.Instant
	seenAt    []watchdog.Instant // by Sentinel: when no answer of our Redis to it was under way
	polls     int
	awaits    bool // a poll is due at once
	told      watchdog.Sentinels
	reported  bool
	tickAt    watchdog.Instant
	idle      int
	guards    watchdog.Instant // from when on it promises something: an orderly stop ends that, a start begins it

	fact   watchdog.Redis
	asking int
	asks   int
	hand   hand
	coord  coordinator

	order         watchdog.PlannedFailover // that the gate looks often for
	fast          bool
	priority      int // as last seen
	answering     bool
	answered      orderAnswer
	answeredUnder int
}

// stateDir survives the process; run, the runtime directory, not the machine.
type stateDir struct {
	memory watchdog.Memory
	boot   int
	heard  tally.Memory // run
}

func newDaemon(w *World, host int) *daemon {
	d := &daemon{proc: proc{w: w, name: "W" + strconv.Itoa(host), host: host}, id: host, r: w.redis[host]}
	d.policy = w.Policy
	w.after(w.InstallAt+w.between(0, sec), func() { d.boot() })
	return d
}

func (d *daemon) now() watchdog.Instant { return d.w.hosts[d.host].clock(d.w) }

func address(id int) watchdog.Address {
	return watchdog.Address([...]string{"10.0.0.1:6379", "10.0.0.2:6379", "10.0.0.3:6379", "10.0.0.4:6379", "10.0.0.5:6379", "10.0.0.6:6379"}[id])
}

func idOf(a watchdog.Address) int {
	n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(string(a), "10.0.0."), ":6379"))
	if err != nil {
		return -1
	}
	return n - 1
}

// boot starts the watchdog with what its state directory holds.
func (d *daemon) boot() {
	if d.up || !d.w.hosts[d.host].up {
		return
	}
	d.start()
	m := d.disk.memory
	if d.disk.boot != d.w.hosts[d.host].boot {
		m = m.Rebooted()
	}
	d.core = watchdog.New(d.now(), m)
	d.last = watchdog.Want{}
	d.w.logf(d.name, "starts, memory %+v", m)
	t := d.policy.Timing(d.w.DownAfter)
	d.tally = tally.State{ClockRateError: 0.001, Began: d.now()}
	d.pace()
	d.polling, d.seenAt = make([]int, d.w.Sentinels), make([]watchdog.Instant, d.w.Sentinels)
	for i := range d.w.Sentinels {
		d.tally.Add(sentinelKey(i), watchdog.Address(sentinelKey(i)))
		d.tally.Met(sentinelKey(i), sentinelKey(i), "", watchdog.Address(sentinelKey(i)))
	}
	if d.disk.boot == d.w.hosts[d.host].boot {
		d.tally.Recall(d.disk.heard)
	}
	d.fact, d.told, d.reported = watchdog.Redis{}, watchdog.Sentinels{}, false
	d.asking, d.awaits = 0, false
	d.order, d.fast, d.answering, d.answered, d.answeredUnder = watchdog.PlannedFailover{}, false, false, orderAnswer{}, 0
	d.hand = hand{}
	d.coord = coordinator{daemon: d}
	d.coord.lease, d.coord.fact.Membership = 0, watchdog.Member
	if d.w.Veto[d.id] {
		d.feed(watchdog.Vetoed{Veto: true})
	}
	d.every(90*ms, 110*ms, func() {
		d.hearPings()
		if d.idle++; time.Duration(d.idle)*100*ms >= t.Poll || d.core.Want().Gate.Access != watchdog.Serve && d.core.Want().Gate.Access != watchdog.Follow || !d.r.prepared {
			d.idle = 0
			d.r.prepared = d.r.up
			d.poll()
		}
	})
	d.every(d.pollEvery*9/10, d.pollEvery*11/10, d.pollSentinels)
	d.every(t.Round*9/10, t.Round*11/10, d.coord.round)
	if d.w.Mates {
		d.every(t.Round*9/10, t.Round*11/10, d.coord.mates)
	}
	d.tickAt = 0
	d.feed(watchdog.Tick{})
}

// die is SIGKILL, or an orderly stop. Its connections are closed, but those in
// systemd's store.
func (d *daemon) die(why string, orderly bool) {
	if !d.up {
		return
	}
	d.w.logf(d.name, "dies: %s", why)
	if orderly {
		d.guards = watchdog.Never
		d.disk.memory.Deadline = 0
	}
	d.kill()
	if !d.w.DescriptorStore {
		d.guards = watchdog.Never // without systemd the armed fence dies with us
	}
	if orderly || !d.w.DescriptorStore {
		if d.r.up {
			d.r.do(d.r.life, func() { d.r.disarm(0) })
		}
	}
}

// pace is the Watcher's.
func (d *daemon) pace() {
	d.pollEvery = max(d.policy.Timing(d.w.DownAfter).Poll, 100*ms)
	d.tally.FreshFor = 2*d.pollEvery + min(2*d.pollEvery, 500*ms)
	d.tally.ListFor = d.tally.FreshFor + 5*sec + d.pollEvery
}

// feed is the agent's loop.
func (d *daemon) feed(e watchdog.Event) {
	if !d.up {
		return
	}
	e = d.w.Breakage.event(e, d.now())
	before := d.core.Memory
	d.core = watchdog.Next(d.policy, d.core, d.now(), e)
	if d.core.Memory != before {
		d.disk.memory, d.disk.boot = d.core.Memory, d.w.hosts[d.host].boot
	}
	d.wakeAt(watchdog.NextEdge(d.policy, d.core, d.now()))
	want := d.core.Want()
	hurry := want.Grant != d.last.Grant || want.Propose != d.last.Propose
	if want.PollNow && !d.last.PollNow {
		d.after(0, d.pollSentinels)
	}
	if want.Await && !d.awaits {
		d.awaits = true
		d.after(20*ms, func() { d.awaits = false; d.pollSentinels() })
	}
	if want.Gate.Access != d.last.Gate.Access || want.Gate.Beneath != d.last.Gate.Beneath || want.Gate.Veto != d.last.Gate.Veto || want.Gate.Open != d.last.Gate.Open || want.Gate.Master != d.last.Gate.Master || want.Grant != d.last.Grant {
		if d.w.trace != nil {
			d.w.logf(d.name, "row %d %s: %s", d.core.Verdict.Row, d.core.Verdict.Reason, d.explain(want))
		}
		d.last = want
		d.apply()
		d.w.stepped(d.host)
	}
	if hurry {
		d.coord.hurry()
	}
	d.last = want
}

// wakeAt makes the loop turn at the next edge, or a quarter of a second from now.
func (d *daemon) wakeAt(edge watchdog.Instant) {
	now := d.now()
	at := edge.Max(now.Add(ms)).Min(now.Add(250 * ms))
	if d.tickAt != 0 && d.tickAt <= at {
		return
	}
	d.tickAt = at
	d.after(at.Sub(now)+d.w.between(0, ms), func() {
		if d.tickAt == at {
			d.tickAt = 0
			if d.now().Sub(at) > 100*ms { // as the agent has it: it was frozen
				d.feed(watchdog.Late{})
				return
			}
			d.feed(watchdog.Tick{})
		}
	})
}

func (d *daemon) explain(w watchdog.Want) string {
	g, f := w.Gate, d.core.Sentinels
	in := func(t watchdog.Instant) string {
		switch {
		case t == watchdog.Never:
			return "never"
		case t == 0:
			return "-"
		}
		return fmt.Sprintf("%+.2fs", t.Sub(d.now()).Seconds())
	}
	s := g.Access.String()
	if g.Master != "" {
		s += fmt.Sprintf(" R%d", idOf(g.Master))
	}
	if g.Open {
		s += " open"
	}
	c := d.core.Coordinator
	return s + fmt.Sprintf(" arm %s, grant %s (ours=%v until %s holder R%d last R%d givenUp=%v) E %s from %s majority R%d/%d since %s fo=%v acc=%v agreed R%d %v enrolled=%v",
		in(g.Arm), w.Grant, c.Grant.Ours, in(c.Grant.Until), idOf(c.Grant.Holder), idOf(c.Grant.Last), c.Grant.GivenUp, in(f.E), in(f.EFrom),
		idOf(f.Master), f.Epoch, in(f.NamedSince), f.Failover, f.Accused, idOf(d.core.Memory.Agreement.Master), d.core.Memory.Agreement.Term, d.core.Memory.Enrolled)
}

func (d *daemon) announced(from, master int, epoch uint64) {
	d.pollSentinel(from)
	d.feed(watchdog.Announced{Announcement: watchdog.Announcement{Sentinel: sentinelKey(from), Epoch: epoch, Master: address(master)}})
}

// poll asks the local Redis.
func (d *daemon) poll() {
	sent := d.now()
	d.asks++
	id := d.asks
	if !d.r.up {
		d.saw(func(f *watchdog.Redis) {
			f.SeenAt, f.Answer, f.Refusing, f.ArmedFor, f.Held = sent, watchdog.Absent, true, 0, false
		})
		return
	}
	if d.asking != 0 {
		return // the conversation is serial; its timeout says silent
	}
	d.asking = id
	d.ask(&d.r.proc, func() func() {
		a, r := d.r.answers(), d.r
		if a == watchdog.Silent {
			return nil
		}
		snap := *r
		return func() {
			if d.asking == id {
				d.asking = 0
			}
			d.saw(func(f *watchdog.Redis) { d.describe(f, sent, a, &snap) })
		}
	})
	d.after(300*ms, func() {
		if d.asking == id {
			d.asking = 0
			d.saw(func(f *watchdog.Redis) { f.SeenAt, f.Answer = sent, watchdog.Silent })
		}
	})
}

func (d *daemon) describe(f *watchdog.Redis, sent watchdog.Instant, a watchdog.Answer, r *redis) {
	f.SentAt, f.SeenAt, f.Answer = sent, sent, a
	run := strconv.Itoa(r.runID)
	if f.RunID != run && a != watchdog.Busy {
		// another process: nothing of the old one holds
		f.ArmedFor, f.Held = 0, false
		d.hand.armed = armedFence{}
	}
	if a == watchdog.Busy {
		return
	}
	f.RunID, f.Role = run, watchdog.Role(0)
	switch r.role {
	case master:
		f.Role = watchdog.Master
	case replica:
		f.Role, f.Following, f.LinkUp = watchdog.Replica, address(r.following), r.link.up
	case nowhere:
		f.Role = watchdog.Nowhere
	}
	if d.guards == watchdog.Never && r.role != master { // a master is guarded once a fence stands armed again
		d.guards = d.w.now
	}
	f.Locked, f.StartedFenced, f.Offset = r.locked, r.startedFenced, r.data.at.off
	d.priority = r.priority
	f.Held = d.w.now < r.paused
	f.Refusing = a == watchdog.Loading || r.role == nowhere && r.shut
	if len(r.armed) == 0 {
		d.hand.armed = armedFence{}
	}
	f.ArmedFor = d.hand.armed.at
}

func (d *daemon) saw(change func(*watchdog.Redis)) {
	change(&d.fact)
	d.feed(d.fact)
	d.apply()
	d.answerOrder()
}

func sentinelKey(i int) string { return [...]string{"s0", "s1", "s2", "s3", "s4", "s5"}[i] }

func (d *daemon) pollSentinels() {
	for i := range d.polling {
		d.pollSentinel(i)
	}
	d.settle(!d.reported)
	d.reported = false
}

func (d *daemon) settle(always bool) {
	now := d.now()
	d.tally.Settle(now)
	f := d.tally.Tally(d.tally.Self(d.fact.RunID, address(d.id)), now)
	if always || news(d.told, f) {
		d.told = f
		d.feed(f)
	}
}

// pollSentinel asks one Sentinel, unless a poll of it is under way.
func (d *daemon) pollSentinel(i int) {
	if d.polling[i] != 0 {
		return
	}
	d.polls++
	id := d.polls
	d.polling[i] = id
	sent := d.now()
	s := d.w.sents[i]
	ask := d.ask
	if d.w.walled(i) {
		ask = func(*proc, func() func()) {} // nobody answers
	}
	ask(&s.proc, func() func() {
		a := s.answer()
		a.SentAt = sent
		return func() {
			if d.polling[i] == id {
				d.polling[i] = 0
			}
			if h, _ := d.tally.Hear(sentinelKey(i), a); h.Master != "" {
				d.feed(watchdog.Announced{Announcement: h})
			}
			all := true
			for _, p := range d.polling {
				all = all && p == 0
			}
			d.reported = d.reported || all
			d.settle(all)
		}
	})
	d.after(min(2*d.pollEvery, 500*ms), func() {
		if d.polling[i] == id {
			d.polling[i] = 0
		}
	})
}
