package grant

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Config says where etcd is.
type Config struct {
	Endpoints []string // "host:port", "http://…" or "https://…", at least one
	Prefix    string   // of every key, ending in a slash; empty: DefaultPrefix
	Username  string   // empty: no authentication, or by client certificate
	Password  string
	TLS       *tls.Config // nil: TLS only to https:// endpoints, with the system's roots

	// DialContext replaces the plain dialer: for labs. Nil: net.Dialer's.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)

	Now func() watchdog.Instant // CLOCK_BOOTTIME; required
	Log hclog.Logger            // nil: none
}

// A Store is the process' connection to the coordinator; Keepers and the
// command line share it. Opening one needs no etcd to be there.
type Store struct {
	prefix  string
	user    string // empty: none
	now     func() watchdog.Instant
	log     hclog.Logger
	members []*member

	writable  writable
	lanes     lanes
	together  together
	leases    leases
	preferred atomic.Int32 // index of the member that answered last
	requests  sync.WaitGroup
}

// statusEvery is how often every member is asked for its version and health, and
// whether we may write: for faults, and so that no member forgets our token.
const (
	statusEvery   = 10 * time.Second
	statusTimeout = 3 * time.Second
)

// Open checks the configuration, all of it, and dials nobody.
func Open(cfg Config) (*Store, error) {
	var problems []error
	if len(cfg.Endpoints) == 0 {
		problems = append(problems, errors.New("no endpoints"))
	}
	if cfg.Now == nil {
		problems = append(problems, errors.New("no clock"))
	}
	if cfg.Prefix == "" {
		cfg.Prefix = DefaultPrefix
	}
	if !strings.HasSuffix(cfg.Prefix, "/") {
		problems = append(problems, fmt.Errorf("prefix %q must end in a slash", cfg.Prefix))
	}
	if cfg.Password != "" && cfg.Username == "" {
		problems = append(problems, errors.New("a password without a username"))
	}
	if cfg.Log == nil {
		cfg.Log = hclog.NewNullLogger()
	}
	s := &Store{prefix: cfg.Prefix, user: cfg.Username, now: cfg.Now, log: cfg.Log, lanes: newLanes(), leases: newLeases()}
	for _, endpoint := range cfg.Endpoints {
		m, err := newMember(endpoint, cfg)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		s.members = append(s.members, m)
	}
	if err := errors.Join(problems...); err != nil {
		_ = s.Close() // nothing was asked of it
		return nil, fmt.Errorf("open etcd: %w", err)
	}
	return s, nil
}

// Run looks after the members until ctx ends. Keepers work without it, but
// Faults then knows less.
func (s *Store) Run(ctx context.Context) error {
	ticker := time.NewTicker(statusEvery)
	defer ticker.Stop()
	for {
		s.checkMembers(ctx)
		_ = s.TryToWrite(ctx) // noted, for Faults
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

// Close ends all connections, after the requests under way.
func (s *Store) Close() error {
	var problems []error
	for _, m := range s.members {
		if err := m.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
			problems = append(problems, fmt.Errorf("close %s: %w", m.endpoint, err))
		}
	}
	s.requests.Wait()
	return errors.Join(problems...)
}

// hedgeAfter is how long a member is waited for alone.
func hedgeAfter(limit time.Duration, members int) time.Duration {
	return min(limit, hedgeLimit) / time.Duration(members+2)
}

// hedgeLimit is the limit from which on a hedge does not come later.
const hedgeLimit = time.Second

// answersSince is whether a member has answered anybody of this process since.
// Such a one is slow, not gone: to ask the others as well would make three
// requests of each when etcd can do with them least, and it would stay slow.
func (s *Store) answersSince(member int, since watchdog.Instant) bool {
	return watchdog.Instant(s.members[member].answered.Load()) > since
}

// ask puts a request to the member that answered last, and, a hedge later when
// that has answered nobody meanwhile, or as soon as it fails, to the next one,
// until one answers or limit is over.
// A request must bear being carried out twice, and later than it was waited
// for: reads, keep-alives, and compare-and-swaps whose own result is no
// surprise to them.
func ask[T any](ctx context.Context, s *Store, step string, limit time.Duration, request func(context.Context, *member) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	type answer struct {
		from  int
		value T
		err   error
	}
	answers := make(chan answer, len(s.members))
	first := int(s.preferred.Load())
	asked, failed := 0, 0
	next := func() {
		from := (first + asked) % len(s.members)
		asked++
		s.requests.Go(func() {
			a := answer{from: from}
			a.err = s.members[from].ask(ctx, func(ctx context.Context) (err error) {
				a.value, err = request(ctx, s.members[from])
				return err
			})
			if a.err == nil {
				s.members[from].answered.Store(int64(s.now()))
			}
			answers <- a
		})
	}
	next()
	began := s.now()
	hedge := time.NewTicker(hedgeAfter(limit, len(s.members)))
	defer hedge.Stop()
	var zero T
	var problems []error
	for {
		select {
		case a := <-answers:
			if a.err == nil {
				s.preferred.Store(int32(a.from))
				return a.value, nil
			}
			problems = append(problems, a.err)
			failed++
			// Out of time, nobody else is asked: he could not answer either.
			if definite(a.err) || failed == len(s.members) || failed == asked && ctx.Err() != nil {
				return zero, fmt.Errorf("%s: %w", step, failures(problems))
			}
			if asked < len(s.members) && ctx.Err() == nil {
				next()
			}
		case <-hedge.C:
			if asked < len(s.members) && !s.answersSince((first+asked-1)%len(s.members), began) {
				next()
			}
		}
	}
}

// failures are what each member asked had to say, on one line.
type failures []error

func (f failures) Error() string {
	texts := make([]string, len(f))
	for i, err := range f {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (f failures) Unwrap() []error { return f }

// definite is an answer that another member would give as well.
func definite(err error) bool {
	var auth *AuthError
	return errors.Is(err, rpctypes.ErrLeaseNotFound) ||
		errors.Is(err, rpctypes.ErrLeaseExist) ||
		errors.Is(err, rpctypes.ErrCompacted) ||
		(errors.As(err, &auth) && errors.Is(err, rpctypes.ErrPermissionDenied))
}

// transact runs one transaction.
func (s *Store) transact(ctx context.Context, step string, limit time.Duration, when []clientv3.Cmp, then, otherwise []clientv3.Op) (*clientv3.TxnResponse, error) {
	return ask(ctx, s, step, limit, func(ctx context.Context, m *member) (*clientv3.TxnResponse, error) {
		return m.client.Txn(ctx).If(when...).Then(then...).Else(otherwise...).Commit()
	})
}
