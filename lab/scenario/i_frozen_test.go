package scenario

// Case i: nobody is awake to fence. The fence stands armed inside Redis.

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// The watchdog is stopped in the middle of whatever it does, then the master
// is cut off. Nobody else is there to make it a replica on the heal: Sentinel
// does, after its failover-timeout.
func TestWatchdogFrozenThenCut(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, shortFailover(watched.Options{}))
	c := w.BeforeCut()
	old := watchdogOf(w, c.Old())
	old.Stop()
	cutOffAtOnce(w, c)
	c.WaitWritten()
	w.Pause(shortOutage)
	change := c.Heal()
	t.Logf("%s", change.Sum(downAfter))
	contractOfFence(t, change)
	old.Cont()
	putBack(w, old)
}

// It is killed and nobody starts it again; the service manager's descriptor
// store keeps the armed fence. A second group has no such store at the same
// time, and there the same cut does what it does with Sentinel alone.
func TestWatchdogKilledThenCut(t *testing.T) {
	t.Parallel()
	with := watched.Start(t, shortFailover(watched.Options{Systemd: true}))
	without := watched.Start(t, shortFailover(watched.Options{}))
	k, l := with.BeforeCut(), without.BeforeCut()
	old := watchdogOf(with, k.Old())
	old.Kill()
	cutOffAtOnce(with, k)
	watchdogOf(without, l.Old()).Kill()
	cutOffAtOnce(without, l)
	k.WaitWritten()
	l.WaitWritten()
	with.Pause(shortOutage)
	kept, lost := k.Heal(), l.Heal()
	t.Logf("with a store: %s", kept.Sum(downAfter))
	t.Logf("without:      %s", lost.Sum(downAfter))
	contractOfFence(t, kept)
	if len(lost.OverlappingWrites) == 0 || len(lost.OverlappingReads) == 0 {
		t.Errorf("with nothing that kept the armed fence %d writes and %d reads overlapped: this cut shows nothing",
			len(lost.OverlappingWrites), len(lost.OverlappingReads))
	}
	old.Restart()
	putBack(with, old)
}

func shortFailover(o watched.Options) watched.Options {
	o.Group.DownAfter, o.Group.FailTimeout = downAfter, 10*time.Second
	return o
}

func cutOffAtOnce(w *watched.World, c *watched.Cutting) {
	c.Cut("cut: the master sees nobody", func() { w.Isolate(c.Old().Host) })
}

// putBack: once its watchdog is awake again all is as ever, the operator's
// values too, in Redis and in redis.conf.
func putBack(w *watched.World, d *watched.Watchdog) {
	w.T.Helper()
	w.WaitGuarded()
	w.Eventually(d.Redis.Name+" has the operator's values", 20*time.Second, func() error {
		if prio, stale := d.Redis.Config("replica-priority"), d.Redis.Config("replica-serve-stale-data"); prio != "100" || stale != "yes" {
			return fmt.Errorf("replica-priority %s, replica-serve-stale-data %s", prio, stale)
		}
		conf, err := os.ReadFile(d.Redis.ConfigFile)
		if err != nil {
			return err
		}
		for _, ours := range []string{"replica-priority 0", "replica-serve-stale-data no", "replicaof 127.0.0.1 0"} {
			if strings.Contains(string(conf), ours) {
				return fmt.Errorf("%q is left in redis.conf", ours)
			}
		}
		return nil
	})
}

// The whole host of the master stops for longer than it takes the others to
// have a new master, as a hypervisor's pause does, and goes on. Whatever had
// been sent to it meanwhile waits in its sockets.
func TestHostOfMasterFrozen(t *testing.T) {
	t.Parallel()
	frozenHost(t, 0, func(*watched.Watchdog) {})
}

// Nor does it take a watchdog that wakes with it.
func TestHostOfMasterFrozenWithoutWatchdog(t *testing.T) {
	t.Parallel()
	frozenHost(t, 0, func(d *watched.Watchdog) { d.Kill() })
}

func frozenHost(t *testing.T, length time.Duration, before func(*watched.Watchdog)) {
	w := watched.Start(t, shortFailover(watched.Options{Systemd: true}))
	old := w.WaitServing()
	c := w.BeforeCut()
	// They wait for an answer as long as it takes.
	patient := lab.LoadConfig{Name: "patient", To: old.Redis, Connections: 20, Rate: 1000, Timeout: 2 * time.Minute}
	begun := lab.Now()
	writer, reader := w.Hosts[1].Writer(patient), w.Hosts[1].Reader(patient)
	writer.WaitOK(begun, 20*time.Second)
	reader.WaitOK(begun, 20*time.Second)

	before(old)
	frozen := lab.Now()
	c.Cut("the whole host of the master is frozen", old.Host.Freeze)
	stands := lab.Now()
	// They connect to it, for the kernel answers, and send all they have to say
	// while it stands still.
	patient.Name = "late"
	lateWriter, lateReader := w.Hosts[2].Writer(patient), w.Hosts[2].Reader(patient)
	c.WaitWritten()
	w.Pause(max(shortOutage, length-lab.Now().Sub(frozen)))
	woken := w.Mark("woken")
	old.Host.Thaw()
	queued := func(d *lab.Load) lab.Trace { return d.Trace().Sent(0, woken).Received(woken, watchdog.Never) }
	w.Eventually("the patient are answered", time.Minute, func() error {
		for _, d := range []*lab.Load{writer, reader, lateWriter, lateReader} {
			if n := len(queued(d)); n < patient.Connections {
				return fmt.Errorf("%s: %d of %d", d.Name, n, patient.Connections)
			}
		}
		return nil
	})
	change := c.Heal()
	t.Logf("%s", change.Sum(downAfter))
	for name, loads := range map[string][]*lab.Load{"writes": {writer, lateWriter}, "reads": {reader, lateReader}} {
		t.Logf("%s queued while it was frozen: %s; of those who came then: %s", name, queued(loads[0]), queued(loads[1]))
		// A Redis that is frozen while it sends its answers sends the rest on waking:
		// of what it had executed before, as if the network had held them up.
		all := append(queued(loads[0]), queued(loads[1])...)
		if n := len(all.Sent(stands, woken).OK()); n != 0 {
			t.Errorf("%d %s that were sent after it had frozen were answered on waking, want 0", n, name)
		}
	}
	writes := append(writer.Stop(), lateWriter.Stop()...)
	reader.Stop()
	lateReader.Stop()
	// It was not there to be fenced before the promotion: it is fenced before
	// its first answer.
	if change.Promoted.At == 0 || change.Rejoined.At == 0 {
		t.Fatalf("promoted at %v, rejoined at %v", change.Promoted.At, change.Rejoined.At)
	}
	// While it is frozen nobody sees its role: Rejoined.After is of before.
	everybody := append(c.Sides.Writes(), writes...)
	if acked := everybody.On(old.Redis.Address).Sent(stands, watchdog.Never).AckedAfter(change.Promoted.At); len(acked) != 0 {
		t.Errorf("%d writes were acknowledged by the old master after the promotion", len(acked))
	}
	if n := len(change.OverlappingWrites) + len(change.OverlappingReads) + len(change.Shut); n != 0 {
		t.Errorf("%d writes and %d reads overlap, %d were answered while shut, want 0",
			len(change.OverlappingWrites), len(change.OverlappingReads), len(change.Shut))
	}
	if !old.Running() {
		old.Restart()
	}
	putBack(w, old)
}
