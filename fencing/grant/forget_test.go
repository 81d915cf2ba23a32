package grant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

var byOps = Order{By: "ops@host", At: time.Unix(1700000000, 0), Reason: "sold"}

// keptFor is why a node was not forgotten; empty: it was, or there is another error.
func keptFor(err error) Kept {
	if e, ok := errors.AsType[*KeptError](err); ok {
		return e.Kept
	}
	return ""
}

// TestForgetRemovesANodeThatIsGone: a group of three, of which B's watchdog has
// stopped: it is forgotten once what it said has lapsed, with all that is its own
// and nothing that is another's; it joins again when it comes back.
func TestForgetRemovesANodeThatIsGone(t *testing.T) {
	t.Parallel()
	_, etcd := oneMember(t)
	s, client := openStore(t, nil, etcd.Endpoints()...), etcd.Client(nil)
	const group = "m1"
	start := func(self watchdog.Address, known ...watchdog.Address) *node {
		return startWanting(t, s, group, self, func(w *Want) {
			w.Known, w.Listed = known, nil
			for _, a := range known {
				w.Listed = append(w.Listed, Listed{a, "run-" + string(a)})
			}
		})
	}
	a := start(addressA, everybody...)
	a.await("a member", isMember)
	a.agree(first(addressA))
	a.wants(func(w *Want) { w.Opened = true })
	a.hold()
	a.grant(watchdog.GrantRenew)
	b := start(addressB, everybody...)
	b.await("a member", isMember)
	if err := b.k.PublishStatus(map[string]string{"role": "replica"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "B reports", func() bool { return get(t, client, DefaultPrefix+"nodes/m1/"+string(addressB)) != "" })
	forget := func(node watchdog.Address) error { return s.Forget(t.Context(), group, node, byOps) }

	if err := forget(addressA); keptFor(err) != KeptMaster {
		t.Errorf("the master: got %v", err)
	}
	if err := forget(addressB); keptFor(err) != KeptReports {
		t.Errorf("one that reports: got %v", err)
	}
	if err := forget("10.9.9.9:6379"); keptFor(err) != KeptNotThere || !strings.Contains(fmt.Sprint(err), "10.9.9.9:6379") {
		t.Errorf("one that nobody knows: got %v", err)
	}
	if err := s.Forget(t.Context(), "m2", addressB, byOps); !errors.Is(err, ErrNoGroup) {
		t.Errorf("no group: got %v", err)
	}
	b.stop()
	if err := s.Release(t.Context(), group, addressB, byOps); err != nil {
		t.Fatal(err)
	}
	if err := s.Fence(t.Context(), group, addressC, byOps); err != nil {
		t.Fatal(err)
	}
	if err := s.Unfence(t.Context(), group, addressB, byOps, true); err != nil {
		t.Fatal(err)
	}
	if err := forget(addressC); keptFor(err) != KeptFenced {
		t.Errorf("one that is fenced by hand: got %v", err)
	}
	// A lists it, also when its report has lapsed.
	wait := func(node watchdog.Address, want Kept) {
		t.Helper()
		for deadline := time.Now().Add(3 * patience); ; time.Sleep(100 * time.Millisecond) {
			err := forget(node)
			if kept := keptFor(err); kept == want && (kept != "" || err == nil) {
				return
			}
			if keptFor(err) == "" && err != nil || time.Now().After(deadline) {
				t.Fatalf("%s: got %v, want it kept for %q", node, err, want)
			}
		}
	}
	wait(addressB, KeptListed)
	if e, _ := errors.AsType[*KeptError](forget(addressB)); e == nil || e.By != addressA {
		t.Errorf("listed by whom: got %+v", e)
	}
	// Another group lists it: that is no matter of this one.
	put(t, client, DefaultPrefix+"listed/"+string(addressB)+"/m1/x/10.0.0.7:6379", "run")
	a.wants(func(w *Want) { w.Known, w.Listed = everybody[:1], []Listed{{addressA, ""}, {addressC, ""}} })
	wait(addressB, "")
	if got := get(t, client, DefaultPrefix+"unfence/m1/"+string(addressB)); got != "" {
		t.Errorf("the leave to open by force stands: %s", got)
	}
	g, err := s.Read(t.Context(), group)
	if err != nil || !slices.Equal(g.Record.Nodes, []watchdog.Address{addressA, addressC}) {
		t.Errorf("the record: got %v, %v", g.Record.Nodes, err)
	}
	if _, released := g.Control.Released[addressB]; released || len(g.Control.Fenced) != 1 {
		t.Errorf("the orders: got %+v", g.Control)
	}
	history, err := s.ReadHistory(t.Context(), group, 0)
	if err != nil || len(history) != 1 {
		t.Fatalf("the history: got %q, %v", history, err)
	}
	var told Forgotten
	if err := json.Unmarshal([]byte(history[0]), &told); err != nil || told != (Forgotten{KindForget, byOps.At.UTC(), addressB, byOps.By, byOps.Reason}) {
		t.Errorf("the history: got %+v, %v", told, err)
	}
	if err := forget(addressB); keptFor(err) != KeptNotThere {
		t.Errorf("twice: got %v", err)
	}
	again := start(addressB, everybody...)
	again.await("a member", isMember)
	eventually(t, "it is in the record again", func() bool {
		g, err := s.Read(t.Context(), group)
		return err == nil && slices.Contains(g.Record.Nodes, addressB)
	})
	if fact := a.now(); !fact.Grant.Ours {
		t.Errorf("the master lost its grant: %+v", fact.Grant)
	}
}

// TestForgetKeepsWhoMayHaveTheData: while nobody is granted, or the last that etcd
// knows of the data is the node's, it is waited for.
func TestForgetKeepsWhoMayHaveTheData(t *testing.T) {
	t.Parallel()
	_, etcd := oneMember(t)
	s, client := openStore(t, nil, etcd.Endpoints()...), etcd.Client(nil)
	write := func(group, key, value string) { put(t, client, DefaultPrefix+key+"/"+group, value) }
	for _, group := range []string{"open", "served", "garbage"} {
		write(group, "groups", `{"id":"x","nodes":["`+string(addressA)+`","`+string(addressB)+`"],"later":7}`)
		write(group, "masters", `{"generation":1,"epoch":1,"address":"`+string(addressA)+`"}`)
		write(group, "data", `{"master":"`+string(addressB)+`","replid":"r","offset":7}`)
	}
	for _, group := range []string{"served", "garbage"} {
		write(group, "grants", `{"holder":"`+string(addressA)+`","holder_id":"h"}`)
	}
	write("garbage", "data", `[`)
	forget := func(group string, node watchdog.Address) error { return s.Forget(t.Context(), group, node, byOps) }
	if err := forget("open", addressB); keptFor(err) != KeptNobody {
		t.Errorf("nobody is granted: got %v", err)
	}
	if err := forget("served", addressB); keptFor(err) != KeptData {
		t.Errorf("the newest data is its own: got %v", err)
	}
	garbage, _ := errors.AsType[*GarbageError](forget("garbage", addressB))
	if garbage == nil {
		t.Error("what cannot be read says nothing of the node, and it was forgotten")
	}
	write("served", "data", `{"master":"`+string(addressA)+`","replid":"r2","offset":8}`)
	if err := forget("served", addressB); err != nil {
		t.Fatal(err)
	}
	if got := get(t, client, DefaultPrefix+"groups/served"); !strings.Contains(got, `"later":7`) || strings.Contains(got, string(addressB)) {
		t.Errorf("the record is now %s", got)
	}
}

// TestForgetLosesToWhoeverMovesMeanwhile: between the look and the change the node
// begins to report, is listed, is granted, or its group's record is written.
func TestForgetLosesToWhoeverMovesMeanwhile(t *testing.T) {
	t.Parallel()
	_, etcd := oneMember(t)
	client := etcd.Client(nil)
	for name, key := range map[string]string{
		"reports": "nodes/%s/" + string(addressB), "listed": "listed/" + string(addressB) + "/%s/" + string(addressA),
		"granted": "grants/%s", "agreed": "masters/%s", "recorded": "groups/%s", "fenced": "control/%s", "data": "data/%s",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openStore(t, nil, etcd.Endpoints()...)
			record := `{"id":"x","nodes":["` + string(addressA) + `","` + string(addressB) + `"]}`
			put(t, client, DefaultPrefix+"groups/"+name, record)
			put(t, client, DefaultPrefix+"masters/"+name, `{"generation":1,"epoch":1,"address":"`+string(addressA)+`"}`)
			put(t, client, DefaultPrefix+"grants/"+name, `{"holder":"`+string(addressA)+`","holder_id":"h"}`)
			k := s.reader(name)
			h, err := k.held(t.Context(), name, addressB)
			if err != nil || h.keeps(addressB) != nil {
				t.Fatalf("got %v, %v", h.keeps(addressB), err)
			}
			was := get(t, client, DefaultPrefix+fmt.Sprintf(key, name))
			put(t, client, DefaultPrefix+fmt.Sprintf(key, name), was+" ")
			if err := s.forget(t.Context(), name, addressB, byOps, h); !errors.Is(err, ErrChanged) {
				t.Errorf("got %v, want ErrChanged", err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if resp, err := client.Get(ctx, DefaultPrefix+"history/"+name+"/", clientv3.WithPrefix()); err != nil || resp.Count != 0 {
				t.Errorf("it is in the history: %v, %v", resp, err)
			}
		})
	}
}
