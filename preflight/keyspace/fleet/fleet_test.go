package fleet

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

var running = Run{Schema: Schema, ID: "r1", State: Running, Parallel: 2, Units: 3}

func waiting(group, address string) Known {
	return Known{Unit: Unit{Group: group, Address: address, State: Waiting}}
}

func replica(group, address string) Node { return Node{Group: group, Address: address, Replica: true} }

func taken(p Plan) (keys []string) {
	for _, c := range p.Take {
		keys = append(keys, c.Unit.Key()+" by "+c.Node.Address)
	}
	return keys
}

func TestNext(t *testing.T) {
	every := running
	every.Every = true
	paused := running
	paused.State = Paused
	pattern := running
	pattern.Groups = "pay-*"
	tried := waiting("a", "")
	tried.Tries = 1
	gone := waiting("a", "")
	gone.State, gone.Tries = Begun, MaxTries
	claimed := waiting("a", "")
	claimed.State, claimed.Claimed = Begun, true
	done := waiting("a", "")
	done.State = Done
	off := replica("a", "h:1")
	off.Off = true
	for _, c := range []struct {
		name   string
		run    Run
		units  []Known
		nodes  []Node
		taken  int
		host   bool
		take   []string
		settle string
		open   bool
	}{
		{"a replica of a group that waits", running, []Known{waiting("a", "")}, []Node{replica("a", "h:1")}, 0, false, []string{"a by h:1"}, "", true},
		{"the least tried first", running, []Known{tried, waiting("b", "")}, []Node{replica("a", "h:1"), replica("b", "h:2")}, 0, false, []string{"b by h:2", "a by h:1"}, "", true},
		{"either of two replicas of a group here", running, []Known{waiting("a", "")}, []Node{replica("a", "h:2"), replica("a", "h:1")}, 0, false, []string{"a by h:1", "a by h:2"}, "", true},
		{"no master", running, []Known{waiting("a", "")}, []Node{{Group: "a", Address: "h:1", Master: true}}, 0, false, nil, "", true},
		{"nor one that is neither", running, []Known{waiting("a", "")}, []Node{{Group: "a", Address: "h:1"}}, 0, false, nil, "", true},
		{"a master that was listed as a replica", every, []Known{waiting("a", "h:1")}, []Node{{Group: "a", Address: "h:1", Master: true}}, 0, false, nil, "a/h:1 left_out", false},
		{"every replica by itself", every, []Known{waiting("a", "h:1"), waiting("a", "h:9")}, []Node{replica("a", "h:1")}, 0, false, []string{"a/h:1 by h:1"}, "", true},
		{"every slot is taken", running, []Known{waiting("a", "")}, []Node{replica("a", "h:1")}, 2, false, nil, "", true},
		{"the host has one", running, []Known{waiting("a", "")}, []Node{replica("a", "h:1")}, 1, true, nil, "", true},
		{"somebody is at it", running, []Known{claimed}, []Node{replica("a", "h:1")}, 1, false, nil, "", true},
		{"whoever was at it is gone", running, []Known{{Unit: claimed.Unit}}, []Node{replica("a", "h:1")}, 0, false, []string{"a by h:1"}, "", true},
		{"three are gone", running, []Known{gone}, []Node{replica("a", "h:1")}, 0, false, nil, "a failed", false},
		{"it is done", running, []Known{done}, []Node{replica("a", "h:1")}, 0, false, nil, "", false},
		{"it is in no list", running, []Known{waiting("b", "")}, []Node{replica("a", "h:1")}, 0, false, nil, "", false},
		{"paused", paused, []Known{waiting("a", ""), gone}, []Node{replica("a", "h:1")}, 0, false, nil, "", true},
		{"another pattern", pattern, []Known{waiting("a", "")}, []Node{replica("a", "h:1")}, 0, false, nil, "", false},
		{"off", running, []Known{waiting("a", "")}, []Node{off}, 0, false, nil, "a left_out", false},
		{"off wins", running, []Known{waiting("a", "")}, []Node{replica("a", "h:2"), off}, 0, false, nil, "a left_out", true},
	} {
		p := Next(c.run, c.units, c.nodes, c.taken, c.host)
		settle := ""
		for _, u := range p.Settle {
			settle += u.Key() + " " + string(u.State)
			if u.Reason == "" {
				t.Errorf("%s: settled without a reason", c.name)
			}
		}
		if got := taken(p); !slices.Equal(got, c.take) || settle != c.settle || p.Open != c.open {
			t.Errorf("%s: take %v settle %q open %v, want %v, %q and %v", c.name, got, settle, p.Open, c.take, c.settle, c.open)
		}
	}
}

