package keyspace

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/keydata"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/source"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/stall"
)

// setUser is the first ACL SETUSER of a page, by its words.
func setUser(t *testing.T, page string) (words []any) {
	t.Helper()
	root, err := lab.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "ACL SETUSER redis-watchdog ") {
			for _, w := range strings.Fields(line) {
				words = append(words, w)
			}
			return words
		}
	}
	t.Fatalf("%s has no user", page)
	return nil
}

// TestRightsOfTheFleetAreEnough: a user of exactly the rights that docs/install.md
// names cannot audit; with those that docs/keyspace.md adds it can, and is told the
// size classes.
func TestRightsOfTheFleetAreEnough(t *testing.T) {
	t.Parallel()
	_, _, replica := pair(t, nil, keydata.Options{Seed: 7, Keys: 500})
	audit := func() (keyspace.Audit, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s := source.Server{Address: replica.Address, Dial: replica.Host.Dial, Username: "redis-watchdog", Password: "PASSWORD"}
		a, err := source.Stream(ctx, s, source.StreamOptions{Options: source.Options{CRC: true, Now: time.Now}})
		if err == nil {
			_, _, err = source.Settings(ctx, s, stall.Parameters())
		}
		return a, err
	}
	replica.Do(setUser(t, "install.md")...)
	if _, err := audit(); err == nil || !strings.Contains(err.Error(), "NOPERM") && !strings.Contains(err.Error(), "permissions") {
		t.Errorf("with a watchdog's rights alone: %v", err)
	}
	replica.Do(setUser(t, "keyspace.md")...)
	got, err := audit()
	if err != nil || !got.Complete || got.Classes != keyspace.ClassesAsked {
		t.Errorf("complete %v, classes %s, %v", got.Complete, got.Classes, err)
	}
}
