//go:build soak

package keyspace

import (
	"testing"

	"github.com/redis-watchdog/redis-watchdog/lab/builds"
)

func TestCountsAreTheServersOfEveryBuildSoak(t *testing.T) {
	t.Run("redis 6.0", func(t *testing.T) { exact(t, &builds.Redis60, "RDB 9 of Redis", false, false) })
	t.Run("redis 8.0", func(t *testing.T) { exact(t, &builds.Redis80, "RDB 12 of Redis", true, true) })
	t.Run("valkey 8.1", func(t *testing.T) { exact(t, &builds.Valkey81, "RDB 11 of Redis", false, false) })
	t.Run("valkey 9.1", func(t *testing.T) { exact(t, &builds.Valkey9, "RDB 80 of Valkey", true, false) })
}

func TestSizesAreTheServersOfEveryBuildSoak(t *testing.T) {
	t.Run("redis 6.0", func(t *testing.T) { sizes(t, &builds.Redis60, "redis 6.0", 0.05) })
	t.Run("redis 8.0", func(t *testing.T) { sizes(t, &builds.Redis80, "redis 8.0", 0.05) })
	t.Run("valkey 8.1", func(t *testing.T) { sizes(t, &builds.Valkey81, "valkey 8.1", 0.15) })
	t.Run("valkey 9.1", func(t *testing.T) { sizes(t, &builds.Valkey9, "valkey 9.1", 0.15) })
}

func TestStreamIsTheReplicasFileOfEveryBuildSoak(t *testing.T) {
	t.Run("redis 6.0", func(t *testing.T) { streams(t, &builds.Redis60, "RDB 9 of Redis", false) })
	t.Run("redis 8.0", func(t *testing.T) { streams(t, &builds.Redis80, "RDB 12 of Redis", true) })
	t.Run("valkey 8.1", func(t *testing.T) { streams(t, &builds.Valkey81, "RDB 11 of Redis", false) })
	t.Run("valkey 9.1", func(t *testing.T) { streams(t, &builds.Valkey9, "RDB 80 of Valkey", true) })
}

func TestScanFindsWhatTheFileHasOfEveryBuildSoak(t *testing.T) {
	t.Run("redis 6.0", func(t *testing.T) { scans(t, &builds.Redis60, false) })
	t.Run("redis 8.0", func(t *testing.T) { scans(t, &builds.Redis80, true) })
	t.Run("valkey 8.1", func(t *testing.T) { scans(t, &builds.Valkey81, false) })
	t.Run("valkey 9.1", func(t *testing.T) { scans(t, &builds.Valkey9, true) })
}

func TestUsedMemoryGrowsAsEstimatedOnEveryBuildSoak(t *testing.T) {
	for _, b := range []*builds.Build{&builds.Redis60, &builds.Redis80, &builds.Valkey81, &builds.Valkey9} {
		t.Run(b.Name+" mixed", func(t *testing.T) { usedMemoryGrows(t, b, mixed) })
		t.Run(b.Name+" small strings", func(t *testing.T) { usedMemoryGrows(t, b, small) })
	}
}

func TestEstimateIsWhatEveryBuildTakesSoak(t *testing.T) {
	t.Run("redis 6.0", func(t *testing.T) { estimated(t, &builds.Redis60, "redis 6.0") })
	t.Run("redis 8.0", func(t *testing.T) { estimated(t, &builds.Redis80, "redis 8.0") })
	t.Run("valkey 8.1", func(t *testing.T) { estimated(t, &builds.Valkey81, "valkey 8.1") })
	t.Run("valkey 9.1", func(t *testing.T) { estimated(t, &builds.Valkey9, "valkey 9.1") })
}

func TestStallsAreWhatEveryBuildTakesSoak(t *testing.T) {
	t.Run("redis 6.0", func(t *testing.T) { stalls(t, &builds.Redis60, "redis", true) })
	t.Run("redis 8.0", func(t *testing.T) { stalls(t, &builds.Redis80, "redis", true) })
	t.Run("valkey 8.1", func(t *testing.T) { stalls(t, &builds.Valkey81, "valkey", true) })
	t.Run("valkey 9.1", func(t *testing.T) { stalls(t, &builds.Valkey9, "valkey", true) })
}
