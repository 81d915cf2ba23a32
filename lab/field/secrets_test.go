package field

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// TestPasswordDiffersAtAReplica: the password of a client's user is rotated, and
// one replica is forgotten. It is noticed, and yet nothing that the password
// could be guessed by ever stood in etcd, of which a client that has the role of
// docs/clients.md reads the master and the grant, and nothing else.
func TestPasswordDiffersAtAReplica(t *testing.T) {
	t.Parallel()
	w, as := guardedAsUser(t)
	s := begin(t, w)
	const before, after = "hunter2", "hunter3"
	setUser := func(password string, daemons ...int) {
		for _, i := range daemons {
			w.Watchdogs[i].Redis.Do("ACL", "SETUSER", "app", "on", "resetpass", ">"+password, "~app:*", "+@all", "-@dangerous")
		}
	}
	s.done("a user for the application, on every node, and its password rotated on all but one")
	setUser(before, 0, 1, 2)
	forgotten := w.Others(s.master)[1]
	at := slices.Index(w.Watchdogs, forgotten)
	setUser(after, slices.DeleteFunc([]int{0, 1, 2}, func(i int) bool { return i == at })...)
	vetoed := func(st agent.Status) bool { return slices.Equal(st.VetoReasons, []string{"parity_acl"}) }
	s.asks(forgotten, vetoed, "is vetoed for parity_acl")
	s.told(forgotten, "vetoed", "parity_acl", "app", "ACL SETUSER")
	if text, code := s.master.CLI("preflight", "mymaster", "--to", forgotten.Redis.Address); code != 1 || !strings.Contains(text, "parity_acl at "+forgotten.Redis.Address) {
		t.Errorf("a preflight ended with %d: %s", code, text)
	}
	s.done("the forgotten one gets it too")
	setUser(after, at)
	s.asks(forgotten, func(st agent.Status) bool { return len(st.VetoReasons) == 0 }, "is not vetoed")
	s.undisturbed()

	everRead := s.everInEtcd()
	for key, values := range everRead {
		for _, value := range values {
			for _, password := range []string{before, after} {
				for what, guess := range guesses(password, w.Record().Record.ID) {
					if strings.Contains(value, guess) {
						t.Errorf("%s held %s: %s", key, what, value)
					}
				}
			}
			if strings.Contains(value, `"passwords"`) {
				t.Errorf("%s held something of passwords: %s", key, value)
			}
		}
	}

	s.pasteAll(w.Hosts[0], as+linesOf(t, "../../docs/clients.md", "etcdctl", "redis-client", "secret"))
	as2 := w.Etcd.ClientConfig(nil, w.Etcd.Members[0])
	as2.Username, as2.Password = "redis-client", "secret"
	client, err := clientv3.New(as2)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for key := range everRead {
		_, err := client.Get(t.Context(), key)
		if its := strings.HasPrefix(key, "/redis-watchdog/v1/masters/") || strings.HasPrefix(key, "/redis-watchdog/v1/grants/"); its != (err == nil) || err != nil && !errors.Is(err, rpctypes.ErrPermissionDenied) {
			t.Errorf("a client reads %s: %v", key, err)
		}
	}
	for _, prefix := range []string{"/", "/redis-watchdog/v1/"} {
		if _, err := client.Get(t.Context(), prefix, clientv3.WithPrefix()); !errors.Is(err, rpctypes.ErrPermissionDenied) {
			t.Errorf("a client reads all of %s: %v", prefix, err)
		}
	}
	if _, err := client.Put(t.Context(), "/redis-watchdog/v1/masters/mymaster", "{}"); !errors.Is(err, rpctypes.ErrPermissionDenied) {
		t.Errorf("a client writes: %v", err)
	}
}

// asks has a report made of every node, by a preflight, until the status of one is as
// wanted.
func (s *story) asks(d interface {
	WaitFor(string, func(agent.Status) bool) agent.Status
}, is func(agent.Status) bool, what string) {
	s.t.Helper()
	asked := time.Time{}
	d.WaitFor(what, func(st agent.Status) bool {
		if time.Since(asked) > 5*time.Second {
			asked = time.Now()
			s.master.CLI("preflight", "mymaster")
		}
		return is(st)
	})
}

// everInEtcd is every value that any key has had since etcd was made.
func (s *story) everInEtcd() map[string][]string {
	s.t.Helper()
	client := s.Etcd.Client(nil, s.Etcd.Members[0]) // another may not have heard of its token yet
	now, err := client.Get(s.t.Context(), "/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		s.t.Fatal(err)
	}
	all := map[string][]string{}
	watch := client.Watch(s.t.Context(), "/", clientv3.WithPrefix(), clientv3.WithRev(1))
	for seen := int64(0); seen < now.Header.Revision; {
		select {
		case r := <-watch:
			if r.Err() != nil {
				s.t.Fatal(r.Err())
			}
			for _, e := range r.Events {
				seen = max(seen, e.Kv.ModRevision)
				all[string(e.Kv.Key)] = append(all[string(e.Kv.Key)], string(e.Kv.Value))
			}
		case <-time.After(patience):
			s.t.Fatalf("the watch stands at revision %d of %d", seen, now.Header.Revision)
		}
	}
	if len(all["/redis-watchdog/v1/masters/mymaster"]) == 0 || !strings.Contains(fmt.Sprint(all), `"users"`) {
		s.t.Fatalf("that is not all that was written: %d keys", len(all))
	}
	return all
}

// guesses are what whoever reads etcd would compute of a password, to compare
// with what is there.
func guesses(password, groupID string) map[string]string {
	sum := sha256.Sum256([]byte(password))
	hash := hex.EncodeToString(sum[:])
	keyed := hmac.New(sha256.New, []byte(groupID))
	keyed.Write([]byte(hash))
	return map[string]string{
		"the password": password, "its hash": hash,
		"a digest keyed by the group's id": hex.EncodeToString(keyed.Sum(nil)[:16]),
	}
}
