package grant

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"syscall"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// fleet are the masters of so many groups, which renew their grants.
func fleet(t testing.TB, s *Store, name string, groups int) []*node {
	t.Helper()
	nodes := make([]*node, groups)
	for i := range nodes {
		nodes[i] = startWanting(t, s, fmt.Sprintf("%s-%d", name, i), addressA, func(w *Want) { w.TTL, w.Round = 10*time.Second, 0 })
	}
	for _, n := range nodes {
		n.await("a member", isMember)
	}
	for _, n := range nodes {
		n.agree(first(addressA))
	}
	for _, n := range nodes {
		n.hold()
		n.grant(watchdog.GrantRenew)
	}
	renewsAll(t, nodes, 2)
	return nodes
}

// renewsAll waits until each has renewed its grant so many more times.
func renewsAll(t testing.TB, nodes []*node, times int) {
	t.Helper()
	for range times {
		for _, n := range nodes {
			was := n.now().Grant.RenewedAt
			n.await("a renewal", func(c watchdog.Coordinator) bool { return c.Grant.RenewedAt > was })
		}
	}
}

var (
	handledTxn         = regexp.MustCompile(`(?m)^grpc_server_handled_total\{[^}]*grpc_method="Txn"[^}]*\} ([0-9.e+]+)$`)
	receivedKeepAlives = regexp.MustCompile(`(?m)^grpc_server_msg_received_total\{[^}]*grpc_method="LeaseKeepAlive"[^}]*\} ([0-9.e+]+)$`)
)

// transactions is how many a member has answered, and keepAlives how many it was sent.
func transactions(t testing.TB, m *lab.Member) float64 { t.Helper(); return m.Counted(handledTxn) }
func keepAlives(t testing.TB, m *lab.Member) float64 {
	t.Helper()
	return m.Counted(receivedKeepAlives)
}

func reported(nodes []*node) (sum int) {
	for _, n := range nodes {
		n.mu.Lock()
		sum += n.reports
		n.mu.Unlock()
	}
	return sum
}

// TestGroupsOfAHostReadTogether renews twelve grants and counts what etcd is sent.
func TestGroupsOfAHostReadTogether(t *testing.T) {
	t.Parallel()
	_, etcd := oneMember(t)
	s := openStore(t, nil, etcd.Endpoints()...)
	nodes := fleet(t, s, "together", 12)
	before, rounds := transactions(t, etcd.Members[0]), reported(nodes)
	renewsAll(t, nodes, 6)
	sent, rounds := transactions(t, etcd.Members[0])-before, reported(nodes)-rounds
	if sent == 0 || sent > float64(rounds)/3 {
		t.Errorf("%v transactions for %d rounds of 12 groups, want a third at the most", sent, rounds)
	}
}

// TestOldEtcdIsReadTogether has the oldest etcd that there is to test with.
func TestOldEtcdIsReadTogether(t *testing.T) {
	t.Parallel()
	l := lab.Loopback(t)
	old, err := lab.ModuleRoot()
	must(t, err)
	old += "/.tools/oldetcd"
	if _, err := os.Stat(old); err != nil {
		t.Fatalf("no old etcd (make setup): %v", err)
	}
	etcd := l.Etcd(lab.EtcdConfig{Binary: old}, l.Host("a"))
	fleet(t, openStore(t, nil, etcd.Endpoints()...), "old", 8)
}

// TestStrangeRecordIsItsGroupsAlone has one group's records made strange, one after
// the other: it is not renewed on them, and all others are.
func TestStrangeRecordIsItsGroupsAlone(t *testing.T) {
	t.Parallel()
	_, etcd := oneMember(t)
	s := openStore(t, nil, etcd.Endpoints()...)
	client := etcd.Client(nil)
	nodes := fleet(t, s, "strange", 5)
	odd, others := nodes[2], nodes[:2]
	others = append(others[:2:2], nodes[3:]...)
	for _, key := range []string{"masters/", "last/", "groups/"} {
		key = DefaultPrefix + key + "strange-2"
		was := get(t, client, key)
		put(t, client, key, `{"holder": [`)
		eventually(t, key+" is garbage", func() bool { return hasFault(odd.k.Faults(), FaultGarbage) })
		renewed := odd.now().Grant.RenewedAt
		renewsAll(t, others, 3)
		if now := odd.now().Grant.RenewedAt; now != renewed {
			t.Errorf("%s is garbage, and the grant was renewed", key)
		}
		for _, n := range others {
			if hasFault(n.k.Faults(), FaultGarbage) {
				t.Errorf("%s is garbage, and %s says so too", key, n.k.cfg.Group)
			}
		}
		put(t, client, key, was)
		eventually(t, key+" is well", func() bool { return !hasFault(odd.k.Faults(), FaultGarbage) })
		odd.hold()
	}
}

