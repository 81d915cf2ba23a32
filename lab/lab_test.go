package lab_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/lab"
)

func TestCutDropsOneWay(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	a, b := l.Host("a"), l.Host("b")
	// Replication tells the two ways apart: the master's PINGs reach the
	// replica or not, the replica's acknowledgements the master or not.
	master := a.Redis(lab.RedisConfig{Lines: []string{"repl-ping-replica-period 1"}})
	replica := b.Redis(lab.RedisConfig{ReplicaOf: master})
	inStep(l, replica)
	master.Do("SET", "before", "the cut")
	l.Eventually("the stream flows", 10*time.Second, func() error { return equal(replica.Do("GET", "before"), "the cut") })

	// What b sends is lost: the master hears no acknowledgement, while the
	// replica still gets data.
	l.Cut(b, a)
	acked := master.Info()["slave0"]
	master.Do("SET", "one", "way")
	l.Eventually("data passes from a to b", 10*time.Second, func() error { return equal(replica.Do("GET", "one"), "way") })
	l.Eventually("the master misses b's word", 15*time.Second, func() error {
		if lag := field(master.Info()["slave0"], "lag"); lag == "0" || lag == "1" {
			return fmt.Errorf("lag is %s (slave0 was %s)", lag, acked)
		}
		return nil
	})

	l.Heal()
	l.CutBoth(a, b)
	master.Do("SET", "two", "ways")
	reader := b.Reader(lab.LoadConfig{To: master, Connections: 1, Rate: 20, Timeout: 300 * time.Millisecond})
	l.Eventually("b cannot connect to a", 10*time.Second, func() error {
		if failed := reader.Trace().Failed(); len(failed) < 2 {
			return errAnswers(reader.Trace())
		}
		return nil
	})
	if got := replica.Do("GET", "two"); got != nil {
		t.Errorf("data passed a cut both ways: got %v", got)
	}
	l.Heal()
	l.Eventually("data passes after the heal", 30*time.Second, func() error { return equal(replica.Do("GET", "two"), "ways") })
	reader.WaitOK(0, 20*time.Second)
	if ok := reader.Stop().OK(); len(ok) == 0 {
		t.Error("b reads nothing from a after the heal")
	}
}

func TestCutPortsLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	a, b, c := l.Host("a"), l.Host("b"), l.Host("c")
	one := a.Redis(lab.RedisConfig{})
	two := a.Redis(lab.RedisConfig{Port: 7000})
	l.CutPorts(b, a, 6379)
	if err := reach(b, one); err == nil {
		t.Error("b reaches the port that is cut")
	}
	for _, err := range []error{reach(b, two), reach(c, one)} {
		if err != nil {
			t.Errorf("a port or host that is not cut: %v", err)
		}
	}
	l.Mend(a, b)
	if err := reach(b, one); err != nil {
		t.Errorf("after mending: %v", err)
	}
	l.Isolate(a, c)
	if err := reach(b, two); err == nil {
		t.Error("b reaches an isolated host")
	}
	if err := reach(c, two); err != nil {
		t.Errorf("c is excepted: %v", err)
	}
	l.Rejoin(a)
	a.LinkDown()
	if err := reach(b, two); err == nil {
		t.Error("b reaches a host whose cable is pulled")
	}
	l.Heal()
	l.Eventually("the cable is in again", 10*time.Second, func() error { return reach(b, two) })
}

func TestGroupFailsOverAfterKill(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	group := l.Group(lab.GroupConfig{DownAfter: time.Second})
	old := group.Redis[0]
	roles := group.WatchRoles()
	writer := l.Host("clients").Writer(lab.LoadConfig{Sentinels: group.Sentinels, Timeout: time.Second})
	writer.WaitOK(0, 10*time.Second)

	killed := old.Kill()
	group.WaitMaster(group.Redis[1:]...)
	writer.WaitOK(lab.Now(), 20*time.Second)
	trace := writer.Stop()

	if epoch := group.Sentinels[0].Epoch(group.Name); epoch == 0 {
		t.Error("config epoch: got 0, as before the failover")
	}
	// Which one it is, is Sentinel's affair; on a busy machine it fails over twice.
	first := trace.AckedAfter(killed).FirstOK()
	seen := false
	for i, r := range group.Redis {
		promotion := roles[i].BecameMaster(killed)
		seen = seen || r != old && r.Address == first.Redis && promotion.At != 0 && promotion.After < first.Received
	}
	if !seen {
		t.Errorf("the first write after the kill is %+v, and no promotion before it was seen there", first)
	}
	if overlap := lab.OverlappingWrites(trace.On(old.Address), trace.On(first.Redis)); len(overlap) > 0 {
		t.Errorf("a dead master acknowledged %d writes", len(overlap))
	}
	if _, wait := trace.LongestWait(); wait < time.Second/2 {
		t.Errorf("clients waited %v, far less than down-after", wait)
	}
	old.Restart()
	l.Eventually("the old master follows", 40*time.Second, func() error {
		if role, master := old.Role(), group.Named(); master == nil || role.Following != master.Address {
			return fmt.Errorf("it is %s", role)
		}
		return nil
	})
}

