package scenario

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// quiet is what a group that nothing should happen to is held against.
type quiet struct {
	w              *watched.World
	before         grant.Group
	decided        []int
	writer, reader *lab.Load
}

// expectQuiet starts a writer and a reader that know the master alone: whoever
// is led astray by a Sentinel is another matter.
func expectQuiet(w *watched.World) *quiet {
	w.T.Helper()
	master := w.Group.Master()
	from := w.Hosts[(indexOf(w, master)+1)%len(w.Hosts)]
	q := &quiet{w: w, before: w.Record(),
		writer: from.Writer(lab.LoadConfig{Name: "writer", To: master}),
		reader: from.Reader(lab.LoadConfig{Name: "reader", To: master})}
	q.writer.WaitOK(lab.Now(), 20*time.Second)
	for _, d := range w.Watchdogs {
		q.decided = append(q.decided, len(d.Decided()))
	}
	return q
}

// decidedSince is what the watchdogs have decided since, but for what no
// Sentinel's word can bring about and no client notices: that etcd, a replica or
// its Redis was not heard for a moment, and that the grant was renewed.
func (q *quiet) decidedSince() map[int][]string {
	rows := map[int][]string{}
	for i, d := range q.w.Watchdogs {
		for _, v := range d.Decided()[q.decided[i]:] {
			if slices.Contains([]int{3, 4, 9, 11}, v.Row) && !moved(v.Reason) {
				continue
			}
			rows[v.Row] = append(rows[v.Row], d.Host.Name+": "+v.Reason)
		}
	}
	return rows
}

// nobodyDeposed says that no watchdog refused, deposed or followed anybody,
// whatever the Sentinels said.
func (q *quiet) nobodyDeposed(t *testing.T) {
	t.Helper()
	rows := q.decidedSince()
	for _, row := range []int{5, 6, 7, 10, 12, 13, 14} {
		if len(rows[row]) != 0 {
			t.Errorf("row %d: %v", row, rows[row])
		}
	}
	if slices.ContainsFunc(rows[3], moved) {
		t.Errorf("replicas moved: %v", rows[3])
	}
}

// moved says that a decision made a Redis follow another.
func moved(decided string) bool {
	return strings.HasSuffix(decided, "missed_failover") || strings.HasSuffix(decided, "rejoining")
}

// clientsNoticedNothing says that no command failed and none waited for longer
// than a moment: with room for the machine, far from any fence.
func (q *quiet) clientsNoticedNothing(t *testing.T) {
	t.Helper()
	for _, load := range []*lab.Load{q.writer, q.reader} {
		trace := load.Stop()
		if failed := trace.Failed(); len(failed) != 0 {
			t.Errorf("%s: %v", load.Name, failed.Count())
		}
		if at, wait := trace.LongestWait(); wait > downAfter/2 {
			t.Errorf("%s: nothing acknowledged for %v from %v on", load.Name, wait, q.w.Since(at))
		}
	}
}

// nothingAgreed says that the agreement is as it was.
func (q *quiet) nothingAgreed(t *testing.T) {
	t.Helper()
	if got, want := q.w.Record().Agreement.Agreement(), q.before.Agreement.Agreement(); got != want {
		t.Errorf("the agreement is %v, was %v", got, want)
	}
}

// nothingWritten says that the agreement and the grant are as they were.
func (q *quiet) nothingWritten(t *testing.T) {
	t.Helper()
	q.nothingAgreed(t)
	now := q.w.Record()
	if now.Grant.Holder != q.before.Grant.Holder || now.Grant.ClaimedAt != q.before.Grant.ClaimedAt {
		t.Errorf("the grant is %s's of %v, was %s's of %v", now.Grant.Holder, now.Grant.ClaimedAt, q.before.Grant.Holder, q.before.Grant.ClaimedAt)
	}
}

