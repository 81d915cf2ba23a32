package source

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
)

// ScanOptions are those of an audit by commands.
type ScanOptions struct {
	Options
	// Budget is how long the server may work for us in one go, while its other
	// clients wait; it is kept by measuring every batch and making the next one
	// smaller or larger. Between batches it rests until the server has been idle for
	// a quarter of the time that it was busy, with us or with others, but for no
	// longer than the batch took. Zero: 1 ms.
	Budget time.Duration
	// Resume goes on where State says; nil: from the beginning. Save is told of
	// every State that may be gone on from, every two seconds or so, and of the
	// last one when the scan is ended; nil: nobody keeps one.
	Resume *State
	Save   func(State) error
}

// State is a scan that may be gone on with, on the same process of the server
// only: its cursors are places in tables that are made anew.
type State struct {
	Run       string             `json:"run_id"`
	At        time.Time          `json:"at"` // when the scan was begun first
	DB        int                `json:"db"`
	Cursor    uint64             `json:"cursor"`
	Collected keyspace.Collected `json:"collected"`
}

// Bounds of a batch, in keys.
const (
	firstBatch = 32
	maxBatch   = 2000
	saveEvery  = 2 * time.Second
)

// scanner is one scan.
type scanner struct {
	o         ScanOptions
	conn      *redis.Conn
	collector *keyspace.Collector
	state     State
	batch     int
	trip      time.Duration // the shortest round trip: no work of the server's
	keys      int64
	of        int64
	saved     time.Time
	batched   []asked
	worst     time.Duration // the longest round since adapt
	busy      time.Duration // processor time of the server when it last told
}

// asked is what is asked about one key, and what is known of it.
type asked struct {
	name     string
	ttl      *redis.IntCmd
	encoded  *redis.Cmd
	size     *redis.Cmd
	asks     *redis.StatusCmd // its type; nil: the encoding tells
	count    *redis.IntCmd    // nil: nobody looks at it
	encoding string
	kind     string
}

// Scan audits a server by SCAN and what it says of each key, where no stream may
// be had. Keys that are made, deleted or moved meanwhile may be missed or seen
// twice, as SCAN promises no more. Sizes are the server's own MEMORY USAGE. Before
// Redis 7.2 and Valkey 8 asking for a length counts as a use of the key, for LRU
// and LFU (CLIENT NO-TOUCH is not there).
func Scan(ctx context.Context, s Server, o ScanOptions) (keyspace.Audit, error) {
	if o.Budget <= 0 {
		o.Budget = time.Millisecond
	}
	client := s.client()
	defer client.Close()
	facts, err := info(ctx, client)
	if err != nil {
		return keyspace.Audit{}, fmt.Errorf("%s: %w", s.Address, err)
	}
	if facts["redis_mode"] == "sentinel" {
		return keyspace.Audit{}, fmt.Errorf("%s: is a Sentinel; name the port of a Redis", s.Address)
	}
	how := learn(ctx, client, facts, &o.Options)
	model, err := chooseModel(o.Options, writer(facts)) // of the tables: keys are the server's to measure
	if err != nil {
		return keyspace.Audit{}, err
	}
	sc := &scanner{o: o, conn: client.Conn(), batch: firstBatch, state: State{Run: facts["run_id"], At: o.Now().UTC()}}
	defer sc.conn.Close()
	co := keyspace.Options{At: sc.state.At, HashNames: o.HashNames}
	sc.collector = keyspace.NewCollector(co)
	if r := o.Resume; r != nil {
		if r.Run != facts["run_id"] {
			return keyspace.Audit{}, fmt.Errorf("%s: was restarted since the scan was begun, and its cursors are worth nothing: begin anew", s.Address)
		}
		co.At = r.At
		sc.state = *r
		if sc.collector, err = keyspace.Restore(co, r.Collected); err != nil {
			return keyspace.Audit{}, fmt.Errorf("go on with a scan: %w", err)
		}
	}
	err = sc.run(ctx, facts)
	if saved := sc.save(true); err == nil {
		err = saved
	}
	audit := sc.collector.Audit()
	audit.Source = keyspace.Source{Kind: "scan", Name: s.Address, Server: writer(facts), Proven: true, Replica: facts["role"] != "master", Run: facts["run_id"]}
	audit.Model, audit.Complete = "MEMORY USAGE of the server", err == nil
	audit.Classes, audit.Tables = how, tables(model, audit.Databases)
	if err != nil {
		err = fmt.Errorf("%s: %w", s.Address, err)
		audit.Incomplete = err.Error()
	}
	return audit, err
}