// TestReadsWhatEtcdTakesAtOnce has an etcd that takes fewer operations in one
// transaction than is usual: all renew, in smaller parts, and alone if need be.
func TestReadsWhatEtcdTakesAtOnce(t *testing.T) {
	t.Parallel()
	for _, most := range []string{"20", "14"} { // a group's reads are 11, and a claim's operations 13
		t.Run(most, func(t *testing.T) {
			t.Parallel()
			l := lab.Loopback(t)
			etcd := l.Etcd(lab.EtcdConfig{Args: []string{"--max-txn-ops=" + most}}, l.Host("a"))
			s := openStore(t, nil, etcd.Endpoints()...)
			fleet(t, s, "few", 9)
			s.together.mu.Lock()
			defer s.together.mu.Unlock()
			if got := s.together.most(); got == 0 || got > 8 {
				t.Errorf("%d groups in one transaction of %s operations", got, most)
			}
		})
	}
}

// TestRightThatOneGroupLacks takes our user's right to one group: it says so, and
// all others are renewed, as before.
func TestRightThatOneGroupLacks(t *testing.T) {
	t.Parallel()
	l := lab.Loopback(t)
	etcd := l.Etcd(lab.EtcdConfig{RootPassword: "root-secret"}, l.Host("a"))
	root := etcd.Client(nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := root.RoleAdd(ctx, "some")
	must(t, err)
	// All but grants/denied-3: a range on either side of it.
	denied := DefaultPrefix + "grants/denied-3"
	_, err = root.RoleGrantPermission(ctx, "some", DefaultPrefix, denied, clientv3.PermissionType(clientv3.PermReadWrite))
	must(t, err)
	_, err = root.RoleGrantPermission(ctx, "some", denied+"\x00", clientv3.GetPrefixRangeEnd(DefaultPrefix), clientv3.PermissionType(clientv3.PermReadWrite))
	must(t, err)
	_, err = root.UserAdd(ctx, "watchdog", "secret")
	must(t, err)
	_, err = root.UserGrantRole(ctx, "watchdog", "some")
	must(t, err)
	s := openStore(t, func(c *Config) { c.Username, c.Password = "watchdog", "secret" }, etcd.Endpoints()...)
	odd := startNode(t, s, "denied-3", addressA)
	nodes := fleet(t, s, "denied", 3)
	renewsAll(t, nodes, 3)
	if odd.now().RoundAt != 0 || !hasFault(odd.k.Faults(), FaultAuth) {
		t.Errorf("a group that our user may not read: %+v, faults %+v", odd.now(), odd.k.Faults())
	}
	for _, n := range nodes {
		if hasFault(n.k.Faults(), FaultAuth) {
			t.Errorf("%s: the right that another lacks is its fault", n.k.cfg.Group)
		}
	}
}

// TestRenewsTogetherOverALostLeader kills etcd's leader, and then slows what is
// left: all grants are renewed again, and none was claimed anew.
func TestRenewsTogetherOverALostLeader(t *testing.T) {
	t.Parallel()
	l := lab.Loopback(t)
	etcd := l.Etcd(lab.EtcdConfig{})
	s := openStore(t, nil, etcd.Endpoints()...)
	nodes := fleet(t, s, "leader", 10)
	client := etcd.Client(nil)
	made := grantsMade(t, client)
	leader := etcd.Leader()
	leader.Kill()
	renewsAll(t, nodes, 3)
	leader.Restart()
	etcd.WaitHealthy()
	// For 3 s each runs a fifth of the time.
	for until := time.Now().Add(3 * time.Second); time.Now().Before(until); {
		for _, m := range etcd.Members {
			must(t, syscall.Kill(m.PID(), syscall.SIGSTOP))
		}
		time.Sleep(80 * time.Millisecond)
		for _, m := range etcd.Members {
			must(t, syscall.Kill(m.PID(), syscall.SIGCONT))
		}
		time.Sleep(20 * time.Millisecond)
	}
	renewsAll(t, nodes, 3)
	for key, revision := range grantsMade(t, client) {
		if made[key] != revision {
			t.Errorf("%s was made at revision %d, is of %d: it lapsed", key, made[key], revision)
		}
	}
}

// grantsMade are the grants with the revisions at which they were made.
func grantsMade(t testing.TB, c *clientv3.Client) map[string]int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	resp, err := c.Get(ctx, DefaultPrefix+"grants/", clientv3.WithPrefix())
	must(t, err)
	made := map[string]int64{}
	for _, kv := range resp.Kvs {
		made[string(kv.Key)] = kv.CreateRevision
	}
	return made
}