// waitGeneration waits for an agreement of a new generation that names the same master at the
// epoch the Sentinels have begun anew with.
func (q *quiet) waitGeneration(epoch uint64) {
	q.w.T.Helper()
	was := q.before.Agreement
	q.w.Eventually("a new generation", 30*time.Second, func() error {
		now := q.w.Record().Agreement
		if now.Generation != was.Generation+1 || now.Epoch != epoch || now.Address != was.Address || now.DecidedCause != "reset" {
			return fmt.Errorf("the agreement is %d/%d of %s for %q, was %d/%d of %s",
				now.Generation, now.Epoch, now.Address, now.DecidedCause, was.Generation, was.Epoch, was.Address)
		}
		return nil
	})
}

// monitorAnew is what an operator types: the group is forgotten and watched
// again, its config epoch begins at 0. First on all, then on all: a Sentinel
// that still has the old epoch would tell it to the others.
func monitorAnew(w *watched.World, r *lab.Redis, sentinels ...*lab.Sentinel) {
	w.T.Helper()
	ip, port, _ := strings.Cut(r.Address, ":")
	for _, s := range sentinels {
		s.Do("SENTINEL", "REMOVE", w.Group.Name)
	}
	for _, s := range sentinels {
		s.Do("SENTINEL", "MONITOR", w.Group.Name, ip, port, "2")
		s.Do("SENTINEL", "SET", w.Group.Name, "down-after-milliseconds", fmt.Sprint(downAfter.Milliseconds()))
		s.Do("SENTINEL", "SET", w.Group.Name, "failover-timeout", "10000")
		w.Mark("%s is told to monitor %s anew", s.Name, r.Name)
	}
}

// rewrite replaces sentinel.conf by what a template makes, on all before any
// is started again (for the same reason). Lines are added to it.
func rewrite(t *testing.T, w *watched.World, master *lab.Redis, sentinels []*lab.Sentinel, lines ...string) {
	t.Helper()
	for _, s := range sentinels {
		s.Kill()
	}
	for _, s := range sentinels {
		wipe(t, s, master, lines...)
	}
	for _, s := range sentinels {
		s.Restart()
	}
	w.Mark("%d sentinel.conf were written anew and name %s", len(sentinels), master.Name)
}

// wipe writes sentinel.conf as a template would that knows the master, and none
// of what Sentinel keeps there for itself; Sentinel must not be running.
func wipe(t *testing.T, s *lab.Sentinel, master *lab.Redis, more ...string) {
	t.Helper()
	was, err := os.ReadFile(s.ConfigFile)
	if err != nil {
		t.Fatal(err)
	}
	ip, port, _ := strings.Cut(master.Address, ":")
	var lines []string
	for line := range strings.Lines(string(was)) {
		switch words := strings.Fields(line); {
		case len(words) < 2 || words[0] == "latency-tracking-info-percentiles":
		case words[0] == "sentinel" && slices.Contains([]string{"config-epoch", "leader-epoch", "current-epoch",
			"known-replica", "known-slave", "known-sentinel", "myid"}, words[1]):
		case words[0] == "sentinel" && words[1] == "monitor":
			words[3], words[4] = ip, port
			lines = append(lines, strings.Join(words, " "))
		default:
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	lines = append(lines, more...)
	if err := os.WriteFile(s.ConfigFile, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// failedOver has Sentinel fail over once, so that there is an epoch to lose, and
// waits until all is calm at it.
func failedOver(w *watched.World) *lab.Redis {
	w.T.Helper()
	old := w.Group.Master()
	w.Group.Failover()
	var rest []*lab.Redis
	for _, r := range w.Group.Redis {
		if r != old {
			rest = append(rest, r)
		}
	}
	master := w.Group.WaitMaster(rest...)
	w.WaitAgreed(master)
	w.Group.WaitReplicas()
	w.Group.WaitStable()
	w.WaitGuarded()
	return master
}

func hasFault(s agent.Status, id string) bool {
	return slices.ContainsFunc(s.Faults, func(f agent.Fault) bool { return f.ID == id })
}

func groupB() lab.GroupConfig { return lab.GroupConfig{DownAfter: downAfter} }
