package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
)

const (
	// probeKey begins as the watchdog's user may name keys (docs/install.md). It is one
	// a run, so that what an earlier one left proves nothing.
	probeKey = "redis-watchdog:probe:"
	// probeWait bounds how long a replica is waited for, probeEvery how often
	// it is asked.
	probeWait  = 2 * time.Second
	probeEvery = 10 * time.Millisecond
)

// probe writes a key to the master and waits for it at every replica. It
// expires by itself. What fails is the Probe of the node, not an error.
func probe(ctx context.Context, server func(string) gather.Server, facts *preflight.Facts) {
	if facts.Master == "" {
		return // nobody to write to: that blocks already
	}
	key := probeKey + rand.Text()
	_, err := server(facts.Master).Do(ctx, "SET", key, key, "PX", fmt.Sprint(10*probeWait.Milliseconds()))
	written := time.Now()
	var asking sync.WaitGroup
	for i := range facts.Nodes {
		n := &facts.Nodes[i]
		n.Probe = &preflight.Probe{Key: key}
		switch {
		case err != nil:
			n.Probe.Error = "the master did not take it: " + err.Error()
		case n.Address == facts.Master:
			n.Probe.Seen = true
		default:
			asking.Go(func() { await(ctx, server(n.Address), n.Probe, written) })
		}
	}
	asking.Wait()
}

// await asks one replica until it has the key.
func await(ctx context.Context, replica gather.Server, p *preflight.Probe, written time.Time) {
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	for {
		got, err := replica.Do(ctx, "GET", p.Key)
		p.After = time.Since(written)
		switch {
		case err == nil && got == p.Key:
			p.Seen, p.Error = true, ""
			return
		case ctx.Err() == nil && err != nil:
			p.Error = err.Error()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(probeEvery):
		}
	}
}