func TestUnitsAreThoseOfTheRun(t *testing.T) {
	nodes := []Node{replica("pay-b", "h:2"), replica("pay-b", "h:1"), replica("web", "h:3"), replica("pay-a", "")}
	run := running
	run.Groups = "pay-*"
	if got := Units(run, nodes); !slices.Equal(got, []string{"pay-a", "pay-b"}) {
		t.Errorf("units %v", got)
	}
	run.Every = true
	if got := Units(run, nodes); !slices.Equal(got, []string{"pay-b/h:1", "pay-b/h:2"}) {
		t.Errorf("units of every replica %v: one whose address is not known yet is none", got)
	}
}

func TestAnAuditThatEndsIsNoTryAndOneThatBreaksIs(t *testing.T) {
	u := Begin(Unit{Group: "a", State: Waiting}, "h:1")
	if u.State != Begun || u.Tries != 1 || u.Node != "h:1" {
		t.Fatalf("begun: %+v", u)
	}
	if got := After(u, Ended, "promoted"); got.State != Waiting || got.Tries != 0 || got.Reason != "promoted" {
		t.Errorf("ended: %+v", got)
	}
	if got := After(u, Whole, ""); got.State != Done || got.Reason != "" {
		t.Errorf("whole: %+v", got)
	}
	for try := 1; try <= MaxTries; try++ {
		u.Tries = try
		want := Waiting
		if try == MaxTries {
			want = Failed
		}
		if got := After(u, Broken, "it broke"); got.State != want || got.Tries != try || got.Reason != "it broke" {
			t.Errorf("broken at try %d: %+v, want %s", try, got, want)
		}
	}
}

func TestFreeSlotIsBelowParallelAndNotTaken(t *testing.T) {
	for _, c := range []struct {
		parallel int
		taken    []int
		at, want int
	}{{3, nil, 1, 1}, {3, []int{1}, 1, 2}, {3, []int{2, 1}, 2, 0}, {3, []int{0, 1, 2}, 0, -1}, {2, []int{7, 9}, 0, 0}, {1, []int{0, 5}, 0, -1}} {
		if got := FreeSlot(c.parallel, c.taken, c.at); got != c.want {
			t.Errorf("FreeSlot(%d, %v, %d) = %d, want %d", c.parallel, c.taken, c.at, got, c.want)
		}
	}
}

func TestBusy(t *testing.T) {
	idle := Load{Average: 1, Processors: 2, Available: 8 << 30, Total: 16 << 30, UsedMemory: 4 << 30, LinkUp: true, Silent: 1}
	for _, c := range []struct {
		want   string
		change func(*Load)
	}{
		{"", func(*Load) {}},
		{"", func(l *Load) { l.Average = 1.6 }},
		{BusyLoad, func(l *Load) { l.Average = 1.61 }},
		{BusyMemory, func(l *Load) { l.Available = 2<<30 + 600<<20 }}, // a tenth of 16 GB and a quarter of 4
		{"", func(l *Load) { l.Available = 2<<30 + 620<<20 }},
		{BusyMemory, func(l *Load) { l.UsedMemory = 40 << 30 }},
		{BusyMemory, func(l *Load) { l.Available = 0 }},
		{BusyLag, func(l *Load) { l.LinkUp = false }},
		{BusyLag, func(l *Load) { l.Silent = 12 }},
		{BusyLag, func(l *Load) { l.Silent = -1 }},
		{BusySaving, func(l *Load) { l.Saving = true }},
	} {
		l := idle
		c.change(&l)
		if got := l.Busy(DefaultMaxLoad); got != c.want {
			t.Errorf("%+v is busy by %q, want %q", l, got, c.want)
		}
	}
	if got := (Load{Average: 100, Available: 8 << 30, Total: 16 << 30, LinkUp: true}).Busy(0); got != "" {
		t.Errorf("busy by %q, though the load is not to be looked at", got)
	}
	if (Load{}).Busy(0) == "" {
		t.Error("a host of which nothing is known is not busy")
	}
}

