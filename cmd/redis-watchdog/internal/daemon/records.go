package daemon

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/web"
	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
	"github.com/redis-watchdog/redis-watchdog/watchdog/signal"
)

const (
	readEvery    = 2 * time.Second // at most, however many look
	readTimeout  = 1500 * time.Millisecond
	historyShown = 120 // records of a group: a handful of failovers
)

// reader reads what etcd holds of our groups for those who look at the page.
// While nobody looks it asks etcd nothing, and many who look make it ask no
// more often than one.
type reader struct {
	log     hclog.Logger
	asked   signal.Signal
	fleetAt time.Time // of run alone: when fleet was read

	mu     sync.Mutex
	store  *grant.Store
	groups []string
	newest []web.Record
	fleet  string
	at     time.Time     // when newest was begun to be read; zero: never
	done   chan struct{} // closed with the next reading
}

func newReader(store *grant.Store, groups []string, log hclog.Logger) *reader {
	r := &reader{log: log, asked: signal.New(), done: make(chan struct{})}
	r.follow(store, groups)
	return r
}

// follow reads other groups, or from another etcd, from now on.
func (r *reader) follow(store *grant.Store, groups []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var newest []web.Record
	for _, name := range groups {
		record := web.Record{Group: grant.Group{Name: name}, Problem: "etcd has not been asked yet"}
		if i := slices.Index(r.groups, name); i >= 0 && store == r.store {
			record = r.newest[i]
		}
		newest = append(newest, record)
	}
	r.store, r.groups, r.newest, r.at = store, groups, newest, time.Time{}
}

// Records is what was read last, in the order of the configuration. Where that
// is old it waits for a new reading, as long as ctx does.
func (r *reader) Records(ctx context.Context) []web.Record {
	r.mu.Lock()
	newest, at, done := r.newest, r.at, r.done
	r.mu.Unlock()
	if time.Since(at) < readEvery {
		return newest
	}
	r.asked.Raise()
	select {
	case <-ctx.Done():
	case <-done:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.newest
}

func (r *reader) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-r.asked:
		}
		r.mu.Lock()
		store, groups, old, at := r.store, r.groups, r.newest, r.at
		r.mu.Unlock()
		if time.Since(at) < readEvery {
			continue // asked for just before the last reading ended
		}
		begun := time.Now()
		fresh := r.read(ctx, store, groups, old)
		r.mu.Lock()
		if store == r.store && slices.Equal(groups, r.groups) {
			r.newest, r.at = fresh, begun
		}
		close(r.done)
		r.done = make(chan struct{})
		r.mu.Unlock()
		r.readFleet(ctx, store) // those who wait have what they wait for; the next round waits for this
	}
}

// read asks for all groups at once: one that etcd is slow with keeps no other
// waiting. What cannot be read stays as it was, and says why.
func (r *reader) read(ctx context.Context, store *grant.Store, groups []string, old []web.Record) []web.Record {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	fresh := slices.Clone(old)
	var all sync.WaitGroup
	for i := range fresh {
		all.Go(func() {
			read, err := readRecord(ctx, store, groups[i])
			if err != nil {
				fresh[i].Problem = err.Error()
				r.log.Debug("group not read for the status page", "group", groups[i], "error", err)
				return
			}
			fresh[i] = read
		})
	}
	all.Wait()
	return fresh
}

func readRecord(ctx context.Context, store *grant.Store, group string) (web.Record, error) {
	begun := time.Now()
	g, err := store.Read(ctx, group)
	if err != nil {
		return web.Record{}, err
	}
	written, err := store.ReadHistory(ctx, group, historyShown)
	if err != nil {
		return web.Record{}, err
	}
	record := web.Record{Group: g, ReadAt: begun}
	for _, line := range written {
		var s struct {
			Kind string `json:"kind"` // of a record that is no step: a veto, a stall, a planned failover, a node forgotten
			agent.Step
		}
		switch err := json.Unmarshal([]byte(line), &s); {
		case err != nil:
			record.Garbled++ // another version's; `redis-watchdog history` shows it
		case s.Kind == "":
			record.History = append(record.History, s.Step)
		}
	}
	return record, nil
}

// Records is part of web.Source.
func (d *Daemon) Records(ctx context.Context) []web.Record {
	records := slices.Clone(d.records.Records(ctx))
	for i := range records {
		for _, x := range d.nodes() {
			if x.group == records[i].Group.Name && records[i].Audit == nil {
				records[i].Audit = x.reporter.page()
			}
		}
	}
	return records
}
