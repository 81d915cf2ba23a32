package scenario

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// isolation is a way to cut a host off from all others.
type isolation func(w *watched.World, h *lab.Host)

func silently(w *watched.World, h *lab.Host) { w.Isolate(h) }

// deaf cuts only what the host is sent, mute only what it sends: TCP dies of
// either, but each side learns of it in another way.
func deaf(w *watched.World, h *lab.Host) { eachOther(w, h, func(o *lab.Host) { w.Cut(o, h) }) }
func mute(w *watched.World, h *lab.Host) { eachOther(w, h, func(o *lab.Host) { w.Cut(h, o) }) }

func eachOther(w *watched.World, h *lab.Host, cut func(*lab.Host)) {
	for _, o := range w.Hosts {
		if o != h {
			cut(o)
		}
	}
}

// TestMasterCutOff is case d: the master and the clients beside it see nobody
// else. Sentinel alone stands the same cut at the same time. Hook commands that
// fail and hang at every change of phase change nothing of it.
func TestMasterCutOff(t *testing.T) {
	t.Parallel()
	told := filepath.Join(t.TempDir(), "told")
	guarded, alone := cutOff(t, downAfter, silently, shortOutage, func(c *watched.Config) {
		c.Hooks = []map[string]any{
			{"command": []string{"/bin/sh", "-c", `{ cat; env | grep ^REDIS_WATCHDOG_MASTER=; } >>"$0"`, told}, "on": []string{"refuse", "serve"}},
			{"command": []string{"/bin/false"}},
			{"command": []string{"/bin/sleep", "600"}, "timeout": "1s"},
		}
	})
	contractOfCutOff(t, guarded, downAfter)
	hooksWereTold(t, told, guarded)
	sentinelAloneLosesAll(t, alone)
	// It is our watchdog that brings the old master back, not Sentinel, which
	// waits to be sure that it is really wrong.
	if ours, theirs := guarded.Rejoined.At.Sub(guarded.Healed), alone.Rejoined.At.Sub(alone.Healed); ours >= theirs {
		t.Errorf("the old master rejoined %v after the heal, with Sentinel alone %v", ours, theirs)
	}
}

// hooksWereTold: of the fence of the old master, and that the new one serves,
// as it was.
func hooksWereTold(t *testing.T, file string, c watched.Change) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("no hook was told anything: %v", err)
	}
	var refused, served int
	for line := range strings.Lines(string(text)) {
		var e struct {
			Group, Node, Address, From, To, Reason, Master string
			Row                                            int
			Epoch                                          uint64
		}
		if json.Unmarshal([]byte(line), &e) != nil {
			if !strings.HasPrefix(line, "REDIS_WATCHDOG_MASTER=") {
				t.Errorf("a hook was told %q", line)
			}
			continue
		}
		switch {
		case e.To == "refuse" && e.Address == c.Old.Address:
			refused++
			if e.Row == 0 || e.Reason == "" || e.From == e.To || e.Node != "default" {
				t.Errorf("of the fence a hook was told %s", line)
			}
		case e.To == "serve" && e.Address == c.New.Address && e.Master == c.New.Address && e.Epoch > 0:
			served++
		}
	}
	if refused == 0 || served == 0 {
		t.Errorf("hooks were told %d times of the fence, %d times that the new master serves; want both:\n%s", refused, served, text)
	}
}

func TestMasterHearsNobody(t *testing.T) {
	t.Parallel()
	guarded, alone := cutOff(t, downAfter, deaf, shortOutage)
	contractOfCutOff(t, guarded, downAfter)
	// Some of the first writes still reach the replicas, as many packets as TCP
	// sends before it misses an acknowledgement.
	overlapsAlone(t, alone)
	if acked, lost := len(alone.Acked), lostAfterCut(alone); lost < acked*9/10 {
		t.Errorf("with Sentinel alone %d writes were acknowledged after the cut, and only %d of them lost", acked, lost)
	}
}

func TestMasterIsHeardByNobody(t *testing.T) {
	t.Parallel()
	guarded, alone := cutOff(t, downAfter, mute, shortOutage)
	contractOfCutOff(t, guarded, downAfter)
	sentinelAloneLosesAll(t, alone)
}

// shortOutage goes on after the first write to the new master, for overlaps to
// show.
const shortOutage = 4 * time.Second

