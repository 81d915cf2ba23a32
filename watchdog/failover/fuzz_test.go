package failover

// Arbitrary courses of a planned failover, held to what must be so in all.

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// course reads what is so out of bytes; past the end it reads zeros.
type course struct {
	data []byte
	at   int
	seen Event // by the last look
}

// good are the looks of a failover that goes through.
func good(step int) Event {
	e := Event{
		View: View{Order: "o", Master: "A", Holder: "A", Answers: map[watchdog.Address]Answer{
			"A": {ID: "o", Role: "master", Offset: 1},
			"B": {ID: "o", Role: "replica", Following: "A", LinkUp: true, Offset: 1},
			"C": {ID: "o", Role: "replica", Following: "A", LinkUp: true, Vetoed: true},
		}},
		Sentinels: []Sentinel{{Address: "1", Answering: true, Master: "A", Timeout: time.Minute, Replicas: []Replica{{"B", 100, false}, {"C", 0, false}}}},
	}
	a, b := e.View.Answers["A"], e.View.Answers["B"]
	if step > 0 {
		a.Stop, a.Held, b.Stop = true, true, true
	}
	if step > 1 {
		e.Sentinels[0].Failover = true
	}
	if step > 2 {
		b.Role = "master"
	}
	if step > 3 {
		e.View.Master, e.View.Holder, b.Serving = "B", "B", true
	}
	e.View.Answers["A"], e.View.Answers["B"] = a, b
	return e
}

func (c *course) n(below int) int {
	if c.at >= len(c.data) {
		return 0
	}
	c.at++
	return int(c.data[c.at-1]) % below
}

// mostly is false in one of eight.
func (c *course) mostly() bool { return c.n(8) != 7 }

func (c *course) address() watchdog.Address {
	return [...]watchdog.Address{"A", "A", "B", "C", ""}[c.n(5)]
}

func (c *course) answer(role string) Answer {
	if !c.mostly() {
		return Answer{}
	}
	return Answer{
		ID: [...]string{"o", "o", "o", "p"}[c.n(4)], Stop: c.n(2) == 0, Role: [...]string{role, role, "master", "nowhere"}[c.n(4)],
		Following: c.address(), LinkUp: c.mostly(), Vetoed: c.n(3) == 2, Barred: !c.mostly(),
		Held: c.n(2) == 0, Serving: c.n(4) == 3, Offset: int64(c.n(3)), Fault: [...]string{"", "", "", "down"}[c.n(4)],
	}
}

func (c *course) event(k Kind) Event {
	if k != Look {
		if c.n(3) != 2 {
			return Event{}
		}
		return Event{Err: errors.New("no"), Failure: Failure(c.n(3))}
	}
	switch c.n(16) {
	case 15:
		c.seen = c.arbitrary()
	case 14, 13, 12:
		c.seen = good(c.n(5))
	}
	return c.seen
}

func (c *course) arbitrary() Event {
	e := Event{}
	for i := range 1 + c.n(3) {
		e.Sentinels = append(e.Sentinels, Sentinel{
			Address: string('1' + rune(i)), Answering: c.mostly(), Tilt: !c.mostly(), Failover: c.n(3) == 2, Master: c.address(),
			Timeout:  []time.Duration{time.Minute, 0}[c.n(2)],
			Replicas: []Replica{{"B", c.n(3) - 1, !c.mostly()}, {"C", c.n(3) - 1, !c.mostly()}},
		})
	}
	if !c.mostly() {
		e.Err = errors.New("no answer")
		return e
	}
	e.View = View{
		Order: [...]string{"o", "o", "o", ""}[c.n(4)], Master: c.address(), Holder: c.address(),
		Answers: map[watchdog.Address]Answer{"A": c.answer("master"), "B": c.answer("replica"), "C": c.answer("replica")},
	}
	return e
}

func FuzzFailover(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("a planned failover of which nothing comes, and another one"))
	f.Fuzz(held)
}

// TestAnyCourseIsHeldToTheLaw plays what a fuzzer would look for a long time for:
// most of these come to the Sentinel, and many beyond.
func TestAnyCourseIsHeldToTheLaw(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		data := make([]byte, 600)
		calm := r.IntN(200)
		for i := range data {
			if data[i] = byte(r.Uint32()); r.IntN(200) < calm {
				data[i] = 0
			}
		}
		held(t, data)
		if t.Failed() {
			t.Fatalf("%q", data)
		}
	}
}