// Without a watchdog, a master on the wrong side goes on acknowledging: the lab
// must be able to show it.
func TestPartitionOfSentinelAloneOverlapsAndLoses(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	group := l.Group(lab.GroupConfig{DownAfter: time.Second})
	old, a := group.Redis[0], l.Host("a")
	roles := group.WatchRoles()
	near := a.Writer(lab.LoadConfig{Name: "near", To: old})
	reads := a.Reader(lab.LoadConfig{Name: "near-reader", To: old})
	near.WaitOK(0, 10*time.Second)

	cut := lab.Now()
	l.Isolate(a)
	group.WaitMaster(group.Redis[1:]...)
	far := l.Host("far").Writer(lab.LoadConfig{Name: "far", Sentinels: group.Sentinels[1:]})
	first := far.WaitOK(0, 20*time.Second)
	near.WaitOK(first.Received, 10*time.Second)
	l.Heal()
	l.Eventually("the old master follows", 40*time.Second, func() error {
		if role := old.Role(); !role.Synced() {
			return fmt.Errorf("it is %s", role)
		}
		return nil
	})
	writes, answered := near.Stop(), reads.Stop()
	if overlap := lab.OverlappingWrites(writes, far.Stop()); len(overlap) == 0 {
		t.Errorf("no overlap seen: %s", writes)
	}
	promotion := roles[1].BecameMaster(cut)
	if other := roles[2].BecameMaster(cut); promotion.At == 0 || other.At != 0 && other.At < promotion.At {
		promotion = other
	}
	if overlap := lab.OverlappingReads(answered, old, roles[0], promotion); len(overlap) == 0 {
		t.Errorf("no read of the old master seen: %s", answered)
	}
	lost := lab.Lost(writes, group.Master())
	if got, want := len(lost), len(writes.AckedAfter(cut)); got < want*9/10 || got > want+20 {
		t.Errorf("lost %d writes, %d were acknowledged after the cut", got, want)
	}
}

func TestEtcdSurvivesLossOfOneMember(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	e := l.Etcd(lab.EtcdConfig{})
	client := e.Client(e.Members[2].Host)
	if err := put(client, "1"); err != nil {
		t.Fatalf("put: %v", err)
	}
	e.Members[0].Kill()
	l.Eventually("two members accept a write", 20*time.Second, func() error { return put(client, "2") })
	e.Members[1].Stop()
	if err := put(client, "3"); err == nil {
		t.Error("one member of three accepted a write")
	}
	e.Members[1].Cont()
	e.Restart()
	if e.Leader() == nil {
		t.Error("no leader after the restart")
	}
}

func put(client *clientv3.Client, value string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	_, err := client.Put(ctx, "key", value)
	return err
}

func reach(from *lab.Host, r *lab.Redis) error {
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	conn, err := from.Dial(ctx, "tcp", r.Address)
	if err != nil {
		return err
	}
	return conn.Close()
}

func inStep(l *lab.Lab, r *lab.Redis) {
	l.Eventually(r.Name+" is in step", 20*time.Second, func() error {
		if role := r.Role(); !role.Synced() {
			return errors.New(role.String())
		}
		return nil
	})
}

func errAnswers(trace lab.Trace) error { return fmt.Errorf("answers: %s", trace) }

func equal(got, want any) error {
	if got != want {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	return nil
}

// field is one of "a=1,b=2".
func field(list, name string) string {
	for part := range strings.SplitSeq(list, ",") {
		if value, ok := strings.CutPrefix(part, name+"="); ok {
			return value
		}
	}
	return ""
}
