package daemon

// The other side of every judgement of a replica: what its master's watchdog
// says of the master.

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

const (
	// confirmTimeout is how long a new reason for a veto waits for the master's
	// word on it. The veto is late by no more than that.
	confirmTimeout = 2 * time.Second
	confirmLook    = 50 * time.Millisecond
	// confirmBurst is how many reports may be asked for at once; each is worth
	// reportEvery. A set-up that is changed step by step, as one does, brings a
	// new reason with every step.
	confirmBurst = 6
	// confirmation begins the request for a report that confirms a veto, so
	// that it is told from a preflight's.
	confirmation = "veto-"
)

// facing is what was made of the master's report.
type facing struct {
	judged    time.Time        // the report's own time; only compared with itself
	looked    watchdog.Instant // for a newer one
	confirmed watchdog.Instant // the reports asked for are worth the time up to here
}

// judge is the node's own checks of a replica against its master's newest
// report. That may be a minute behind: what was set on every node at once, as one
// does, looks like a difference until the master's watchdog has seen it too, and
// a master that dies meanwhile says no more. So a reason that is new is only
// taken up on a report that is younger than it, where the master's watchdog
// gives one in time.
func (s *reporter) judge(ctx context.Context, st agent.Status, own preflight.Node) (preflight.Node, []preflight.Finding) {
	policy := s.newestRules().policy
	master := s.withUsers(ctx, st, s.master(ctx, st.Master))
	findings := preflight.Own(policy, s.x.group, master, own)
	if known := s.x.vetoedFor(); slices.ContainsFunc(preflight.Vetoes(findings), func(id string) bool { return !slices.Contains(known, id) }) {
		if fresh, ok := s.fresh(ctx, st.Master); ok {
			master = s.withUsers(ctx, st, fresh)
			findings = preflight.Own(policy, s.x.group, master, own)
		}
	}
	s.facing.judged, s.facing.looked = master.At, agent.Boottime()
	return master, findings
}

// mayConfirm spends one of the reports that may be asked for. In the long run
// there is one a minute: each time every node of the group is read.
func (f *facing) mayConfirm(now watchdog.Instant) bool {
	next := f.confirmed.Max(now).Add(reportEvery)
	if next.Sub(now) > confirmBurst*reportEvery {
		return false
	}
	f.confirmed = next
	return true
}

// fresh asks for a report of the master that is as young as the asking.
func (s *reporter) fresh(ctx context.Context, address string) (preflight.Node, bool) {
	if !s.facing.mayConfirm(agent.Boottime()) {
		return preflight.Node{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	id := confirmation + rand.Text()
	s.mu.Lock()
	s.since = requests{own: id}
	s.mu.Unlock()
	if err := s.x.store.Ask(ctx, s.x.group, id); err != nil {
		s.x.log.Debug("master's report not asked for", "error", err)
		return preflight.Node{}, false
	}
	look := time.NewTicker(confirmLook)
	defer look.Stop()
	for {
		if master := s.master(ctx, address); s.asYoung(master.Answers) {
			return master, true
		}
		select {
		case <-ctx.Done():
			s.x.log.Debug("master's watchdog gave no report in time", "master", address)
			return preflight.Node{}, false
		case <-look.C:
		}
	}
}

// requests are our own newest one for a report and those that were made after
// it: an answer to one of them is as young. All replicas of a group ask at about
// the same time, and a report names one request only.
type requests struct {
	own   string
	later []string // from own on, in the order of etcd; empty: own was not heard yet
}

// requestsKept is more than the replicas of any group.
const requestsKept = 64

func (r *requests) heard(id string) {
	if id == r.own || len(r.later) > 0 && len(r.later) < requestsKept {
		r.later = append(r.later, id)
	}
}

// asYoung is whether a report that answers this request is as young as our own.
func (s *reporter) asYoung(answers string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return answers != "" && (answers == s.since.own || slices.Contains(s.since.later, answers))
}

// confirms is whether a request is for that and no preflight's.
func confirms(request string) bool { return strings.HasPrefix(request, confirmation) }

// masterChanged is whether the master has another report than the one a
// standing veto was judged by: what the veto rests on may be gone.
func (s *reporter) masterChanged(ctx context.Context, st agent.Status) bool {
	if len(s.x.vetoedFor()) == 0 || st.Role != watchdog.Replica.String() || st.Master == "" {
		return false
	}
	if now := agent.Boottime(); now.Sub(s.facing.looked) >= reportApart {
		s.facing.looked = now
		at := s.master(ctx, st.Master).At
		return !at.IsZero() && !at.Equal(s.facing.judged)
	}
	return false
}

var errNoReport = errors.New("there is none")

// master is the report of the master that stands: as it is, but for numbers that
// have changed by less than they mean (see preflight.Lasting).
func (s *reporter) master(ctx context.Context, address string) preflight.Node {
	n := preflight.Node{Address: address}
	ctx, cancel := context.WithTimeout(ctx, masterTimeout)
	defer cancel()
	report, err := s.x.store.Report(ctx, s.x.group, watchdog.Address(address))
	if err == nil && report == nil {
		err = errNoReport
	}
	if err == nil {
		err = json.Unmarshal(report, &n)
		n.Address = address
	}
	if err != nil {
		n.Gaps = append(n.Gaps, preflight.Gap{What: "report", Why: "the report of the master's watchdog: " + err.Error()})
	}
	return n
}
