package keyspace

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/builds"
	"github.com/redis-watchdog/redis-watchdog/lab/keydata"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/source"
	"github.com/redis-watchdog/redis-watchdog/watchdog/redisclient"
)

// pair is a master with data and a replica of it in step.
func pair(t *testing.T, b *builds.Build, o keydata.Options, lines ...string) (l *lab.Lab, master, replica *lab.Redis) {
	t.Helper()
	c := lab.GroupConfig{}
	if b != nil {
		c = b.Use(t, c, func() *lab.Lab { return l })
	}
	l = lab.New(t)
	rc := c.Redis
	rc.Lines = append([]string{`save ""`, "repl-diskless-sync-delay 0"}, lines...)
	master = l.Host("a").Redis(rc)
	fill(t, master, o)
	rc.ReplicaOf = master
	replica = l.Host("b").Redis(rc)
	l.Eventually("the replica is in step", time.Minute, func() error {
		if s := replica.Info()["master_link_status"]; s != "up" {
			return errors.New(s)
		}
		return nil
	})
	return l, master, replica
}

func (p streamed) audit(t *testing.T, o source.StreamOptions) (keyspace.Audit, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	o.CRC, o.Now = true, time.Now
	return source.Stream(ctx, source.Server{Address: p.of.Address, Dial: p.from.Dial}, o)
}

type streamed struct {
	of   *lab.Redis
	from *lab.Host
}

// streams is the test of one build: off a replica's stream comes what its file has.
func streams(t *testing.T, b *builds.Build, format string, fieldTTLs bool) {
	t.Helper()
	_, _, replica := pair(t, b, keydata.Options{Seed: 5, Keys: 3000, Streams: true, FieldTTLs: fieldTTLs})
	file, err := source.File(t.Context(), save(t, replica).Name(), nil, source.Options{CRC: true, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	got, err := streamed{replica, replica.Host}.audit(t, source.StreamOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Source.Format != format || got.Keys != file.Keys || got.Bytes != file.Bytes || got.Elements != file.Elements || got.Used != file.Used || !got.Complete || !got.Source.Replica || got.Classes != keyspace.ClassesAsked {
		t.Errorf("got %d keys, %d bytes, %d elements, %+v; the file has %d, %d, %d", got.Keys, got.Bytes, got.Elements, got.Source, file.Keys, file.Bytes, file.Elements)
	}
}

func TestStreamIsTheReplicasFile(t *testing.T) {
	t.Parallel()
	streams(t, nil, "RDB 10 of Redis", false)
}

func TestMasterIsNotAuditedUnasked(t *testing.T) {
	t.Parallel()
	_, master, _ := pair(t, nil, keydata.Options{Keys: 10})
	before := master.Info()["sync_full"]
	_, err := streamed{master, master.Host}.audit(t, source.StreamOptions{})
	if err == nil || !strings.Contains(err.Error(), "--master") || !strings.Contains(err.Error(), "SENTINEL RESET") {
		t.Errorf("got %v", err)
	}
	if after := master.Info()["sync_full"]; after != before {
		t.Error("the master was asked for its data")
	}
	if got, err := (streamed{master, master.Host}).audit(t, source.StreamOptions{Master: true}); err != nil || got.Keys != 10 || got.Source.Replica {
		t.Errorf("asked for: got %+v, %v", got.Source, err)
	}
}

// TestAuditByTLSAndOtherNames: a Redis with TLS, a password, and other names for all
// that can be configured is audited, and so is one by its unix socket.
func TestAuditByTLSAndOtherNames(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	ca := l.CA()
	names := map[string]string{"info": "i-n-f-o", "config": "c-o-n-f-i-g", "hello": "", "auth": "a-u-t-h"}
	rename := map[string]string{}
	for command, name := range names {
		rename[strings.ToUpper(command)] = name
	}
	for _, tls := range []*lab.CA{nil, ca} {
		c := lab.RedisConfig{Name: "renamed", Password: "pw", Rename: rename, TLS: tls, Paused: true, Lines: []string{`save ""`, "repl-diskless-sync-delay 0"}}
		h := l.Host("a")
		if tls != nil {
			c.Name, h = "secure", l.Host("b")
		}
		r := h.Redis(c) // asked by nobody else: the lab does not know the names
		r.Process.Restart()
		s := source.Server{Address: r.Socket, Password: "pw", Commands: names}
		if tls != nil {
			s.Address, s.TLS, s.Dial = r.Address, tls.ClientConfig(), h.Dial
		}
		l.Eventually("the Redis is up", 30*time.Second, func() error {
			_, _, err := source.Settings(t.Context(), s, nil)
			return err
		})
		to := redisclient.Server{Socket: r.Socket, Password: "pw", Commands: names}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if answers, err := redisclient.Ask(ctx, to, []string{"MSET", "a", "1", "b", "2", "c", "3"}); err != nil || answers[0].Err != nil {
			t.Fatal(answers, err)
		}
		got, err := source.Stream(ctx, s, source.StreamOptions{Master: true, Options: source.Options{CRC: true, Now: time.Now}})
		if err != nil || got.Keys != 3 || !got.Complete {
			t.Errorf("%s: %d keys, complete %v, %v", c.Name, got.Keys, got.Complete, err)
		}
		if _, settings, err := source.Settings(ctx, s, []string{"maxmemory-policy"}); err != nil || settings["maxmemory-policy"] == "" {
			t.Errorf("%s: settings %v, %v", c.Name, settings, err)
		}
	}
}

// The audited replica is promoted while it sends: the audit ends, and says so.
func TestAuditEndsWhenTheReplicaIsPromoted(t *testing.T) {
	t.Parallel()
	l, _, replica := pair(t, nil, keydata.Options{Seed: 2, Keys: 4000}, "rdb-key-save-delay 3000")
	ended := make(chan error, 1)
	go func() {
		_, err := streamed{replica, replica.Host}.audit(t, source.StreamOptions{})
		ended <- err
	}()
	l.Eventually("the audit has begun", 30*time.Second, func() error {
		if replica.Info()["connected_slaves"] != "1" {
			return errors.New("not yet")
		}
		return nil
	})
	replica.Do("REPLICAOF", "NO", "ONE")
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "promoted") {
		t.Errorf("got %v", err)
	}
	l.Eventually("the fork has ended", 30*time.Second, func() error {
		if i := replica.Info(); i["connected_slaves"] != "0" || i["rdb_bgsave_in_progress"] != "0" {
			return errors.New("not yet")
		}
		return nil
	})
}
