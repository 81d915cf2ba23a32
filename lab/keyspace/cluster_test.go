package keyspace

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
)

// cluster is a Redis Cluster of three masters, each with a third of the slots.
type cluster struct {
	t        *testing.T
	lab      *lab.Lab
	nodes    []*lab.Redis
	ids      []string
	bus      []int // ports of the cluster bus, of all that were started
	password string
	audit    *preflight.Audit // of every node
}

func newCluster(t *testing.T, password string) *cluster {
	t.Helper()
	c := &cluster{t: t, lab: lab.New(t), password: password}
	for _, name := range []string{"a", "b", "c"} {
		c.nodes = append(c.nodes, c.start(name))
	}
	for i, n := range c.nodes {
		c.ids = append(c.ids, fmt.Sprint(n.Do("CLUSTER", "MYID")))
		n.Do("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
		n.Do("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(i*16384/3), strconv.Itoa((i+1)*16384/3-1))
		if i > 0 {
			c.meets(n)
		}
	}
	c.whole()
	return c
}

// start starts a Redis that is in a cluster of its own.
func (c *cluster) start(host string) *lab.Redis {
	c.t.Helper()
	h := c.lab.Host(host)
	bus := h.Port(16379)
	c.bus = append(c.bus, bus)
	return h.Redis(lab.RedisConfig{Password: c.password, Lines: []string{
		"cluster-enabled yes", "cluster-config-file nodes.conf", "cluster-node-timeout 15000", fmt.Sprintf("cluster-port %d", bus)}})
}

func (c *cluster) meets(n *lab.Redis) {
	c.t.Helper()
	n.Do("CLUSTER", "MEET", c.nodes[0].Host.IP, strconv.Itoa(c.nodes[0].Port), strconv.Itoa(c.bus[0]))
}

// whole waits until every node is in it.
func (c *cluster) whole() {
	c.t.Helper()
	c.lab.Eventually("the cluster is one", time.Minute, func() error {
		for _, n := range c.nodes {
			text := fmt.Sprint(n.Do("CLUSTER", "INFO"))
			if !strings.Contains(text, "cluster_state:ok") || !strings.Contains(text, "cluster_known_nodes:3") {
				return fmt.Errorf("%s: %.60s", n.Name, text)
			}
		}
		return nil
	})
}

// tag finds a tag whose slot is the node's, a new one at every call.
func (c *cluster) tag(of int, from string) string {
	for i := 0; ; i++ {
		tag := from + strconv.Itoa(i)
		if slot := keyspace.ClusterSlot([]byte(tag)); slot*3/16384 == of && slot < (of+1)*16384/3 {
			return tag
		}
	}
}

const keysOfATag = 25

// fill writes the keys of a tag, and is its slot.
func (c *cluster) fill(at int, tag string) string {
	c.t.Helper()
	for i := range keysOfATag {
		c.nodes[at].Do("SET", fmt.Sprintf("{%s}'key' %d", tag, i), "of "+tag)
	}
	return strconv.Itoa(keyspace.ClusterSlot([]byte(tag)))
}

// move sends some keys of a slot as redis-cli --cluster does.
func (c *cluster) move(slot string, from, to, n int, login ...any) {
	c.t.Helper()
	names, _ := c.nodes[from].Do("CLUSTER", "GETKEYSINSLOT", slot, strconv.Itoa(n)).([]any)
	args := []any{"MIGRATE", c.nodes[to].Host.IP, strconv.Itoa(c.nodes[to].Port), "", "0", "5000"}
	args = append(append(args, login...), "KEYS")
	if got := c.nodes[from].Do(append(args, names...)...); len(names) != n || got != "OK" {
		c.t.Fatalf("MIGRATE of %d keys: %v", len(names), got)
	}
}

func (c *cluster) set(at int, slot string, how ...any) {
	c.t.Helper()
	c.nodes[at].Do(append([]any{"CLUSTER", "SETSLOT", slot}, how...)...)
}

// opened is a slot that is half moved from the first to the second.
func (c *cluster) opened(slot string, from, to int, login ...any) {
	c.t.Helper()
	c.set(to, slot, "IMPORTING", c.ids[from])
	c.set(from, slot, "MIGRATING", c.ids[to])
	c.move(slot, from, to, 12, login...)
}

// replicaOf starts a replica of a node.
func (c *cluster) replicaOf(of int) *lab.Redis {
	c.t.Helper()
	r := c.start("d")
	c.meets(r)
	c.lab.Eventually("the replica knows its master", time.Minute, func() error {
		_, err := r.Try("CLUSTER", "REPLICATE", c.ids[of])
		return err
	})
	id := fmt.Sprint(r.Do("CLUSTER", "MYID"))
	c.lab.Eventually("every node knows the replica", time.Minute, func() error {
		for _, n := range c.nodes {
			replicas, _ := n.Do("CLUSTER", "REPLICAS", c.ids[of]).([]any)
			if len(replicas) != 1 || !strings.HasPrefix(fmt.Sprint(replicas[0]), id) {
				return fmt.Errorf("%s knows %v", n.Name, replicas)
			}
		}
		return nil
	})
	return r
}

func (c *cluster) judge(slot int) preflight.Migration {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	all := gather.Cluster(ctx, gather.ClusterConfig{Seed: c.nodes[0].Address, Slot: slot, Server: gather.Server{Dial: c.nodes[0].Host.Dial},
		Audit: func(context.Context, []string) (*preflight.Audit, error) { return c.audit, nil }})
	return preflight.JudgeClusterMigration(keyspace.Place{Rule: keyspace.RuleCluster, Slot: slot}, all)
}

// stuck is the one finding that says a move did not come to an end.
func (c *cluster) stuck(slot string) (preflight.Finding, bool) {
	c.t.Helper()
	n, err := strconv.Atoi(slot)
	if err != nil {
		c.t.Fatal(err)
	}
	var found []preflight.Finding
	for _, f := range c.judge(n).Findings {
		if f.Outcome == preflight.Failed {
			found = append(found, f)
		}
	}
	if len(found) > 1 {
		c.t.Fatalf("%d findings: %+v", len(found), found)
	}
	if found == nil {
		return preflight.Finding{}, false
	}
	return found[0], true
}

// paste runs a remedy as it was printed, and is what it ended with and said.
func (c *cluster) paste(remedy string) (int, string) {
	c.t.Helper()
	c.t.Logf("done, as printed:\n%s", remedy)
	p := c.nodes[0].Host.Run(lab.Command{Name: "remedy", Path: "sh", Args: []string{"-ec", remedy}})
	code := p.Wait()
	c.t.Logf("it ended with %d and said: %s", code, p.Text())
	return code, p.Text()
}

// reads how many keys of a tag a client of the cluster finds.
func (c *cluster) reads(tag string) (n int) {
	c.t.Helper()
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{c.nodes[0].Address}, Dialer: c.nodes[0].Host.Dial, MaxRedirects: 8})
	defer client.Close()
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	for i := range keysOfATag {
		if v, err := client.Get(ctx, fmt.Sprintf("{%s}'key' %d", tag, i)).Result(); err == nil && v == "of "+tag {
			n++
		}
	}
	return n
}