func TestWhatIsLeftIsReckonedFromWhatIsDone(t *testing.T) {
	run := running
	run.Parallel, run.Units = 4, 20
	var units []Known
	add := func(n int, state UnitState, claimed bool, took float64) {
		for range n {
			host := string(rune('a' + len(units)))
			units = append(units, Known{Unit: Unit{Group: host, State: state, Took: took, Node: host + ":1", Keys: 10, Bytes: 100}, Claimed: claimed})
		}
	}
	add(2, Done, false, 10)
	add(2, Begun, true, 0)
	add(16, Waiting, false, 0)
	if p := ProgressOf(run, units, 0); p.Left != nil || !strings.Contains(p.Unknown, "too few") || p.Finished {
		t.Errorf("of two that are done: %+v", p)
	}
	units = nil
	add(9, Done, false, 10)
	add(1, Done, false, 100)
	add(2, Begun, true, 0)
	add(8, Waiting, false, 0)
	p := ProgressOf(run, units, 0)
	// Ten are left: four at one time of 10 s each; or two, as now, of 100.
	if p.Left == nil || p.Left.Low != 25*time.Second || p.Left.High != 500*time.Second {
		t.Fatalf("left %+v of %+v, want 25 s to 500 s", p.Left, p)
	}
	if p.Done != 10 || p.Running != 2 || p.Waiting != 8 || p.Keys != 100 || p.Bytes != 1000 {
		t.Errorf("%+v", p)
	}
	for i := range units {
		if units[i].State == Begun {
			units[i].Claimed = false
		}
	}
	if p := ProgressOf(run, units, 0); p.Left != nil || !strings.Contains(p.Unknown, "none runs") {
		t.Errorf("with none that runs: %+v", p)
	}
	units = nil
	add(18, Done, false, 10)
	add(1, Failed, false, 0)
	add(1, LeftOut, false, 0)
	if p := ProgressOf(run, units, 0); !p.Finished || p.Left != nil {
		t.Errorf("of a whole one: %+v", p)
	}
	if p := ProgressOf(run, units[1:], 1); p.Finished {
		t.Errorf("finished with one that cannot be read: %+v", p)
	}
	// Ten on one host follow one another, however many may run.
	units = nil
	add(3, Done, false, 10)
	add(1, Begun, true, 0)
	for i := range 10 {
		units = append(units, waiting("x", "one:"+string(rune('a'+i))))
	}
	run.Units = len(units)
	if p := ProgressOf(run, units, 0); p.Left == nil || p.Left.Low != 100*time.Second {
		t.Errorf("ten on one host: %+v", p.Left)
	}
	units[0].Took = math.Inf(1)
	if p := ProgressOf(run, units, 0); p.Left == nil || p.Left.High < p.Left.Low || p.Left.High > longestLeft {
		t.Errorf("with one that took for ever: %+v", p.Left)
	}
}

