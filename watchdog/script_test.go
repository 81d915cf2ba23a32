package watchdog

// The script language of testdata/scripts: what a watchdog is told, line by
// line, and (after ">") what it decides. A witness that has been told of goes
// on saying the same every 100 ms while the script waits; a line edits only
// the values it names.
//
//	policy coordinator_lost=refuse       before anything else
//	memory enrolled granted=r1           likewise; what an earlier life left
//	redis role=master run=r1             also: silent absent loading busy up
//	sentinels self=A known=3 master=A    also: lost, back (asked, no answer)
//	coordinator agreement=1/4:A grant=ours   also: lost, back
//	announce sentinel=s2 epoch=5 master=B
//	veto | veto off
//	wait 3.4s
//	frozen 30s                           the watchdog gets no turn, then a late one
//	starved 3s                           all of its turns are late
//	restart after 2s                     of the watchdog; memory is kept
//	reboot after 20s                     of the host
//
// After the last two nobody has been heard until a line says so.
//
// What the fiction adds by itself, as the adapters would: an answer that does
// not name us moves neither E nor its age; votes that are no majority of the
// known name nobody; a grant is renewed only while the verdict says so, and is
// gone once its lease has run out. A replica has been in step, of history h1, unless
// a line says "disk".

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	scriptStart = Instant(1000 * time.Second) // no Instant of a script is near the zero one
	scriptTurn  = 10 * time.Millisecond       // between two ticks
	scriptFine  = 10 * time.Second            // of a long wait; after that it only ticks with the polls
	scriptPoll  = 100 * time.Millisecond      // between two words of a witness
)

// script runs one script against the core.
type script struct {
	t       *testing.T
	out     strings.Builder
	policy  Policy
	memory  Memory
	state   State
	now     Instant
	started bool
	shown   Verdict // its shape
	law     *law

	redis     Redis
	sentinels Sentinels
	eIn       time.Duration // E is so far after an answer that names us
	ePinned   bool          // E was given as an instant and does not move
	pingsIn   time.Duration // likewise EByPings; zero: it is none
	roleIn    time.Duration // likewise RoleTerm
	roleOff   bool
	maxEpoch  uint64
	named     Agreement // whom the majority named last
	coord     Coordinator

	redisSpeaks, sentinelsSpeak, coordSpeaks bool
	sentinelsLost                            bool
}

func newScript(t *testing.T) *script {
	return &script{
		t: t, now: scriptStart, law: newLaw(), roleOff: true,
		policy: Policy{CoordinatorLost: CoordinatorLostServe, BornLocked: true},
		redis:  Redis{InStep: true, Position: Position{ID: "h1"}},
	}
}

// line runs one line; its answers go to out.
func (s *script) line(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	args := strings.Fields(rest)
	if word != "policy" && word != "memory" && !s.started {
		s.started = true
		s.state = New(s.now, s.memory)
	}
	switch word {
	case "policy":
		return s.each(args, s.setPolicy)
	case "memory":
		return s.each(args, s.setMemory)
	case "redis":
		s.redisSpeaks = true
		return s.told(s.each(args, s.setRedis), s.sayRedis)
	case "sentinels":
		s.sentinelsSpeak = true
		return s.told(s.each(args, s.setSentinels), s.saySentinels)
	case "coordinator":
		if !s.coordSpeaks && s.coord.RoundAt == 0 {
			s.coord.Membership = Member
		}
		s.coordSpeaks = true
		return s.told(s.each(args, s.setCoordinator), s.sayCoordinator)
	case "announce":
		var a Announcement
		err := s.each(args, func(k, v string) error { return setAnnouncement(&a, k, v) })
		return s.told(err, func() { s.next(Announced{a}) })
	case "veto":
		s.next(Vetoed{len(args) == 0})
		return nil
	case "wait", "starved", "frozen", "restart", "reboot":
		return s.pass(word, args)
	}
	return fmt.Errorf("read line: no such word %q", word)
}

func (s *script) each(args []string, set func(key, value string) error) error {
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		if err := set(key, value); err != nil {
			return fmt.Errorf("set %q: %w", arg, err)
		}
	}
	return nil
}

func (s *script) told(err error, say func()) error {
	if err == nil {
		say()
	}
	return err
}

func (s *script) pass(word string, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("%s: how long?", word)
	}
	d, err := time.ParseDuration(args[len(args)-1])
	if err != nil {
		return err
	}
	switch word {
	case "wait":
		s.wait(d, Tick{})
	case "starved":
		s.wait(d, Late{})
	case "frozen":
		s.now = s.now.Add(d)
		s.next(Late{}) // on waking the timer is first; the news comes after it
	case "restart":
		s.now = s.now.Add(d)
		s.begin(s.state.Memory)
	case "reboot":
		s.now = s.now.Add(d)
		s.redis = Redis{InStep: true, Position: Position{ID: "h1"}}
		s.begin(s.state.Memory.Rebooted())
	}
	return nil
}

// begin is a new life of the watchdog: it has heard nobody yet.
func (s *script) begin(m Memory) {
	s.state, s.law, s.shown = New(s.now, m), newLaw(), Verdict{}
	s.redisSpeaks, s.sentinelsSpeak, s.coordSpeaks = false, false, false
	s.sentinels.E, s.sentinels.EFrom, s.named = 0, 0, Agreement{}
	s.next(Tick{})
}

