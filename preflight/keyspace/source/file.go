package source

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/rdb"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/size"
)

// Options of every source.
type Options struct {
	Model string // server version whose sizes are estimated, as "redis 7.0"; empty: the writer's
	// Classes are the allocator's size classes; nil: a server is asked for its own,
	// and of a file Debian's are assumed.
	Classes   *size.Classes
	CRC       bool
	HashNames bool
	Now       func() time.Time
	// Progress is told of bytes read and of all there are (zero: not known); nil:
	// nobody looks.
	Progress func(read, of int64)
}

// File audits an RDB file, or what is read of it: an incomplete audit and an
// error come together. name "-" is the standard input.
func File(ctx context.Context, name string, in io.Reader, o Options) (keyspace.Audit, error) {
	if name == "-" {
		return walk(ctx, "standard input", io.NopCloser(in), 0, o)
	}
	f, err := os.Open(name)
	if err != nil {
		return keyspace.Audit{}, fmt.Errorf("open RDB file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return keyspace.Audit{}, fmt.Errorf("open RDB file: %w", err)
	}
	if info.IsDir() {
		return keyspace.Audit{}, fmt.Errorf("%s is a directory; name the file in it (dump.rdb), or an append-only directory with --aof", name)
	}
	if !info.Mode().IsRegular() {
		// A pipe cannot be skipped in, whatever its Seek says.
		return walk(ctx, name, struct{ io.Reader }{f}, 0, o)
	}
	return walk(ctx, name, f, info.Size(), o)
}

// walk reads one RDB.
func walk(ctx context.Context, name string, in io.Reader, of int64, o Options) (keyspace.Audit, error) {
	var collector *keyspace.Collector
	var model *size.Model
	source := keyspace.Source{Kind: "rdb", Name: name}
	begin := func(f rdb.File) (rdb.Elements, error) {
		var err error
		source.Server = server(f.Aux)
		if model, err = chooseModel(o, source.Server); err != nil {
			return nil, err
		}
		collector = keyspace.NewCollector(keyspace.Options{At: begun(f.Aux, o.Now), HashNames: o.HashNames})
		return model, nil
	}
	progress := func(at int64) error {
		if o.Progress != nil {
			o.Progress(at, of)
		}
		return context.Cause(ctx)
	}
	var used uint64
	file, err := rdb.Walk(in, rdb.Options{CRC: o.CRC, Begin: begin, Progress: progress}, func(k *rdb.Key) error {
		collector.Add(k, model.Size(k))
		used += model.Used(k)
		return nil
	})
	if collector == nil && (err == nil || file.Format.Version > 0) {
		if _, e := begin(file); e != nil {
			return keyspace.Audit{}, e
		}
	}
	if collector == nil || err != nil && file.Keys == 0 {
		return keyspace.Audit{}, fmt.Errorf("%s: %w", name, err) // there is nothing to show
	}
	source.Format, source.Proven, source.Bytes, source.CRC = file.Format.String(), file.Format.Proven(), file.Bytes, string(file.CRC)
	audit := collector.Audit()
	audit.Source, audit.Model, audit.Complete = source, model.Name(), err == nil
	audit.Classes = keyspace.ClassesAssumed
	if o.Classes != nil {
		audit.Classes = keyspace.ClassesGiven
	}
	audit.Tables = tables(model, audit.Databases)
	audit.Used = used + audit.Tables
	if err != nil {
		audit.Incomplete = err.Error()
		err = fmt.Errorf("%s: %w", name, err)
	}
	return audit, err
}

// tables is what the tables of all databases take.
func tables(m *size.Model, all []keyspace.Database) uint64 {
	var bytes uint64
	for _, db := range all {
		bytes += m.Tables(db.Keys, db.Expires)
	}
	return bytes
}

// server is who wrote the file, as "redis 7.0.15"; empty: it does not say.
func server(aux map[string]string) string {
	if v := aux["valkey-ver"]; v != "" {
		return "valkey " + v
	}
	if v := aux["redis-ver"]; v != "" {
		return "redis " + v
	}
	return ""
}

// begun is when the writer began: its field "ctime". A file without it is as old
// as nobody knows, and its times are counted from now.
func begun(aux map[string]string, now func() time.Time) time.Time {
	if seconds, err := strconv.ParseInt(aux["ctime"], 10, 64); err == nil && seconds > 0 {
		return time.Unix(seconds, 0).UTC()
	}
	return now().UTC()
}

// chooseModel takes the named version, the writer's, or the nearest older one of
// the writer's family.
func chooseModel(o Options, writer string) (*size.Model, error) {
	classes := o.Classes
	if classes == nil {
		classes = size.Jemalloc(16)
	}
	if o.Model != "" {
		m, err := size.New(o.Model, classes)
		if err != nil {
			return nil, fmt.Errorf("%w: known are %s", err, strings.Join(size.Versions(), ", "))
		}
		return m, nil
	}
	return size.Nearest(writer, classes), nil
}
