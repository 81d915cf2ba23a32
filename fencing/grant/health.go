package grant

// What the members of etcd say of themselves, and whether we could write: a
// group that is calm writes nothing, and would learn at the failover that it
// cannot.

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// The alarms of etcd, as they are raised (rpc.proto, AlarmType).
const (
	alarmNoSpace = "NOSPACE"
	alarmCorrupt = "CORRUPT"
)

// health is what one member said of itself.
type health struct {
	id      uint64 // zero: it was never asked, or did not say
	version string // of its etcd
	size    int64  // of its database file, bytes, what is free in it counted
	inUse   int64  // of that, bytes
	quota   int64  // bytes; zero: not told (before 3.6)
	learner bool   // it has no vote, and answers no request
	alarms  []string
}

// alarmPattern finds the kind in an alarm as a status names it
// ("memberID:… alarm:NOSPACE"; etcdserverpb.AlarmMember.String).
var alarmPattern = regexp.MustCompile(`\balarm:([A-Z_]+)`)

func healthOf(r *pb.StatusResponse) health {
	h := health{version: r.Version, size: r.DbSize, inUse: r.DbSizeInUse, quota: r.DbSizeQuota, learner: r.IsLearner}
	if r.Header != nil {
		h.id = r.Header.MemberId
	}
	for _, text := range r.Errors {
		if m := alarmPattern.FindStringSubmatch(text); m != nil && !slices.Contains(h.alarms, m[1]) {
			h.alarms = append(h.alarms, m[1])
		}
	}
	return h
}

// checkMembers asks every member for its status.
func (s *Store) checkMembers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	var all sync.WaitGroup
	for _, m := range s.members {
		all.Go(func() {
			var state health
			err := m.ask(ctx, func(ctx context.Context) error {
				resp, err := m.maintenance.Status(ctx, &pb.StatusRequest{})
				if err == nil {
					state = healthOf(resp)
				}
				return err
			})
			m.mu.Lock()
			defer m.mu.Unlock()
			m.failing = err
			if err == nil {
				m.state = state
			}
		})
	}
	all.Wait()
}

// alarmed is whether any member says that the alarm is raised. It is the
// cluster's: every member knows of it.
func (s *Store) alarmed(alarm string) bool {
	for _, m := range s.members {
		m.mu.Lock()
		raised := m.failing == nil && slices.Contains(m.state.alarms, alarm)
		m.mu.Unlock()
		if raised {
			return true
		}
	}
	return false
}

// writable is whether etcd would take what we write, as it was last found out.
type writable struct {
	mu  sync.Mutex
	err error // why not; nil: it would, or that is not known
}

// note takes the outcome of an attempt. What says nothing about writing, as an
// etcd that does not answer, leaves it as it was.
func (w *writable) note(err error) {
	if err != nil && !refusesWrites(err) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

func (w *writable) problem() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// refusesWrites is an answer by which etcd, or the right of our user, says that
// nothing is written.
func refusesWrites(err error) bool {
	return errors.Is(err, rpctypes.ErrNoSpace) || errors.Is(err, rpctypes.ErrCorrupt) || errors.Is(err, rpctypes.ErrPermissionDenied)
}

// TryToWrite is nil where etcd would take what we write now. Nothing is written:
// it is a transaction whose put stands in the branch that is never taken. etcd
// judges both branches by alarm, quota and rights (apply/capped.go,
// v3rpc/quota.go, apply/auth.go in server v3), and makes no revision of it. The
// answer has gone through consensus.
func (s *Store) TryToWrite(ctx context.Context) error {
	key := keysOf(s.prefix, "").confirm
	_, err := s.transact(ctx, "try to write", statusTimeout,
		[]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(key), ">", 0)},
		[]clientv3.Op{clientv3.OpPut(key, "")}, []clientv3.Op{clientv3.OpDelete(key)})
	s.writable.note(err)
	return err
}