func (s *script) wait(d time.Duration, turns Event) {
	fine := s.now.Add(scriptFine)
	for end := s.now.Add(d); s.now < end; {
		turn := scriptTurn
		if s.now >= fine {
			turn = scriptPoll - s.now.Sub(scriptStart)%scriptPoll
		}
		s.now = s.now.Add(turn).Min(end)
		s.next(turns)
		if s.now.Sub(scriptStart)%scriptPoll == 0 {
			s.speak()
		}
	}
}

// speak lets every witness say again what it says.
func (s *script) speak() {
	if s.redisSpeaks {
		s.sayRedis()
	}
	if s.sentinelsSpeak {
		s.saySentinels()
	}
	if s.coordSpeaks {
		s.sayCoordinator()
	}
}

func (s *script) sayRedis() {
	s.redis.SeenAt = s.now
	if a := s.redis.Answer; a == Up || a == Loading || a == Busy {
		s.redis.SentAt = s.now
	}
	s.next(s.redis)
}

func (s *script) saySentinels() {
	f := &s.sentinels
	told := *f
	if s.sentinelsLost {
		told.Answering, told.Failover, told.Promoting = 0, false, false
	} else {
		f.SentAt, told.SentAt = s.now, s.now
	}
	if told.Votes == 0 || told.Votes > told.Answering {
		told.Votes = told.Answering
	}
	if 2*told.Votes <= told.Known {
		told.Master, told.Epoch = "", 0
	}
	if now := (Agreement{Term{0, told.Epoch}, told.Master}); now != s.named {
		s.named, f.NamedSince = now, s.now
		if told.Master == "" {
			f.NamedSince = 0
		}
	}
	told.NamedSince = f.NamedSince
	if told.Self != "" && told.Master == told.Self {
		f.EFrom = s.now
		if s.pingsIn > 0 {
			f.EByPings = s.now.Add(s.pingsIn)
		}
		if !s.ePinned {
			f.E = s.now.Add(s.eIn)
		}
	}
	told.E, told.EFrom, told.EByPings, told.RoleTerm = f.E, f.EFrom, f.EByPings, Never
	if !s.roleOff {
		told.RoleTerm = s.now.Add(s.roleIn)
	}
	told.MaxEpoch = max(told.Epoch, s.maxEpoch)
	told.Unanimous = told.Master != "" && told.Votes == told.Known && !told.Failover
	s.next(told)
}

func (s *script) sayCoordinator() {
	c := &s.coord
	if !s.coordSpeaks {
		s.next(*c) // a local copy of the orders; the rest is as old as it was
		return
	}
	t := s.policy.Timing(s.sentinels.DownAfter)
	c.RoundAt = s.now
	if g := &c.Grant; g.Ours {
		switch want := s.state.Want().Grant; {
		case g.RenewedAt != 0 && s.now > g.RenewedAt.Add(t.LeaseTTL):
			g.Ours, g.Holder, g.GivenUp = false, "", false
		case want == GrantRenew || g.RenewedAt == 0:
			g.RenewedAt = s.now
			g.Until = s.now.Add(t.LeaseTTL - t.Margin)
		}
	}
	s.next(*c)
}

// next folds one event in, holds the invariants, and shows what has changed.
func (s *script) next(e Event) {
	was := s.state
	s.state = Next(s.policy, was, s.now, e)
	s.law.hold(s.t, s.policy, was, s.now, e, s.state)
	v := s.state.Verdict
	if shape := shapeOf(v); shape != s.shown {
		s.shown = shape
		fmt.Fprintf(&s.out, "> %s %s\n", seconds(s.now.Sub(scriptStart)), show(v, s.now))
	}
}

// shapeOf is what a verdict says apart from its times: those move on by themselves.
func shapeOf(v Verdict) Verdict {
	for _, t := range []*Instant{&v.Want.Gate.Arm, &v.Want.Gate.StopBy, &v.Want.Gate.StopArmed} {
		if *t != 0 && *t != Never {
			*t = 1
		}
	}
	return v
}

// show is the verdict as a line.
func show(v Verdict, now Instant) string {
	g, w := v.Want.Gate, v.Want
	parts := []string{g.Access.String(), "row=" + strconv.Itoa(int(v.Row)), "reason=" + v.Reason}
	add := func(on bool, text string) {
		if on {
			parts = append(parts, text)
		}
	}
	at := func(name string, t Instant) {
		switch {
		case t == Never:
			add(true, name+"=never")
		default:
			add(true, name+"="+seconds(t.Sub(now)))
		}
	}
	add(g.Open, "open")
	add(g.Master != "", "master="+string(g.Master))
	if g.Arm != 0 {
		at("arm", g.Arm)
	}
	if g.Access == Refuse {
		at("stop", g.StopBy)
	}
	add(g.AnyRole, "any_role")
	add(g.Beneath, "beneath")
	add(g.PutOut, "put-out")
	add(g.Veto, "veto")
	add(g.Unlocked, "unlocked")
	add(g.Release, "release")
	add(true, "grant="+w.Grant.String())
	p := w.Propose
	add(p != Proposal{}, fmt.Sprintf("propose=%v:%s cause=%v", p.Term, p.Master, p.Cause))
	add(w.PollNow, "poll")
	add(w.Await, "await")
	add(v.Would.Reason != "", fmt.Sprintf("would=%v/%s", v.Would.Access, v.Would.Reason))
	return strings.Join(parts, " ")
}

// seconds is a time with its sign, as +3.42s.
func seconds(d time.Duration) string {
	text := strconv.FormatFloat(float64(d.Round(time.Millisecond).Milliseconds())/1000, 'f', -1, 64) + "s"
	if d >= 0 {
		return "+" + text
	}
	return text
}
