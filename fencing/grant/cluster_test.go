package grant

import (
	"crypto/tls"
	"os"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// TestRenewsWhileAMemberIsFrozen freezes each member in turn, the leader last.
// The grant must never lapse: its key is the one first made.
func TestRenewsWhileAMemberIsFrozen(t *testing.T) {
	t.Parallel()
	l := lab.Loopback(t)
	etcd := l.Etcd(lab.EtcdConfig{})
	s := openStore(t, nil, etcd.Endpoints()...)
	n := startNode(t, s, "frozen", addressA)
	n.wants(func(w *Want) { w.TTL, w.Round = 10*time.Second, 0 })
	n.await("a member", isMember)
	n.agree(first(addressA))
	n.hold()
	n.grant(watchdog.GrantRenew)
	n.rounds(2)
	made := revisionOf(t, s, "frozen")
	leader := etcd.Leader()
	order := append([]*lab.Member{}, etcd.Members...)
	for i, m := range order {
		if m == leader {
			order[i], order[2] = order[2], m
		}
	}
	for _, m := range order {
		s.preferred.Store(int32(indexOf(etcd, m))) // it is the one asked first
		m.Stop()
		before := n.now().Grant.RenewedAt
		n.rounds(3)
		if n.now().Grant.RenewedAt == before {
			t.Errorf("%s frozen: rounds were good, but the grant was not renewed", m.Name)
		}
		if got := int(s.preferred.Load()); etcd.Members[got] == m {
			t.Errorf("%s frozen: still asked first", m.Name)
		}
		m.Cont()
	}
	if now := revisionOf(t, s, "frozen"); now != made {
		t.Errorf("the grant lapsed or was written anew: revision %d, want %d", now, made)
	}
	// All frozen: nothing is renewed, and nothing claimed to be.
	etcd.Stop()
	eventually(t, "unreachable noticed", func() bool { return hasFault(n.k.Faults(), FaultUnreachable) })
	was := n.now()
	eventually(t, "more rounds", n.reported())
	if now := n.now(); now.RoundAt != was.RoundAt || now.Grant != was.Grant || now.Agreement != was.Agreement {
		t.Errorf("with all members frozen the report went from %+v to %+v", was, now)
	}
	etcd.Cont()
	n.await("a renewal again", func(c watchdog.Coordinator) bool { return c.Grant.RenewedAt > was.Grant.RenewedAt })
	eventually(t, "no fault left", func() bool { return !hasFault(n.k.Faults(), FaultUnreachable) })
}

func indexOf(etcd *lab.Etcd, m *lab.Member) int {
	for i, known := range etcd.Members {
		if known == m {
			return i
		}
	}
	return -1
}

// TestEtcdThatWentBack empties etcd, then restores it: same cluster id, lower
// revision.
func TestEtcdThatWentBack(t *testing.T) {
	t.Parallel()
	_, etcd := oneMember(t)
	member := etcd.Members[0]
	s := openStore(t, nil, etcd.Endpoints()...)
	const group = "back"
	a, b := startNode(t, s, group, addressA), startNode(t, s, group, addressB)
	a.await("a member", isMember)
	a.agree(first(addressA))
	a.hold()
	a.grant(watchdog.GrantRenew)
	b.await("a member", isMember)
	must(t, s.Fence(t.Context(), group, addressB, Order{By: "test"}))
	b.await("fenced by hand", func(c watchdog.Coordinator) bool { return c.Orders.Fence })
	was := a.now()
	id := a.k.groupID(t, s)

	copied := t.TempDir()
	etcd.Kill()
	if err := os.CopyFS(copied, os.DirFS(member.DataDir)); err != nil {
		t.Fatal(err)
	}
	for _, back := range []struct {
		how  string
		data func() error
	}{
		{"emptied", func() error { return os.RemoveAll(member.DataDir) }},
		{"restored", func() error {
			if err := os.RemoveAll(member.DataDir); err != nil {
				return err
			}
			return os.CopyFS(member.DataDir, os.DirFS(copied))
		}},
	} {
		if back.how == "restored" {
			// Something newer than the copy, which it then forgets.
			p := watchdog.Proposal{Agreement: agreed(1, 2, addressA), Replaces: agreed(1, 1, addressA), Cause: watchdog.CauseEpoch}
			a.agree(p)
			b.await("the newer agreement", func(c watchdog.Coordinator) bool { return c.Agreement == p.Agreement })
			pad(t, etcd)
			a.rounds(2)
			b.rounds(2)
			was = a.now()
			etcd.Kill()
		}
		if err := back.data(); err != nil {
			t.Fatal(err)
		}
		restarted := lab.Now()
		etcd.Restart()
		for _, n := range []*node{a, b} {
			n.await(back.how+": lost", func(c watchdog.Coordinator) bool { return c.RoundAt == 0 && c.Grant == (watchdog.Grant{}) })
			if n == b && back.how == "emptied" && !n.now().Orders.Fence {
				t.Error("the order to fence was forgotten while etcd is lost")
			}
			if !hasFault(n.k.Faults(), FaultWentBack) {
				t.Errorf("%s: faults %+v lack %s", back.how, n.k.Faults(), FaultWentBack)
			}
		}
		fact := a.await(back.how+": trusted again", func(c watchdog.Coordinator) bool { return c.RoundAt != 0 && c.Membership == watchdog.Member })
		if waited := fact.RoundAt.Sub(restarted); waited < 2*time.Second {
			t.Errorf("%s: trusted again %v after it went back, want at least one TTL", back.how, waited)
		}
		if !fact.Behind {
			t.Errorf("%s: not reported as behind: %+v", back.how, fact)
		}
		b.await(back.how+": a member again", isMember)
		if now := a.k.groupID(t, s); now != id {
			t.Errorf("%s: group id %q, want it to be as before: %q", back.how, now, id)
		}
		a.grant(watchdog.GrantClaim)
		a.agree(watchdog.Proposal{Agreement: was.Agreement, Replaces: fact.Agreement, Cause: watchdog.CauseBehind})
		a.await(back.how+": granted again", func(c watchdog.Coordinator) bool { return c.Grant.Ours && c.Grant.Until > lab.Now() && !c.Behind })
	}
}

// pad makes revisions.
func pad(t *testing.T, etcd *lab.Etcd) {
	t.Helper()
	client := etcd.Client(nil)
	for range 20 {
		put(t, client, "/pad", "x")
	}
}

func (k *Keeper) groupID(t *testing.T, s *Store) string {
	t.Helper()
	g, err := s.Read(t.Context(), k.cfg.Group)
	must(t, err)
	return g.Record.ID
}

// TestAnotherCluster wants an order before it is followed.
func TestAnotherCluster(t *testing.T) {
	t.Parallel()
	_, etcd := oneMember(t)
	s := openStore(t, nil, etcd.Endpoints()...)
	const group = "moved"
	n := startNode(t, s, group, addressA, func(c *KeeperConfig) {
		c.Identity = Identity{ClusterID: 42, Revision: 1 << 40, GroupID: "of-old", HolderID: "h", Agreement: agreed(3, 7, addressB)}
	})
	n.grant(watchdog.GrantClaim)
	eventually(t, "noticed", func() bool { return hasFault(n.k.Faults(), FaultCluster) })
	if fact := n.now(); fact != (watchdog.Coordinator{}) {
		t.Errorf("reports %+v of a cluster it does not know", fact)
	}
	if g, err := s.Read(t.Context(), group); err != nil || g.Record.ID != "" || g.Grant.Holder != "" {
		t.Errorf("wrote into a cluster it does not know: %+v, %v", g, err)
	}
	must(t, s.AdoptCluster(t.Context(), group, Order{By: "test"}))
	fact := n.await("a member by order", isMember)
	if !fact.Behind {
		t.Errorf("an empty cluster is not behind %+v: %+v", agreed(3, 7, addressB), fact)
	}
	n.agree(watchdog.Proposal{Agreement: agreed(3, 7, addressB), Cause: watchdog.CauseBehind})
}

// TestUsers runs all of it as a user with the role of the package comment.
func TestUsers(t *testing.T) {
	t.Parallel()
	l := lab.Loopback(t)
	etcd := l.Etcd(lab.EtcdConfig{RootPassword: "root", Args: []string{"--bcrypt-cost=4", "--auth-token-ttl=2"}}, l.Host("a"))
	root := etcd.Client(nil)
	ctx := t.Context()
	for user, prefix := range map[string]string{"watchdog": DefaultPrefix, "other": "/other/"} {
		_, err := root.RoleAdd(ctx, user)
		must(t, err)
		_, err = root.RoleGrantPermission(ctx, user, prefix, prefixEnd(prefix), readWrite)
		must(t, err)
		_, err = root.UserAdd(ctx, user, "secret")
		must(t, err)
		_, err = root.UserGrantRole(ctx, user, user)
		must(t, err)
	}
	as := func(user, password string) func(*Config) {
		return func(c *Config) { c.Username, c.Password = user, password }
	}

	s := openStore(t, as("watchdog", "secret"), etcd.Endpoints()...)
	n := startNode(t, s, "users", addressA)
	n.await("a member", isMember)
	n.agree(first(addressA))
	n.hold()
	n.grant(watchdog.GrantRenew)
	must(t, n.k.PublishStatus("x"))
	must(t, n.k.History("x"))
	must(t, n.k.Flush(ctx))
	must(t, s.Fence(ctx, "users", addressB, Order{By: "test"}))
	must(t, s.SetMaintenance(ctx, "users", time.Minute, Order{By: "test"}))
	n.await("in maintenance", func(c watchdog.Coordinator) bool { return c.Orders.Maintenance != 0 })
	must(t, s.EndMaintenance(ctx, "users"))
	s.checkMembers(ctx)
	if faults := n.k.Faults(); len(faults) != 0 {
		t.Errorf("faults with the documented role: %+v", faults)
	}
	// A restart of etcd, or idleness, forgets tokens.
	etcd.Kill()
	etcd.Restart()
	was := n.now().Grant.RenewedAt
	n.await("renewed with a new token", func(c watchdog.Coordinator) bool { return c.Grant.RenewedAt > was })
	n.grant(watchdog.GrantGiveUp)
	n.await("given up", func(c watchdog.Coordinator) bool { return c.Grant.GivenUp })

	for name, change := range map[string]func(*Config){
		"wrong password": as("watchdog", "wrong"),
		"unknown user":   as("nobody", "secret"),
		"no user":        nil,
		"wrong role":     as("other", "secret"),
	} {
		bad := startNode(t, openStore(t, change, etcd.Endpoints()...), "users", addressB)
		eventually(t, name+" noticed", func() bool { return hasFault(bad.k.Faults(), FaultAuth) })
		if bad.now().RoundAt != 0 {
			t.Errorf("%s: had a good round", name)
		}
		bad.stop()
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	l := lab.Loopback(t)
	ca := l.CA()
	etcd := l.Etcd(lab.EtcdConfig{TLS: ca, ClientCerts: true}, l.Host("a"))
	pair, err := tls.LoadX509KeyPair(ca.Client("watchdog"))
	must(t, err)
	good := ca.ClientConfig()
	good.Certificates = []tls.Certificate{pair}
	with := func(cfg *tls.Config) func(*Config) { return func(c *Config) { c.TLS = cfg } }

	n := startNode(t, openStore(t, with(good), etcd.Endpoints()...), "tls", addressA)
	n.await("a member", isMember)

	otherCA := l.CA().ClientConfig()
	otherCA.Certificates = good.Certificates
	wrongName := good.Clone()
	wrongName.ServerName = "another.example"
	for name, cfg := range map[string]*tls.Config{
		"server of another authority": otherCA,
		"server of another name":      wrongName,
		"no client certificate":       ca.ClientConfig(),
	} {
		bad := startNode(t, openStore(t, with(cfg), etcd.Endpoints()...), "tls", addressB)
		eventually(t, name+" noticed", func() bool { return hasFault(bad.k.Faults(), FaultTLS) })
		bad.stop()
	}
	plain := startNode(t, openStore(t, nil, etcd.Members[0].Address), "tls", addressB)
	eventually(t, "missing TLS noticed", func() bool { return hasFault(plain.k.Faults(), FaultUnreachable) })
	if _, err := Open(Config{Endpoints: []string{"http://127.0.0.1:1"}, TLS: good, Now: lab.Now}); err == nil {
		t.Error("TLS to an http:// endpoint was not refused")
	}
}
