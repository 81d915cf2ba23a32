package grant

// What comes first. Renewals are what keeps masters open; what is for people
// waits for them. Without that the records of one slow moment (a decision a group,
// each a line, a record and a status) are what makes the next.

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const (
	// besidesAtOnce is how many requests for people's sake are under way at once,
	// of all groups of this process together.
	besidesAtOnce = 2
	// claimsAtOnce is how many grants are claimed at once. A claim is two writes;
	// those of a whole host at one instant would be what its renewals wait for.
	claimsAtOnce = 4
	// pressedFor is how long after a renewal that was slow nothing else is begun.
	pressedFor = time.Second
	// besidesPatience is how long what is for people waits for that: an etcd that
	// is slow for good is told of too.
	besidesPatience = 10 * time.Second
)

// lanes are shared by all Keepers of a Store.
type lanes struct {
	besides chan struct{} // holds besidesAtOnce
	claims  chan struct{} // holds claimsAtOnce
	pressed atomic.Int64  // instant until which renewals are known to be slow
	waiting atomic.Int64  // requests for people's sake that wait

	claiming   atomic.Int64  // claims that wait
	passedOver atomic.Uint64 // statuses and reports that a newer one took the place of
}

func newLanes() lanes {
	return lanes{besides: make(chan struct{}, besidesAtOnce), claims: make(chan struct{}, claimsAtOnce)}
}

// renewed takes note of how long a renewal took that may take a round.
func (s *Store) renewed(took, round time.Duration) {
	if took > round/2 {
		s.lanes.pressed.Store(int64(s.now().Add(pressedFor)))
	}
}

// pressedLeft is how long nothing but renewals is to be begun; zero: it may.
func (s *Store) pressedLeft() time.Duration {
	return max(0, watchdog.Instant(s.lanes.pressed.Load()).Sub(s.now()))
}

// Waiting is how many requests for people's sake wait for their turn.
func (s *Store) Waiting() int64 { return s.lanes.waiting.Load() }

// Claiming is how many grants wait for their turn to be claimed.
func (s *Store) Claiming() int64 { return s.lanes.claiming.Load() }

// PassedOver is how many statuses and reports were never written because a newer
// one took their place first, of all Keepers since the Store was opened.
func (s *Store) PassedOver() uint64 { return s.lanes.passedOver.Load() }

// beside runs what is for people, when renewals are not late and it is its turn.
func (p *publisher) beside(ctx context.Context, request func() error) error {
	s := p.store
	s.lanes.waiting.Add(1)
	turn, err := s.turn(ctx, s.lanes.besides)
	s.lanes.waiting.Add(-1)
	if err != nil {
		return err
	}
	defer turn()
	return request()
}

// claimTurn waits until few enough others claim, no longer than a request may
// take: the next round tries again.
func (k *Keeper) claimTurn(ctx context.Context, limit time.Duration) (done func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errClaimsWait)
	defer cancel()
	lane := k.store.lanes.claims
	k.store.lanes.claiming.Add(1)
	defer k.store.lanes.claiming.Add(-1)
	select {
	case lane <- struct{}{}:
		return func() { <-lane }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("claim grant: %w", context.Cause(ctx))
	}
}

var errClaimsWait = errors.New("other groups of this host are claiming theirs")

func (s *Store) turn(ctx context.Context, lane chan struct{}) (done func(), err error) {
	patience := time.NewTimer(besidesPatience)
	defer patience.Stop()
	for left, impatient := s.pressedLeft(), false; left > 0 && !impatient; left = s.pressedLeft() {
		wait := time.NewTimer(left)
		select {
		case <-ctx.Done():
		case <-wait.C:
		case <-patience.C:
			impatient = true
		}
		wait.Stop()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("wait for renewals: %w", context.Cause(ctx))
		}
	}
	select {
	case lane <- struct{}{}:
		return func() { <-lane }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a turn: %w", context.Cause(ctx))
	}
}