// held plays one course and holds it to the law.
func held(t *testing.T, data []byte) {
	c := &course{data: data, seen: good(0)}
	steps := New(Plan{Group: "g", ID: "o", From: "A", To: "B", Others: []watchdog.Address{"C"}, DownAfter: 5 * time.Second})
	now, interrupted := start, false
	var (
		e       Event
		last    Action // and what came of it
		order   bool   // it may stand
		asked   bool   // a Sentinel may fail over
		altered bool   // the Sentinel's setting may be another than the operator's
	)
	for n := 0; ; n++ {
		a := steps.Next(now, e)
		if n > 20000 || now.Sub(start) > 2*time.Minute {
			t.Fatalf("no end after %d steps and %s, in phase %d", n, now.Sub(start), steps.phase)
		}
		if a.Kind == Look && (a.Until == 0 || a.After < 0 || now.Add(a.After) > a.Until.Max(now)) {
			t.Fatalf("a look that has no end: %+v at %v", a, now)
		}
		v := e.View
		switch a.Kind {
		case Stop:
			if to := v.Answers["B"]; to.ID != "o" || to.Vetoed || to.Barred || !to.LinkUp {
				t.Fatalf("the writers are stopped for one that cannot be promoted: %+v", to)
			}
			if c := v.Answers["C"]; !(c.ID == "o" && c.Vetoed) && !excluded(e.Sentinels, "C") {
				t.Fatalf("the writers are stopped while another could be promoted: %+v %+v", c, e.Sentinels)
			}
		case FailOver:
			from, to := v.Answers["A"], v.Answers["B"]
			if last.Kind != Look || e.Err != nil || v.Order != "o" || v.Master != "A" || v.Holder != "A" ||
				from.ID != "o" || to.ID != "o" || !from.Stop || !to.Stop || !from.Held || from.Role != "master" || to.Following != "A" || !to.LinkUp || to.Offset < from.Offset {
				t.Fatalf("asked to fail over without the data at the same place: %+v", v)
			}
		case SetTimeout:
			if !a.Through || a.Sentinel == "" || a.Timeout <= 0 {
				t.Fatalf("a setting of the operator's is touched by a step that can be interrupted: %+v", a)
			}
		case Finish:
			r := a.Result
			switch {
			case a.Err != nil && (n > 1 || r != Result{}):
				t.Fatalf("it was begun, and ends as if it was not: %+v", a)
			case a.Err == nil && r.Outcome == "", a.Err == nil && r.Text == "":
				t.Fatalf("an end without an outcome: %+v", a)
			case r.Outcome == Done && r.Times.Granted == 0:
				t.Fatalf("done without the grant: %+v", a)
			case r.Outcome == Undone && order && last.Kind != End:
				t.Fatal("undone, and the order was not taken back")
			case altered && steps.left == nil:
				t.Fatal("the operator's failover-timeout is another, and nobody is told")
			case altered && steps.timeout > 0 && steps.tries > 0 && steps.tries < restoreTries:
				t.Fatalf("the operator's failover-timeout was put back %d times only", steps.tries)
			case r.Outcome == Unclear && asked && !order && r.Times.Promoted == 0 && interrupted && steps.why == nil:
				t.Fatal("the order is taken back while a Sentinel may fail over")
			}
			return
		}
		now = now.Add(a.After)
		interrupted = interrupted || c.n(64) == 63
		if a.Kind == Look && interrupted && !a.Through {
			e, last = Event{Interrupted: true}, a
			continue
		}
		now = now.Add(time.Duration(c.n(4)) * time.Millisecond)
		last, e = a, c.event(a.Kind)
		unsure := e.Err == nil || e.Failure == Unanswered
		switch a.Kind {
		case Begin:
			order = order || unsure
		case End:
			order = order && e.Err != nil
		case FailOver:
			asked = unsure
		case SetTimeout:
			if a.Timeout == time.Millisecond {
				altered = unsure
			} else if e.Err == nil {
				altered = false
			}
		}
	}
}
