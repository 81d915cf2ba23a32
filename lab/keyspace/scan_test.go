package keyspace

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/builds"
	"github.com/redis-watchdog/redis-watchdog/lab/keydata"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/source"
)

func scan(ctx context.Context, r *lab.Redis, o source.ScanOptions) (keyspace.Audit, error) {
	o.Now = time.Now
	return source.Scan(ctx, source.Server{Address: r.Address, Dial: r.Host.Dial}, o)
}

// scans is the test of one build: SCAN finds what the file has.
func scans(t *testing.T, b *builds.Build, fieldTTLs bool) {
	t.Helper()
	r := server(t, b)
	fill(t, r, keydata.Options{Seed: 6, Keys: 2000, Streams: true, Databases: 3, FieldTTLs: fieldTTLs})
	file, err := source.File(t.Context(), save(t, r).Name(), nil, source.Options{CRC: true, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	got, err := scan(t.Context(), r, source.ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Keys != file.Keys || got.Elements != file.Elements || len(got.Databases) != 3 || !got.Complete {
		t.Errorf("got %d keys, %d elements, %d databases; the file has %d, %d, %d", got.Keys, got.Elements, len(got.Databases), file.Keys, file.Elements, len(file.Databases))
	}
	for i, db := range got.Databases {
		if db.Keys != file.Databases[i].Keys || db.Expires != file.Databases[i].Expires {
			t.Errorf("got %+v, the file has %+v", db, file.Databases[i])
		}
	}
}

func TestScanFindsWhatTheFileHas(t *testing.T) {
	t.Parallel()
	scans(t, nil, false)
}

// A scan that is ended midway goes on where it was, and counts every key once.
func TestScanGoesOn(t *testing.T) {
	t.Parallel()
	r := server(t, nil)
	fill(t, r, keydata.Options{Seed: 8, Keys: 6000, Databases: 2})
	want, err := scan(t.Context(), r, source.ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	var kept []byte
	keep := func(s source.State) (err error) { kept, err = json.Marshal(s); return err }
	var state *source.State
	for turn := 0; ; turn++ {
		if turn == 100 {
			t.Fatal("it does not come to an end")
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		began := int64(-1)
		o := source.ScanOptions{Resume: state, Save: keep}
		o.Progress = func(done, _ int64) {
			if began < 0 {
				began = done
			}
			if done-began > 2500 {
				cancel(enough)
			}
		}
		got, err := scan(ctx, r, o)
		cancel(nil)
		if err == nil {
			if turn == 0 || got.Keys != want.Keys || got.Elements != want.Elements || len(got.Prefixes) != len(want.Prefixes) || len(got.Large) != len(want.Large) {
				t.Errorf("after %d turns: got %d keys, %d elements, want %d, %d", turn, got.Keys, got.Elements, want.Keys, want.Elements)
			}
			break
		}
		if !errors.Is(err, enough) || got.Complete {
			t.Fatalf("got %v", err)
		}
		state = &source.State{}
		if err := json.Unmarshal(kept, state); err != nil {
			t.Fatal(err)
		}
	}
	r.Term()
	r.Restart()
	if _, err := scan(t.Context(), r, source.ScanOptions{Resume: state}); err == nil {
		t.Error("a scan goes on after a restart, where its cursor is worth nothing")
	}
}
