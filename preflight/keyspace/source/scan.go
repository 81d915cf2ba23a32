package source

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/rdb"
)

// ScanOptions are those of an audit by commands.
type ScanOptions struct {
	Options
	// Budget is how long the server may work for us in one go, while its other
	// clients wait; it is kept by measuring every batch and making the next one
	// smaller or larger. As long as a batch took it then rests. Zero: 1 ms.
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
	names     []string // of the batch
	kinds     []*redis.StatusCmd
	ttls      []*redis.IntCmd
	sizes     []*redis.Cmd
	counts    []*redis.IntCmd
	encodings []*redis.Cmd
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

// database scans one, from the state's cursor to its end.
func (sc *scanner) database(ctx context.Context) error {
	for {
		begun := time.Now()
		var next uint64
		err := sc.ask(ctx, func(ctx context.Context) (err error) {
			sc.names, next, err = sc.conn.Scan(ctx, sc.state.Cursor, "", int64(sc.batch)).Result()
			return err
		})
		if err != nil {
			return fmt.Errorf("SCAN: %w", err)
		}
		worst, err := sc.keysOf(ctx, time.Since(begun))
		if err != nil {
			return err
		}
		sc.state.Cursor = next
		sc.keys += int64(len(sc.names))
		if sc.o.Progress != nil {
			sc.o.Progress(sc.keys, max(sc.of, sc.keys))
		}
		if err := sc.save(false); err != nil {
			return err
		}
		if next == 0 {
			return nil
		}
		sc.adapt(worst)
		rest := time.NewTimer(min(time.Since(begun), 20*sc.o.Budget))
		select {
		case <-ctx.Done():
			rest.Stop()
			return context.Cause(ctx)
		case <-rest.C:
		}
	}
}

// adapt makes the next batch such that the server works for no longer than the
// budget in one go.
func (sc *scanner) adapt(worst time.Duration) {
	work := worst - sc.trip
	switch {
	case work > sc.o.Budget:
		sc.batch = max(1, sc.batch/2)
	case work < sc.o.Budget/2:
		sc.batch = min(maxBatch, sc.batch+sc.batch/2+1)
	}
}

// keysOf asks for each key of the batch, in two rounds, and is the longest time
// that one of them took, or the scan before.
func (sc *scanner) keysOf(ctx context.Context, worst time.Duration) (time.Duration, error) {
	if len(sc.names) == 0 {
		return worst, nil
	}
	round := func(fill func(redis.Pipeliner, context.Context)) error {
		pipe := sc.conn.Pipeline()
		begun := time.Now()
		err := sc.ask(ctx, func(ctx context.Context) error {
			fill(pipe, ctx)
			_, err := pipe.Exec(ctx)
			return err
		})
		worst = max(worst, time.Since(begun))
		if _, refused := errors.AsType[redis.Error](err); refused {
			return nil // each answer tells
		}
		return err
	}
	sc.kinds, sc.ttls, sc.sizes = sc.kinds[:0], sc.ttls[:0], sc.sizes[:0]
	if err := round(func(p redis.Pipeliner, ctx context.Context) {
		for _, name := range sc.names {
			sc.kinds = append(sc.kinds, p.Type(ctx, name))
			ttl := redis.NewIntCmd(ctx, "PTTL", name)
			_ = p.Process(ctx, ttl) // queued: it has no error yet
			sc.ttls = append(sc.ttls, ttl)
			sc.sizes = append(sc.sizes, p.Do(ctx, "MEMORY", "USAGE", name))
		}
	}); err != nil {
		return worst, fmt.Errorf("TYPE: %w", err)
	}
	sc.counts, sc.encodings = sc.counts[:0], sc.encodings[:0]
	if err := round(func(p redis.Pipeliner, ctx context.Context) {
		for i, name := range sc.names {
			count := redis.NewIntCmd(ctx, countBy(sc.kinds[i].Val()), name)
			_ = p.Process(ctx, count) // queued: it has no error yet
			sc.counts = append(sc.counts, count)
			sc.encodings = append(sc.encodings, p.Do(ctx, "OBJECT", "ENCODING", name))
		}
	}); err != nil {
		return worst, fmt.Errorf("count elements: %w", err)
	}
	now := time.Now().UnixMilli()
	for i, name := range sc.names {
		if err := sc.key(i, name, now); err != nil {
			return worst, err
		}
	}
	return worst, nil
}

// countBy is the command that counts the elements of a type; of a module's value
// EXISTS, which any key answers.
func countBy(kind string) string {
	switch kind {
	case "string":
		return "STRLEN"
	case "list":
		return "LLEN"
	case "set":
		return "SCARD"
	case "zset":
		return "ZCARD"
	case "hash":
		return "HLEN"
	case "stream":
		return "XLEN"
	case "vectorset":
		return "VCARD"
	case "array": // Redis 8.8
		return "ARCOUNT"
	}
	return "EXISTS"
}

// key adds one, unless it has gone meanwhile.
func (sc *scanner) key(i int, name string, now int64) error {
	kind := sc.kinds[i].Val()
	if err := sc.kinds[i].Err(); err != nil {
		return fmt.Errorf("TYPE: %w", err)
	}
	size, err := sc.sizes[i].Int64()
	if kind == "none" || errors.Is(err, redis.Nil) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("MEMORY USAGE: %w", err)
	}
	k := rdb.Key{DB: sc.state.DB, Name: []byte(name), NameLen: uint64(len(name)), Idle: -1, Freq: -1}
	known := false
	if k.Type, known = rdb.ParseType(kind); !known {
		k.Type, k.Module = rdb.Module, kind
	}
	if n, err := sc.counts[i].Result(); err == nil && (known || kind == "vectorset") {
		k.Elements, k.Counted = uint64(n), true
	}
	if k.Type == rdb.String {
		k.Payload = k.Elements
	}
	if text, err := sc.encodings[i].Text(); err == nil {
		k.Encoding = encodingOf(k.Type, text)
	}
	if left := sc.ttls[i].Val(); left >= 0 && sc.ttls[i].Err() == nil {
		k.ExpireAt = now + left
	}
	sc.collector.Add(&k, uint64(size))
	return nil
}

// encodingOf is OBJECT ENCODING's word in ours; what is not known is the type's
// table.
func encodingOf(t rdb.Type, text string) rdb.Encoding {
	if text == "embstr" {
		return rdb.Raw
	}
	if e, known := rdb.ParseEncoding(text); known {
		return e
	}
	switch t {
	case rdb.String:
		return rdb.Raw
	case rdb.Module:
		return rdb.ModuleValue
	case rdb.Stream:
		return rdb.StreamPacks
	case rdb.Array:
		return rdb.ArrayValue
	}
	return rdb.HashTable
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

// database with keys, from INFO's "db0:keys=2,expires=1,…".
type database struct {
	number int
	keys   int64
}

func databases(facts map[string]string) []database {
	var all []database
	for name, text := range facts {
		n, err := strconv.Atoi(strings.TrimPrefix(name, "db"))
		if err != nil || !strings.HasPrefix(name, "db") {
			continue
		}
		for part := range strings.SplitSeq(text, ",") {
			if v, ok := strings.CutPrefix(part, "keys="); ok {
				keys, err := strconv.ParseInt(v, 10, 64)
				if err == nil {
					all = append(all, database{n, keys})
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b database) int { return a.number - b.number })
	return all
}
