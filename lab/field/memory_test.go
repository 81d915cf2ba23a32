package field

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// fill makes a store of a Redis that is over its limit, with nothing to evict.
func fill(t *testing.T, r *lab.Redis) {
	t.Helper()
	for range 100 {
		r.Do("RPUSH", "queue", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10")
	}
	r.Do("CONFIG", "SET", "maxmemory-policy", "noeviction")
	r.Do("CONFIG", "SET", "maxmemory", "500kb")
	if _, err := r.Try("SET", "grown", "v"); err == nil {
		t.Fatalf("%s takes a write although it is full", r.Name)
	}
}

// pops takes from the queue again and again, from a host, until the test ends or
// stop is called: what a full store still does for clients.
func pops(w *watched.World, from *lab.Host, r *lab.Redis) (stop func() lab.Trace) {
	ctx, cancel := context.WithCancel(w.Context())
	client := r.ClientFrom(from)
	var trace lab.Trace
	var work sync.WaitGroup
	work.Go(func() {
		for ctx.Err() == nil {
			a := lab.Answer{Redis: r.Address, Sent: lab.Now(), Kind: lab.OK}
			if err := client.LPop(ctx, "queue").Err(); err != nil {
				a.Kind, a.Text = lab.Refused, err.Error()
			}
			a.Received = lab.Now()
			trace = append(trace, a)
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	stop = func() lab.Trace { cancel(); work.Wait(); return trace }
	w.T.Cleanup(func() { stop() })
	return stop
}

// A limit was lowered below what a store holds: it takes no SET, and still gives
// what it has, by GET and by LPOP. Its watchdog freezes and its host is cut off.
// The fence that stands inside Redis must do what no watchdog can.
func TestFullStoreIsFencedWithoutItsWatchdog(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{Group: lab.GroupConfig{FailTimeout: 10 * time.Second}})
	s := begin(t, w)
	c := w.BeforeCut()
	popped := pops(w, s.master.Host, s.master.Redis)
	s.done("the master's maxmemory is set below its data; its watchdog freezes, and its host is cut off")
	fill(t, s.master.Redis)
	w.Pause(time.Second)
	s.master.Stop()
	c.Cut("cut: the master sees nobody", func() { w.Isolate(s.master.Host) })
	c.WaitWritten()
	w.Pause(3 * time.Second)
	change, pop := c.Heal(), popped()
	if change.Fenced.At == 0 {
		t.Errorf("the old master was never fenced")
	}
	if n := len(change.OverlappingReads); n != 0 {
		t.Errorf("%d GETs were answered by the old master after the promotion", n)
	}
	if late := pop.OK().Received(change.Promoted.At.Add(1), watchdog.Never); len(late) != 0 {
		t.Errorf("%d LPOPs were answered by the old master after the promotion, the last %v after it",
			len(late), late.LastOK().Received.Sub(change.Promoted.At))
	}
	if len(pop.OK().Received(0, change.Cut)) == 0 {
		t.Errorf("no LPOP was answered before the cut: %s", pop)
	}
	s.master.Cont()
	w.WaitGuarded()
	t.Logf("fenced %v, promoted %v after the cut; LPOP: %s", change.Fenced.At.Sub(change.Cut), change.Promoted.At.Sub(change.Cut), pop)
}

// The same store is fenced and opened by hand: it is served as before, so that
// clients can free what is too much.
func TestFullStoreIsFencedAndOpenedByHand(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{Group: lab.GroupConfig{FailTimeout: 10 * time.Second}})
	s := begin(t, w)
	s.done("the master's maxmemory is set below its data; fence, unfence")
	fill(t, s.master.Redis)
	order := func(command string) {
		t.Helper()
		if out, code := s.master.CLI(command, w.Group.Name); code != 0 {
			t.Fatalf("%s: exit code %d: %s", command, code, out)
		}
	}
	order("fence")
	s.master.WaitPhase("refuse")
	order("unfence")
	s.master.WaitFor("serves, and no change of Redis is refused", func(st agent.Status) bool {
		return st.Phase == "serve" && !slices.ContainsFunc(st.Faults, func(f agent.Fault) bool { return f.ID == "gate_step" })
	})
	w.Eventually("clients can take and delete", 20*time.Second, func() error {
		for _, command := range [][]any{{"LPOP", "queue"}, {"DEL", "queue"}} {
			if reply, err := s.master.Redis.Try(command...); err != nil {
				return fmt.Errorf("%v: %v, %v", command, reply, err)
			}
		}
		return nil
	})
}