// A move that broke off is found in every state it may be left in, and ended by the
// lines that are printed: no key is lost, every client finds it, and nothing is open.
func TestMoveOfASlotThatBrokeOffIsFoundAndEnded(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "")
	const from, to = 0, 1
	for name, one := range map[string]struct {
		make  func(slot string)
		says  string
		moved bool // the slot is the target's afterwards
	}{
		"half moved": {func(slot string) { c.opened(slot, from, to) }, "on the way from", true},
		"moved, but not given": {func(slot string) {
			c.opened(slot, from, to)
			c.move(slot, from, to, keysOfATag-12)
		}, "(0 keys left)", true},
		"migrating, and nobody imports": {func(slot string) { c.set(from, slot, "MIGRATING", c.ids[to]) }, "no node is importing it", false},
		"migrating, and keys are there already": {func(slot string) {
			c.opened(slot, from, to)
			c.set(to, slot, "STABLE")
		}, "which is not importing it and holds 12 keys", true},
		"importing, and nobody migrates": {func(slot string) { c.set(to, slot, "IMPORTING", c.ids[from]) }, "holds no key of it", false},
		"importing, with keys": {func(slot string) {
			c.opened(slot, from, to)
			c.set(from, slot, "STABLE")
		}, "is importing it and holds 12 keys", false},
		"left behind": {func(slot string) {
			c.opened(slot, from, to)
			c.set(from, slot, "STABLE")
			c.set(to, slot, "STABLE")
		}, "holds 12 keys of it that no client reaches: the owner is", false},
	} {
		tag := c.tag(from, name)
		slot := c.fill(from, tag)
		if f, found := c.stuck(slot); found {
			t.Fatalf("%s: before anything was done: %s", name, f.Reason)
		}
		one.make(slot)
		f, found := c.stuck(slot)
		if !found || !strings.Contains(f.Reason, one.says) || !strings.Contains(f.Reason, "slot "+slot+":") {
			t.Fatalf("%s: found %v: %s", name, found, f.Reason)
		}
		t.Logf("%s: %s", name, f.Reason)
		if code, text := c.paste(f.Remedy); code != 0 {
			t.Fatalf("%s: the remedy ended with %d: %s", name, code, text)
		}
		owner := c.nodes[from]
		if one.moved {
			owner = c.nodes[to]
		}
		c.lab.Eventually(name+": nothing is open, and every key is found", 30*time.Second, func() error {
			if f, found := c.stuck(slot); found {
				return fmt.Errorf("%s", f.Reason)
			}
			if n := c.reads(tag); n != keysOfATag {
				return fmt.Errorf("a client finds %d of %d keys", n, keysOfATag)
			}
			if n := owner.Do("CLUSTER", "COUNTKEYSINSLOT", slot); n != int64(keysOfATag) {
				return fmt.Errorf("%s holds %v keys", owner.Name, n)
			}
			return nil
		})
	}
}