// cutOff cuts the masters of two groups off, one with watchdogs and one with
// Sentinel alone, in the same way and at the same time, and heals when both
// have had new masters for a while. configure has the last word on the
// watchdogs' configuration.
func cutOff(t *testing.T, d time.Duration, cut isolation, outage time.Duration, configure ...func(*watched.Config)) (guarded, alone watched.Change) {
	t.Helper()
	o := watched.Options{Config: func(c *watched.Config) {
		for _, change := range configure {
			change(c)
		}
	}, Group: lab.GroupConfig{DownAfter: d, FailTimeout: 10 * time.Second}}
	with := watched.Start(t, o)
	o.Unguarded = true
	without := watched.Start(t, o)
	g, a := with.BeforeCut(), without.BeforeCut()
	with.Narrate()

	g.Cut("cut: the master sees nobody", func() { cut(with, g.Old().Host) })
	a.Cut("cut: the master sees nobody", func() { cut(without, a.Old().Host) })
	g.WaitWritten()
	a.WaitWritten()
	with.Pause(outage)
	guarded, alone = g.Heal(), a.Heal()
	with.WaitGuarded()
	t.Logf("with watchdogs: %s", guarded.Sum(d))
	t.Logf("Sentinel alone: %s", alone.Sum(d))
	return guarded, alone
}

// contractOfCutOff is what must hold of every cut that leaves a master with no
// witness.
func contractOfCutOff(t *testing.T, c watched.Change, d time.Duration) {
	t.Helper()
	contractOfFence(t, c)
	// Counted from when the cut was whole: on a busy machine making it takes time.
	if c.LastAcked().Sub(c.Whole) > d/2 {
		t.Errorf("the old master acknowledged writes until %.2f D after the cut: that is no hold", c.After(c.LastAcked(), d))
	}
	// Held until refused: writers waited (as long as they cared to), and the
	// first error of any is the fence's: it cuts their connections.
	refused := c.FirstError()
	if refused.Kind != lab.Reset {
		t.Errorf("the first error of a writer is %s %s, not the cutting of its connection by the fence", refused.Kind, refused.Text)
	}
	// D/2 of hold; a quarter of D for the machine.
	if held := refused.Received.Sub(c.LastAcked()); held > d/2+d/4 {
		t.Errorf("the hold lasted %v, far more than half of down-after (%v)", held, d)
	}
}

// contractOfFence is what must hold of every cut that ends in another master.
func contractOfFence(t *testing.T, c watched.Change) {
	t.Helper()
	if c.New == c.Old || c.Promoted.At == 0 {
		t.Fatalf("nobody was promoted: %s is the master still", c.Old.Name)
	}
	if c.Fenced.At == 0 || c.Fenced.At > c.Promoted.After {
		t.Errorf("refused %v after the cut, another was promoted %v after it", c.Fenced.At.Sub(c.Cut), c.Promoted.After.Sub(c.Cut))
	}
	if n := len(c.OverlappingWrites); n > 0 {
		t.Errorf("%d writes were acknowledged by the old master after the new one had acknowledged its first", n)
	}
	if n := len(c.OverlappingReads); n > 0 {
		t.Errorf("%d reads were answered by the old master after the promotion", n)
	}
	if n := len(c.Shut); n > 0 {
		t.Errorf("%d commands were answered by the old master between its fence and its being a replica in step, the first %v after the fence", n, c.Shut[0].Received.Sub(c.Fenced.At))
	}
	for _, a := range c.Lost {
		if a.Redis != c.Old.Address || a.Sent > c.Fenced.At {
			t.Errorf("lost although acknowledged by %s, sent %v after the fence", a.Redis, a.Sent.Sub(c.Fenced.At))
		}
	}
	// What was acknowledged long before the cut was replicated long before it.
	if early := c.Lost.Received(0, c.Cut.Add(-time.Second)); len(early) > 0 {
		t.Errorf("%d writes are lost that were acknowledged a second and more before the cut", len(early))
	}
	if c.Rejoined.At == 0 {
		t.Errorf("the old master never became a replica in step")
	}
}

// sentinelAloneLosesAll is the proof that the cut is what we say it is.
func sentinelAloneLosesAll(t *testing.T, c watched.Change) {
	t.Helper()
	overlapsAlone(t, c)
	if lost := lostAfterCut(c); lost != len(c.Acked) {
		t.Errorf("with Sentinel alone %d writes were acknowledged after the cut, and %d of them lost, not all", len(c.Acked), lost)
	}
}

func lostAfterCut(c watched.Change) int {
	return len(c.Lost.Sent(c.Whole, watchdog.Never).On(c.Old.Address))
}

func overlapsAlone(t *testing.T, c watched.Change) {
	t.Helper()
	if c.Promoted.At == 0 {
		t.Fatalf("Sentinel alone promoted nobody")
	}
	if len(c.OverlappingWrites) == 0 || len(c.OverlappingReads) == 0 {
		t.Errorf("with Sentinel alone %d writes and %d reads overlapped: this cut shows nothing", len(c.OverlappingWrites), len(c.OverlappingReads))
	}
}