func TestRefusedForOneIsNoIllness(t *testing.T) {
	wrapped := func(err error) error {
		return fmt.Errorf("read groups: %w", failures{fmt.Errorf("http://a:2379: %w", err)})
	}
	for _, c := range []struct {
		err  error
		want bool
	}{
		{rpctypes.ErrPermissionDenied, true},
		{&AuthError{Err: rpctypes.ErrPermissionDenied}, true},
		{&AuthError{Err: rpctypes.ErrAuthFailed}, false},
		{rpctypes.ErrNoLeader, false},
		{rpctypes.ErrCorrupt, false},
		{rpctypes.ErrTimeout, false},
		{context.DeadlineExceeded, false},
		{&HandshakeError{Err: errors.New("expired")}, false},
		{status.Error(codes.ResourceExhausted, "grpc: received message larger than max"), true},
		{status.Error(codes.Unavailable, "connection refused"), false},
	} {
		if got := refusedForOne(wrapped(c.err)); got != c.want {
			t.Errorf("%v: each is asked alone: %v, want %v", c.err, got, c.want)
		}
	}
}

// FuzzDeal deals out answers of every shape: each who asked has his own part or an
// error, and a part that is strange is nobody else's error.
func FuzzDeal(f *testing.F) {
	f.Add([]byte{0, 11, 11, 11})
	f.Add([]byte{1, 11, 3, 11})
	f.Add([]byte{1, 11, 200, 255})
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, shape []byte) {
		if len(shape) == 0 || len(shape) > 300 {
			return
		}
		const asked = 11
		resp := &clientv3.TxnResponse{Header: &pb.ResponseHeader{ClusterId: 1}}
		if shape[0]&1 == 1 {
			resp.Responses = append(resp.Responses, &pb.ResponseOp{Response: &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: &pb.DeleteRangeResponse{}}})
		}
		questions := make([]*question, len(shape)-1+int(shape[0]>>6)) // at times more than are answered
		for i := range questions {
			questions[i] = &question{reads: make([]clientv3.Op, asked)}
		}
		for i, n := range shape[1:] {
			part := &pb.TxnResponse{}
			for range n {
				part.Responses = append(part.Responses, &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{ResponseRange: &pb.RangeResponse{Count: int64(i)}}})
			}
			op := &pb.ResponseOp{Response: &pb.ResponseOp_ResponseTxn{ResponseTxn: part}}
			switch n {
			case 254:
				op = &pb.ResponseOp{Response: &pb.ResponseOp_ResponseTxn{}}
			case 255:
				op = &pb.ResponseOp{}
			}
			resp.Responses = append(resp.Responses, op)
		}
		whole := len(questions) == len(shape)-1
		for i, a := range deal(questions, resp) {
			if well := whole && shape[1+i] == asked; well != (a.err == nil) {
				t.Fatalf("answer %d of %v: error %v", i, shape, a.err)
			}
			if a.err != nil {
				if a.responses != nil {
					t.Fatalf("answer %d of %v: an error and an answer", i, shape)
				}
				continue
			}
			for _, r := range a.responses {
				if got := r.GetResponseRange().GetCount(); got != int64(i) {
					t.Fatalf("answer %d of %v is the part of %d", i, shape, got)
				}
			}
		}
	})
}