// A node that starts on an older file is left with keys of slots that are no longer
// its own. What its owner has is never overwritten: the older ones stay until they
// are given up by hand, as it is said.
func TestKeysOfAnOlderFileAreFoundAndNeverPutOverNewerOnes(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "")
	const from, to = 0, 1
	tag := c.tag(from, "old")
	slot := c.fill(from, tag)
	c.nodes[from].Do("SAVE")
	c.opened(slot, from, to)
	c.move(slot, from, to, keysOfATag-12)
	c.set(to, slot, "NODE", c.ids[to])
	c.set(from, slot, "NODE", c.ids[to])
	name := fmt.Sprintf("{%s}'key' 3", tag)
	c.nodes[to].Do("DEL", name)
	c.nodes[from].Kill()
	c.nodes[from].Restart()
	c.whole()
	var f preflight.Finding
	c.lab.Eventually("the keys are found", time.Minute, func() error {
		found := false
		if f, found = c.stuck(slot); !found || !strings.Contains(f.Reason, fmt.Sprintf("holds %d keys", keysOfATag)) {
			return fmt.Errorf("found %v: %s", found, f.Reason)
		}
		return nil
	})
	code, text := c.paste(f.Remedy)
	if code == 0 || !strings.Contains(text, "BUSYKEY") {
		t.Fatalf("it ended with %d and said %s", code, text)
	}
	if _, found := c.stuck(slot); !found {
		t.Fatal("it is not found any more, and keys are still there")
	}
	// The owner lacks one: that one goes there. The rest is given up by hand.
	_, hint, said := strings.Cut(f.Remedy, "To give up the other: ")
	hint, _, _ = strings.Cut(hint, " ; then")
	if !said || !strings.Contains(hint, "KEY") {
		t.Fatalf("it is not said how a key is given up: %s", f.Remedy)
	}
	given := 0
	for range keysOfATag {
		names, _ := c.nodes[from].Do("CLUSTER", "GETKEYSINSLOT", slot, "1").([]any)
		if len(names) == 0 {
			break
		}
		p := c.nodes[0].Host.Run(lab.Command{Name: "giveup", Path: "sh", Args: []string{"-ec", strings.Replace(hint, "KEY", `"'$0'"`, 1), strings.ReplaceAll(fmt.Sprint(names[0]), "'", `\'`)}})
		if code := p.Wait(); code != 0 || !strings.Contains(p.Text(), "1") {
			t.Fatalf("it ended with %d: %s", code, p.Text())
		}
		given++
	}
	if code, text := c.paste(f.Remedy); code != 0 || given != keysOfATag-1 {
		t.Errorf("%d keys were given up, and it ended with %d: %s", given, code, text)
	}
	if f, found := c.stuck(slot); found {
		t.Fatalf("still: %s", f.Reason)
	}
	if n := c.reads(tag); n != keysOfATag {
		t.Errorf("a client finds %d of %d keys", n, keysOfATag)
	}
}

// What is warned of is so: a slot that is given to its target too early loses what
// the source still holds.
func TestSlotThatIsGivenTooEarlyLosesKeys(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "")
	tag := c.tag(0, "early")
	slot := c.fill(0, tag)
	c.opened(slot, 0, 1)
	c.set(1, slot, "NODE", c.ids[1])
	c.lab.Eventually("the source has deleted what it held", time.Minute, func() error {
		if n := c.nodes[0].Do("CLUSTER", "COUNTKEYSINSLOT", slot); n != int64(0) {
			return fmt.Errorf("it holds %v keys", n)
		}
		return nil
	})
	if n := c.reads(tag); n != 12 {
		t.Errorf("a client finds %d keys, and 12 had been moved", n)
	}
}