// run goes through the databases from the state on.
func (sc *scanner) run(ctx context.Context, facts map[string]string) error {
	// An error is a server that does not know it.
	_ = sc.ask(ctx, func(ctx context.Context) error { return sc.conn.Do(ctx, "CLIENT", "NO-TOUCH", "on").Err() })
	if err := sc.measure(ctx); err != nil {
		return err
	}
	for _, db := range databases(facts) {
		sc.of += db.keys
	}
	for _, db := range databases(facts) {
		if db.number < sc.state.DB {
			sc.keys += db.keys
			continue
		}
		if db.number > sc.state.DB {
			sc.state.DB, sc.state.Cursor = db.number, 0
		}
		if err := sc.ask(ctx, func(ctx context.Context) error { return sc.conn.Select(ctx, db.number).Err() }); err != nil {
			return fmt.Errorf("SELECT %d: %w", db.number, err)
		}
		if err := sc.database(ctx); err != nil {
			return err
		}
		sc.state.DB, sc.state.Cursor = db.number+1, 0
	}
	return nil
}

// ask gives every question its deadline.
func (sc *scanner) ask(ctx context.Context, question func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	return question(ctx)
}

// measure learns what a round trip takes that is no work.
func (sc *scanner) measure(ctx context.Context) error {
	sc.trip = time.Hour
	for range 10 {
		begun := time.Now()
		if err := sc.ask(ctx, func(ctx context.Context) error { return sc.conn.Ping(ctx).Err() }); err != nil {
			return fmt.Errorf("PING: %w", err)
		}
		sc.trip = min(sc.trip, time.Since(begun))
	}
	return nil
}

// database scans one, from the state's cursor to its end. The next SCAN goes with
// the last questions of a batch.
func (sc *scanner) database(ctx context.Context) error {
	var scan *redis.ScanCmd
	if err := sc.round(ctx, "SCAN", func(p redis.Pipeliner, ctx context.Context) {
		scan = p.Scan(ctx, sc.state.Cursor, "", int64(sc.batch))
	}); err != nil {
		return err
	}
	for {
		begun := time.Now()
		names, next, err := scan.Result()
		if err != nil {
			return fmt.Errorf("SCAN: %w", err)
		}
		var load *redis.StringCmd
		if err := sc.keysOf(ctx, names, func(p redis.Pipeliner, ctx context.Context) {
			if next != 0 {
				scan = p.Scan(ctx, next, "", int64(sc.batch))
			}
			load = p.Info(ctx, "cpu")
		}); err != nil {
			return err
		}
		sc.state.Cursor = next
		sc.keys += int64(len(names))
		if sc.o.Progress != nil {
			sc.o.Progress(sc.keys, max(sc.of, sc.keys))
		}
		if err := sc.save(false); err != nil {
			return err
		}
		if next == 0 {
			return nil
		}
		if err := sc.rest(ctx, load, time.Since(begun)); err != nil {
			return err
		}
	}
}

// rest waits until the server has been idle for a quarter of the time that it was
// busy since it last told, but for no longer than the batch took. A server that
// does not tell is taken to have been busy all the time.
func (sc *scanner) rest(ctx context.Context, load *redis.StringCmd, took time.Duration) error {
	wait := took
	if busy, told := processorTime(load.Val()); told {
		wait = min(wait, (busy-sc.busy)*5/4-took)
		sc.busy = busy
	}
	if wait = min(wait, 20*sc.o.Budget); wait <= 0 {
		return context.Cause(ctx)
	}
	rest := time.NewTimer(wait)
	defer rest.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-rest.C:
		return nil
	}
}

