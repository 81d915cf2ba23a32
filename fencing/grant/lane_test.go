package grant

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// still is a store whose clock is moved by hand.
func still(t *testing.T, endpoints ...string) (s *Store, at *watchdog.Instant) {
	t.Helper()
	var mu sync.Mutex
	now := watchdog.Instant(time.Hour)
	s = openStore(t, func(c *Config) {
		c.Now = func() watchdog.Instant { mu.Lock(); defer mu.Unlock(); return now }
	}, endpoints...)
	return s, &now
}

// TestOnlyASilentMemberIsHedged: a member that answers others is slow, and asking
// everybody instead would keep it so.
func TestOnlyASilentMemberIsHedged(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answers bool
		want    int
	}{{"silent", false, 3}, {"answers others", true, 1}} {
		s := openStore(t, nil, "http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3")
		var mu sync.Mutex
		asked := map[*member]bool{}
		_, err := ask(t.Context(), s, "wait", 500*time.Millisecond, func(ctx context.Context, m *member) (int, error) {
			mu.Lock()
			asked[m] = true
			mu.Unlock()
			if tt.answers {
				m.answered.Store(int64(s.now()))
			}
			<-ctx.Done()
			return 0, context.Cause(ctx)
		})
		s.requests.Wait()
		if err == nil || len(asked) != tt.want {
			t.Errorf("%s: %d members were asked, want %d; %v", tt.name, len(asked), tt.want, err)
		}
	}
}

func TestWhatIsForPeopleWaitsForRenewals(t *testing.T) {
	s, now := still(t, "http://127.0.0.1:1")
	const round = 500 * time.Millisecond
	s.renewed(round/2, round)
	if left := s.pressedLeft(); left != 0 {
		t.Errorf("renewals in time hold others up for %v", left)
	}
	s.renewed(round/2+1, round)
	if left := s.pressedLeft(); left != pressedFor {
		t.Errorf("a slow renewal holds others up for %v, want %v", left, pressedFor)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	k := s.Keeper(KeeperConfig{Group: "lane"})
	if err := k.beside(ctx, func() error { t.Error("it did not wait"); return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("pressed: %v", err)
	}
	*now += watchdog.Instant(pressedFor)
	ran := false
	if err := k.beside(t.Context(), func() error { ran = true; return nil }); err != nil || !ran || s.Waiting() != 0 {
		t.Errorf("pressed no more: ran %v, %v, %d wait", ran, err, s.Waiting())
	}
}

func TestClaimsOfAHostAreFewAtOnce(t *testing.T) {
	s := openStore(t, nil, "http://127.0.0.1:1")
	k := s.Keeper(KeeperConfig{Group: "lane"})
	var turns []func()
	for range claimsAtOnce {
		turn, err := k.claimTurn(t.Context(), patience)
		must(t, err)
		turns = append(turns, turn)
	}
	if _, err := k.claimTurn(t.Context(), 20*time.Millisecond); !errors.Is(err, errClaimsWait) {
		t.Errorf("one more: %v", err)
	}
	turns[0]()
	if _, err := k.claimTurn(t.Context(), patience); err != nil {
		t.Errorf("when one is done: %v", err)
	}
}

// TestHistoryIsWrittenTogether has a handful of records waiting at once: they
// take fewer revisions than there are records, and keep their order.
func TestHistoryIsWrittenTogether(t *testing.T) {
	_, etcd := oneMember(t)
	s := openStore(t, nil, etcd.Endpoints()...)
	n := startNode(t, s, "together", addressA)
	n.await("a member", isMember)
	s.lanes.pressed.Store(int64(lab.Now().Add(2 * time.Second))) // they gather
	const records = historyWaiting
	for i := range records {
		must(t, n.k.History(i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, n.k.Flush(ctx))
	kept, err := etcd.Client(nil).Get(ctx, DefaultPrefix+"history/together/", clientv3.WithPrefix())
	must(t, err)
	revisions := map[int64]bool{}
	for _, kv := range kept.Kvs {
		revisions[kv.ModRevision] = true
	}
	// One before they gathered, perhaps.
	if len(revisions) > records/historyAtOnce+1 {
		t.Errorf("%d records took %d revisions", records, len(revisions))
	}
	got, err := s.ReadHistory(ctx, "together", 0)
	must(t, err)
	for i, record := range got {
		if record != fmt.Sprint(i) {
			t.Fatalf("record %d is %s", i, record)
		}
	}
	if len(got) != records {
		t.Errorf("%d records are there, want %d", len(got), records)
	}
}
