package grant

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// What stands between the two lines is the example of docs/clients.md.

// --- example

// Master is what masters/GROUP holds, as far as a client needs it.
type Master struct {
	Generation uint64 `json:"generation"`
	Epoch      uint64 `json:"epoch"`
	Address    string `json:"address"`
}

// FollowMaster calls use with the master of a group, now and whenever it
// changes, until ctx ends or etcd fails; then call it again, with the last.
func FollowMaster(ctx context.Context, etcd *clientv3.Client, group string, last Master, use func(Master)) (Master, error) {
	key := "/redis-watchdog/v1/masters/" + group
	take := func(value []byte) error {
		var m Master
		if err := json.Unmarshal(value, &m); err != nil {
			return err
		}
		// A member of etcd that lags must not take us back.
		if m.Generation > last.Generation || m.Generation == last.Generation && m.Epoch > last.Epoch {
			last = m
			use(m)
		}
		return nil
	}
	got, err := etcd.Get(ctx, key)
	if err != nil {
		return last, err
	}
	for _, kv := range got.Kvs {
		if err := take(kv.Value); err != nil {
			return last, err
		}
	}
	watch := etcd.Watch(clientv3.WithRequireLeader(ctx), key, clientv3.WithRev(got.Header.Revision+1))
	for change := range watch {
		if err := change.Err(); err != nil {
			return last, err
		}
		for _, e := range change.Events {
			if e.Type == clientv3.EventTypePut {
				if err := take(e.Kv.Value); err != nil {
					return last, err
				}
			}
		}
	}
	return last, ctx.Err()
}

// --- example

func TestExampleOfDocumentFollowsTheMaster(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("client_test.go")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	example := strings.TrimSpace(strings.Split(string(source), "// --- example\n")[1])
	if !strings.Contains(string(doc), "```go\n"+example+"\n```") {
		t.Error("the example of docs/clients.md is not the one that is tested")
	}

	l, e := oneMember(t)
	etcd := e.Client(l.Host("a"))
	put := func(m MasterRecord) {
		t.Helper()
		text, err := json.Marshal(m)
		if err == nil {
			_, err = etcd.Put(t.Context(), keysOf(DefaultPrefix, "clients").master, string(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	record := func(generation, epoch uint64, address watchdog.Address) MasterRecord {
		return MasterRecord{Generation: generation, Epoch: epoch, Address: address}
	}
	put(record(1, 4, addressA))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	seen := make(chan string, 8)
	ended := make(chan error, 1)
	go func() {
		_, err := FollowMaster(ctx, etcd, "clients", Master{}, func(m Master) { seen <- m.Address })
		ended <- err
	}()
	next := func(want watchdog.Address) {
		t.Helper()
		select {
		case got := <-seen:
			if got != string(want) {
				t.Fatalf("the master is %s, want %s", got, want)
			}
		case err := <-ended:
			t.Fatalf("it ended: %v", err)
		}
	}
	next(addressA)
	put(record(1, 5, addressB))
	next(addressB)
	put(record(1, 4, addressA)) // older: nobody is told
	put(record(2, 0, addressC)) // Sentinel began its epochs anew
	next(addressC)
	cancel()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("it ended without an error")
		}
	case <-time.After(patience):
		t.Error("it did not end")
	}
}