func TestReadRefusesWhatItDoesNotKnow(t *testing.T) {
	for text, want := range map[string]string{
		``: "read run", `{"schema":2,"id":"r"}`: "schema is 2", `{"schema":1}`: "no id",
		`{"schema":1,"id":"r","parallel":0}`: "none of 1", `{"schema":1,"id":"r","parallel":1,"groups":"[a"}`: "groups", `{"schema":1,"id":"r","parallel":1,"max_load":-1}`: "load",
	} {
		if _, err := ReadRun([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{``, `{}`, `{"group":"a","state":"what"}`, `{"state":"done"}`, `{"group":"a","state":"done","tries":-1}`, `[1]`} {
		if u, err := ReadUnit([]byte(text)); err == nil {
			t.Errorf("%s is read as %+v", text, u)
		}
	}
	if got := Text(errors.New(strings.Repeat("ä\xff", 500))); len(got) > maxText+len("…") {
		t.Errorf("a reason of %d bytes is kept", len(got))
	}
}

// FuzzFleet has hosts take, die, break and go on in an order that the fuzzer makes:
// never are two at one unit or on one host, nor more at one time than may be, and
// nothing that is final is begun.
func FuzzFleet(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, uint8(2), false)
	f.Add([]byte("take and end and take again and break"), uint8(1), true)
	f.Fuzz(func(t *testing.T, steps []byte, parallel uint8, every bool) {
		run := running
		run.Parallel, run.Every = int(parallel%4)+1, every
		const hosts = 4
		type hold struct {
			key  string
			slot int
		}
		units := map[string]*Known{}
		var nodes [hosts][]Node
		for h := range hosts {
			for g := range 3 {
				n := replica(string(rune('a'+(h+g)%3)), string(rune('h'+h))+":"+string(rune('1'+g)))
				nodes[h] = append(nodes[h], n)
				u := Unit{Group: n.Group, State: Waiting}
				if every {
					u.Address = n.Address
				}
				units[u.Key()] = &Known{Unit: u}
			}
		}
		var held [hosts]*hold
		for _, s := range steps {
			h, what := int(s)%hosts, int(s)/hosts%4
			if held[h] != nil {
				u := units[held[h].key]
				switch what {
				case 0:
					u.Unit = After(u.Unit, Whole, "")
				case 1:
					u.Unit = After(u.Unit, Broken, "broken")
				case 2:
					u.Unit = After(u.Unit, Ended, "ended")
				} // else it dies
				u.Claimed, held[h] = false, nil
				continue
			}
			var list []Known
			for _, key := range Units(run, nodes[h]) {
				list = append(list, *units[key])
			}
			var slots []int
			for _, x := range held {
				if x != nil {
					slots = append(slots, x.slot)
				}
			}
			p := Next(run, list, nodes[h], len(slots), held[h] != nil)
			for _, u := range p.Settle {
				if was := units[u.Key()]; was.Claimed || was.Final() || !u.Final() {
					t.Fatalf("%+v is settled as %+v", was, u)
				}
				units[u.Key()].Unit = u
			}
			if len(p.Take) == 0 {
				continue
			}
			c := p.Take[0]
			u, slot := units[c.Unit.Key()], FreeSlot(run.Parallel, slots, what)
			if u.Claimed || u.Final() || u.Tries >= MaxTries || slot < 0 || slices.Contains(slots, slot) || slot >= run.Parallel {
				t.Fatalf("host %d may take %+v with slot %d of %v", h, u, slot, slots)
			}
			u.Unit, u.Claimed, held[h] = Begin(c.Unit, c.Node.Address), true, &hold{c.Unit.Key(), slot}
		}
	})
}

// TestALargeFleetLooksNoOftenerThanASmallOne: however many hosts wait, they look so
// often together; and the more audits may run, the oftener.
func TestALargeFleetLooksNoOftenerThanASmallOne(t *testing.T) {
	for _, c := range []struct {
		run  Run
		want time.Duration
	}{
		{Run{}, 5 * time.Second},
		{Run{Units: 300, Nodes: 500, Parallel: 10}, 5 * time.Second},
		{Run{Units: 15000, Nodes: 45000, Parallel: 25}, 6 * time.Minute},
		{Run{Units: 45000, Parallel: 25}, 6 * time.Minute}, // begun by an older command
		{Run{Units: 45000, Nodes: 45000, Parallel: 800}, 50 * time.Second},
		{Run{Units: -7, Nodes: -1, Parallel: -100}, 5 * time.Second},
	} {
		if got := c.run.Apart(5 * time.Second); got != c.want {
			t.Errorf("%+v: a look every %v, want %v", c.run, got, c.want)
		}
	}
}

func TestEveryReasonToWaitHasItsSentence(t *testing.T) {
	for _, why := range append(NodeWaits(), WaitsTurn, WaitsUnwatched, WaitsResting, WaitsNoReplica) {
		if text := WaitsText(why); text == why || text == "" {
			t.Errorf("%s has no sentence", why)
		}
	}
	if why, by := WaitsOf(waiting("a", ""), []Told{{Address: "h:1", Replica: true, Waits: "a word of a later version"}, {Address: "h:2", Replica: true, Waits: BusySaving}}); why != BusySaving || by != "h:2" {
		t.Errorf("waits for %s by %s", why, by)
	}
	if why, by := WaitsOf(waiting("a", "h:2"), []Told{{Address: "h:1", Replica: true}, {Address: "h:2", Replica: true, Waits: WaitsPlanned}}); why != WaitsPlanned || by != "h:2" {
		t.Errorf("a node waits for %s by %s", why, by)
	}
}
