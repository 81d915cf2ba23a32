package sim

import (
	"math/rand/v2"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Config is one world. It follows from the seed.
type Config struct {
	Seed            uint64
	Hosts           int
	Redis           int
	Sentinels       int
	Quorum          int
	DownAfter       time.Duration
	OddDownAfter    time.Duration // Sentinel 0's own; zero: as the others
	FailoverTimeout time.Duration
	FirstEpoch      uint64
	Watched         []bool
	Veto            []bool
	Policy          watchdog.Policy

	Old             bool // Redis up to 6.2: REPLICAOF drops the replicas
	Persist         bool
	ReadOnlyFile    bool
	DescriptorStore bool
	LoadTime        time.Duration
	SyncTime        time.Duration
	Delay           time.Duration
	ClockError      float64
	InstallAt       time.Duration
	Walled          []bool // Sentinels that no watchdog can ask, from WalledAt on
	WalledAt        watchdog.Instant
	Mates           bool // every host has Redis of other groups, whose watchdog is the same and whose grants hang on one lease with ours

	WatchFrom  watchdog.Instant // the checkers' first moment
	ReadSlack  time.Duration
	HeldAtMost time.Duration
	StuckAfter time.Duration
	LetGo      time.Duration

	Breakage breakage
	only     string // the one fault there is; empty: any
	stalls   bool   // beside it processes stand still at every step: stalls.go
	openings bool   // a host stands still whenever its Redis is opened
}

// breakage is a part of the safety argument left out, to prove that the
// simulation notices.
type breakage struct {
	noLock     bool // replicas are not born locked
	noArm      bool // no armed fence stands
	noRow6     bool // one just promoted is fenced like any master that is not named
	noE        bool // the Sentinels' clock is not counted
	noGate     bool // Redis starts as its file says
	noPriority bool // a fence keeps its replica-priority
	noWait     bool // a lapsed grant is opened at once
	noHold     bool // an isolated master serves until it refuses
	noRow7     bool // a deposed master is left as it is
	noAck      bool // a PING counts although its answer was not acknowledged
	noLetGo    bool // a grant that is not renewed hangs on with those of its host
	openBare   bool // a fence is opened, and the next armed when it is seen to be open

	noBeneath   bool // a planned failover's hold has no lock beneath it
	noWaitEqual bool // a planned failover does not wait for the data
	noEnd       bool // an order never ends
	noStop      bool // a planned failover stops no writers
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// configFor draws the world of a seed.
func configFor(seed uint64) Config {
	r := rand.New(rand.NewPCG(seed, 0xc0f1))
	c := Config{Seed: seed}
	c.Redis = pick(r, 2, 3, 3, 3, 3, 3, 4)
	c.Sentinels = pick(r, 3, 3, 3, 3, 3, 3, 5, 5, 1)
	c.Hosts = max(c.Redis, c.Sentinels)
	c.Quorum = c.Sentinels/2 + 1
	if r.Float64() < 0.2 {
		c.Quorum = 1 + r.IntN(c.Sentinels)
	}
	c.DownAfter = pick(r, 3*sec, 3*sec, 5*sec, 5*sec, 10*sec)
	if r.Float64() < 0.1 {
		c.OddDownAfter = c.DownAfter + pick(r, sec, 5*sec)
	}
	c.FailoverTimeout = pick(r, 10*sec, 10*sec, 20*sec, 60*sec)
	c.FirstEpoch = uint64(r.IntN(3))
	c.Watched = make([]bool, c.Redis)
	c.Veto = make([]bool, c.Redis)
	for i := range c.Redis {
		c.Watched[i] = true
	}
	if r.Float64() < 0.08 && c.Redis > 2 {
		c.Watched[c.Redis-1] = false
	}
	if r.Float64() < 0.08 && c.Redis > 2 {
		c.Veto[1] = true
	}
	c.Policy = watchdog.Policy{CoordinatorLost: watchdog.CoordinatorLostServe, BornLocked: true}
	if r.Float64() < 0.1 {
		c.Policy.CoordinatorLost = watchdog.CoordinatorLostRefuse
	}
	c.Old = r.Float64() < 0.15
	c.Persist = r.Float64() < 0.85
	c.ReadOnlyFile = r.Float64() < 0.1
	c.DescriptorStore = r.Float64() < 0.85
	c.LoadTime = pick(r, 50*ms, sec, 6*sec)
	c.SyncTime = pick(r, sec, 6*sec)
	c.Delay = pick(r, 200*time.Microsecond, ms, 10*ms)
	c.ClockError = 200e-6
	c.InstallAt = 3 * sec
	c.WatchFrom = watchdog.Instant(14 * sec)
	c.HeldAtMost = min(c.DownAfter/4, 500*ms) + 350*ms
	if c.DownAfter < 5*sec {
		// For 5 s after a failover Sentinel still counts what the others told
		// it about the old master: alone it can hold the new one o_down. It is heard of when it has seen
		// the promotion.
		c.ReadSlack = 1500 * ms
	}
	if c.Quorum <= c.Sentinels/2 {
		// A minority that is cut off may hold the master down and wait for
		// votes: on the heal it promotes within three ticks, before it is
		// polled. Writes are safe, reads are late by that much.
		c.ReadSlack = 600 * ms
	}
	c.LetGo = 4 * sec
	c.StuckAfter = 3*c.FailoverTimeout + 60*sec + 2*c.DownAfter
	c.wall()
	c.Mates = rand.New(rand.NewPCG(seed, 0xbea7)).Float64() < 0.4
	return c
}