// processorTime is what INFO cpu says of the thread that serves clients, or before
// Redis 6.2 of all threads; false: nothing.
func processorTime(text string) (busy time.Duration, told bool) {
	all := fields(text)
	for _, names := range [][2]string{{"used_cpu_sys_main_thread", "used_cpu_user_main_thread"}, {"used_cpu_sys", "used_cpu_user"}} {
		system, err := strconv.ParseFloat(all[names[0]], 64)
		if err != nil {
			continue
		}
		user, err := strconv.ParseFloat(all[names[1]], 64)
		if err != nil {
			continue
		}
		return time.Duration((system + user) * float64(time.Second)), true
	}
	return 0, false
}

// adapt makes the next batch such that the server works for no longer than the
// budget in one go.
func (sc *scanner) adapt() {
	work := sc.worst - sc.trip
	sc.worst = 0
	switch {
	case work > sc.o.Budget:
		sc.batch = max(1, sc.batch/2)
	case work < sc.o.Budget/2:
		sc.batch = min(maxBatch, sc.batch+sc.batch/2+1)
	}
}

// round asks several questions at once; each answer tells by itself if it is
// refused.
func (sc *scanner) round(ctx context.Context, what string, fill func(redis.Pipeliner, context.Context)) error {
	pipe := sc.conn.Pipeline()
	begun := time.Now()
	err := sc.ask(ctx, func(ctx context.Context) error {
		if fill(pipe, ctx); pipe.Len() == 0 {
			return nil
		}
		_, err := pipe.Exec(ctx)
		return err
	})
	sc.worst = max(sc.worst, time.Since(begun))
	if _, refused := errors.AsType[redis.Error](err); err == nil || refused {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// keysOf asks for each key of the batch, and adds it: what every key has, the type
// of those whose encoding does not tell it, and how many elements there are. last
// are questions that go with the last of these.
func (sc *scanner) keysOf(ctx context.Context, names []string, last func(redis.Pipeliner, context.Context)) error {
	sc.batched = sc.batched[:0]
	if err := sc.round(ctx, "MEMORY USAGE", func(p redis.Pipeliner, ctx context.Context) {
		for _, name := range names {
			ttl := redis.NewIntCmd(ctx, "PTTL", name)
			_ = p.Process(ctx, ttl) // queued: it has no error yet
			sc.batched = append(sc.batched, asked{name: name, ttl: ttl, encoded: p.Do(ctx, "OBJECT", "ENCODING", name), size: p.Do(ctx, "MEMORY", "USAGE", name)})
		}
	}); err != nil {
		return err
	}
	if err := sc.round(ctx, "TYPE", func(p redis.Pipeliner, ctx context.Context) {
		for i := range sc.batched {
			if k := &sc.batched[i]; !k.tells() {
				k.asks = p.Type(ctx, k.name)
			}
		}
	}); err != nil {
		return err
	}
	sc.adapt()
	if err := sc.round(ctx, "count elements", func(p redis.Pipeliner, ctx context.Context) {
		for i := range sc.batched {
			k := &sc.batched[i]
			if k.asks != nil {
				k.kind = k.asks.Val()
			}
			if bytes, err := k.size.Int64(); err != nil || k.kind == "string" && !sc.collector.WantsLength(uint64(len(k.name)), uint64(bytes)) {
				continue
			}
			k.count = redis.NewIntCmd(ctx, countBy(k.kind), k.name)
			_ = p.Process(ctx, k.count)
		}
		last(p, ctx)
	}); err != nil {
		return err
	}
	now := time.Now().UnixMilli()
	for i := range sc.batched {
		if err := sc.add(&sc.batched[i], now); err != nil {
			return err
		}
	}
	return nil
}

func (sc *scanner) save(last bool) error {
	if sc.o.Save == nil || !last && time.Since(sc.saved) < saveEvery {
		return nil
	}
	sc.saved = time.Now()
	sc.state.Collected = sc.collector.Collected()
	if err := sc.o.Save(sc.state); err != nil {
		return fmt.Errorf("keep where the scan is: %w", err)
	}
	return nil
}
