//go:build soak

package scenario

// Case i, again and again: a cut that begins while somebody stands still.

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// cutsAWorld is how many cuts one group lives through: each leaves watches on its
// Redis behind.
const cutsAWorld = 5

// Before the cut, the master, its watchdog, both, the Sentinel beside them or the
// whole host begin to stand still, for anything up to twice down-after-milliseconds;
// the cut comes while they do. Nothing overlaps, and the old master answers nobody
// past the promotion. ROUNDS is how many cuts there are (10); half of them in the
// half second before the fence is due.
func TestCutThatBeginsDuringAStallSoak(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv("ROUNDS"))
	if err != nil {
		rounds = 10
	}
	for first := 0; first < rounds; first += cutsAWorld {
		t.Run(strconv.Itoa(first), func(t *testing.T) {
			t.Parallel()
			w := watched.Start(t, shortFailover(watched.Options{Systemd: true}))
			for i := first; i < min(first+cutsAWorld, rounds) && !t.Failed(); i++ {
				cutDuringAStall(t, w, i)
			}
		})
	}
}

func cutDuringAStall(t *testing.T, w *watched.World, round int) {
	old := w.WaitServing()
	c := w.BeforeCut()
	own := func() *lab.Sentinel { // beside the master
		for _, s := range w.Group.Sentinels {
			if s.Host == old.Host {
				return s
			}
		}
		t.Fatalf("no Sentinel stands on %s", old.Host.Name)
		return nil
	}()
	who := []struct {
		name       string
		stop, cont func()
	}{
		{"the master", func() { old.Redis.Stop() }, func() { old.Redis.Cont() }},
		{"its watchdog", func() { old.Stop() }, func() { old.Cont() }},
		{"both", func() { old.Stop(); old.Redis.Stop() }, func() { old.Redis.Cont(); old.Cont() }},
		{"both, which wake the other way round", func() { old.Redis.Stop(); old.Stop() }, func() { old.Cont(); old.Redis.Cont() }},
		{"the Sentinel beside it", func() { own.Stop() }, func() { own.Cont() }},
		{"its host", old.Host.Freeze, old.Host.Thaw},
	}[round%6]
	stall := rand.N(2 * downAfter)
	if round/6%2 == 0 {
		stall = downAfter*9/10 + rand.N(downAfter/5)
	}
	before := rand.N(min(stall, downAfter))
	begun := lab.Now()
	who.stop()
	stands := lab.Now()
	w.Pause(before)
	cutOffAtOnce(w, c)
	w.Pause(stall - lab.Now().Sub(begun))
	woken := w.Mark("%s goes on", who.name)
	who.cont()
	c.WaitWritten()
	w.Pause(downAfter / 2)
	change := c.Heal()
	w.WaitGuarded()
	t.Logf("cut %d, %v into a stall of %v of %s: %s", round, before.Round(time.Millisecond), woken.Sub(begun).Round(time.Millisecond), who.name, change.Sum(downAfter))
	if change.Promoted.At == 0 || change.Rejoined.At == 0 {
		t.Fatalf("promoted at %v, rejoined at %v", change.Promoted.At, change.Rejoined.At)
	}
	// One that stood still while it sent an answer sends it when it wakes: of what it
	// had executed before.
	late := append(append(answeredLate(c, change), change.OverlappingWrites...), change.OverlappingReads...).Sent(stands, watchdog.Never)
	for _, a := range late {
		t.Errorf("sent %v into the stall and answered %v after it, %v after the promotion: %+v",
			a.Sent.Sub(stands), a.Received.Sub(woken), a.Received.Sub(change.Promoted.At), a)
	}
}
