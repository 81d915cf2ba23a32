package grant

// The faults of etcd itself, as every node of this host sees them.

import (
	"errors"
	"fmt"
	"strings"

	"github.com/coreos/go-semver/semver"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/redis-watchdog/redis-watchdog/watchdog/sorted"
)

// errLearner is what a member without a vote answers to any request.
var errLearner = rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner)

// quotaNear is the share of etcd's quota from which on it is said that it will
// be full: a person has the last fifth to act in.
const quotaNear = 0.8

// quotaDefault is etcd's when it is given none, in bytes (storage/quota.go,
// DefaultQuotaBytes); before 3.6 a member does not tell its own.
const quotaDefault = 2 << 30

// clusterWide is whether a fault is said once, whoever noticed it.
func clusterWide(id string) bool {
	return id == FaultNoSpace || id == FaultCorrupt || id == FaultReadOnly
}

// Faults is what is wrong with etcd and with single members of it. What keeps
// one of them away is a warning; that all of them refuse us, or cannot be spoken
// to, is an error.
func (s *Store) Faults() []Fault {
	faults := s.writeFaults()
	members := make([]member, len(s.members)) // their faults at one instant
	refusing, learners := 0, 0
	for i, m := range s.members {
		m.mu.Lock()
		members[i] = member{endpoint: m.endpoint, user: m.user, failing: m.failing, state: m.state, noAuth: m.noAuth}
		m.mu.Unlock()
		if failing := members[i].failing; failing != nil && s.explainRequest(failing).ID != FaultUnreachable {
			refusing++
		}
		if members[i].state.learner {
			learners++
		}
	}
	for i := range members {
		m := &members[i]
		if m.failing != nil {
			f := s.explainRequest(m.failing)
			if refusing < len(members) {
				f.Severity = severityWarning
			}
			if f.ID == FaultUnreachable {
				f.ID = FaultMember
			}
			faults = append(faults, f)
		}
		faults = append(faults, s.memberFaults(m, learners == len(members))...)
	}
	sorted.By(faults, func(a, b Fault) int { return strings.Compare(a.ID, b.ID) })
	return faults
}

// memberFaults are of one member that has told its state.
func (s *Store) memberFaults(m *member, onlyLearners bool) (faults []Fault) {
	if staleReads(m.state.version) {
		faults = append(faults, Fault{ID: FaultStaleReads, Severity: severityWarning,
			Text:   fmt.Sprintf("%s runs etcd %s, whose reads can be stale after a pause (etcd issue 20418)", m.endpoint, m.state.version),
			Remedy: "upgrade etcd to 3.4.42, 3.5.28, 3.6.9 or later"})
	}
	if m.noAuth {
		faults = append(faults, Fault{ID: FaultAuthOff, Severity: severityWarning,
			Text:   fmt.Sprintf("%s has authentication off, although user %q is configured", m.endpoint, m.user),
			Remedy: "etcdctl auth enable, or remove the user from the configuration"})
	}
	if m.state.learner && m.failing == nil {
		f := Fault{ID: FaultLearner, Severity: severityWarning,
			Text: m.endpoint + " is a learner: it has no vote and answers no request, so one endpoint less can fail than it looks", Remedy: s.remedyLearner(m.state.id)}
		if onlyLearners {
			f.Severity = severityError
		}
		faults = append(faults, f)
	}
	if f, near := s.quotaFault(m); near && !s.alarmed(alarmNoSpace) {
		faults = append(faults, f)
	}
	return faults
}

// writeFaults say why etcd takes no writes, or would take none of ours.
func (s *Store) writeFaults() (faults []Fault) {
	problem := s.writable.problem()
	if errors.Is(problem, rpctypes.ErrCorrupt) || s.alarmed(alarmCorrupt) {
		faults = append(faults, s.corrupt())
	}
	if errors.Is(problem, rpctypes.ErrNoSpace) || s.alarmed(alarmNoSpace) {
		faults = append(faults, s.noSpace())
	}
	if errors.Is(problem, rpctypes.ErrPermissionDenied) {
		faults = append(faults, s.readOnly())
	}
	return faults
}

// afterFailover is what an etcd that takes no writes means.
const afterFailover = "A grant that is held is renewed, but none can be claimed: after a failover the new master stays locked"

func (s *Store) noSpace() Fault {
	return Fault{ID: FaultNoSpace, Severity: severityError,
		Text:   "the space quota of etcd is full (alarm NOSPACE" + s.sizes() + "): it takes no writes. " + afterFailover,
		Remedy: s.etcdctl() + compaction + "\netcdctl alarm disarm\n# so that it does not come back: --auto-compaction-mode=periodic --auto-compaction-retention=1h at every member (docs/etcd.md)"}
}

// compaction frees what old revisions take, and gives it back to the file, whose
// size is what counts.
const compaction = "etcdctl compact --physical $(etcdctl endpoint status -w json | grep -o '\"revision\":[0-9]*' | head -n 1 | grep -o '[0-9]*$')\n" +
	"etcdctl defrag"

func (s *Store) corrupt() Fault {
	return Fault{ID: FaultCorrupt, Severity: severityError,
		Text:   "etcd says that its members differ in what they hold (alarm CORRUPT): it answers nothing that goes through consensus. No grant is renewed: the master serves for as long as the Sentinels certify it, and no other can be opened",
		Remedy: s.etcdctl() + "etcdctl alarm list; etcdctl endpoint hashkv   # the member that differs is replaced: etcdctl member remove, its data directory away, etcdctl member add\netcdctl alarm disarm"}
}

func (s *Store) readOnly() Fault {
	return Fault{ID: FaultReadOnly, Severity: severityError,
		Text:   fmt.Sprintf("etcd lets user %q read %s, but not write there. ", s.user, s.prefix) + afterFailover,
		Remedy: s.etcdctl() + "etcdctl role grant-permission redis-watchdog readwrite --prefix=true " + s.prefix + "   # the role of that user: etcdctl user get " + s.user}
}

// quotaFault is whether a member's database is near its quota. Before 3.6 a
// member does not tell it: one larger than the default has been given another.
func (s *Store) quotaFault(m *member) (Fault, bool) {
	quota, told := m.state.quota, "its quota of "
	if quota == 0 {
		quota, told = quotaDefault, "the default quota of "
	}
	if m.failing != nil || float64(m.state.size) < quotaNear*float64(quota) || m.state.quota == 0 && m.state.size > quotaDefault {
		return Fault{}, false
	}
	return Fault{ID: FaultQuota, Severity: severityWarning,
		Text: fmt.Sprintf("the database of %s has %s of %s%s, %s of them in use: at the quota etcd takes no writes, and a failover leaves the new master locked",
			m.endpoint, mega(m.state.size), told, mega(quota), mega(m.state.inUse)),
		Remedy: s.etcdctl() + compaction + "\n# so that it does not come back: --auto-compaction-mode=periodic --auto-compaction-retention=1h at every member, or a larger --quota-backend-bytes (docs/etcd.md)"}, true
}

// sizes are of the member with the least room; empty: none has told.
func (s *Store) sizes() string {
	var fullest health
	for _, m := range s.members {
		m.mu.Lock()
		if m.failing == nil && m.state.size > fullest.size {
			fullest = m.state
		}
		m.mu.Unlock()
	}
	switch {
	case fullest.size == 0:
		return ""
	case fullest.quota == 0:
		return fmt.Sprintf("; a database of %s, %s in use", mega(fullest.size), mega(fullest.inUse))
	}
	return fmt.Sprintf("; a database of %s, quota %s, %s in use", mega(fullest.size), mega(fullest.quota), mega(fullest.inUse))
}

func mega(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }

func (s *Store) remedyLearner(id uint64) string {
	return s.etcdctl() + fmt.Sprintf("etcdctl member promote %x   # or take it out of etcd.endpoints", id)
}

// etcdctl is the line that lets the commands after it speak to our etcd.
func (s *Store) etcdctl() string {
	endpoints := make([]string, len(s.members))
	for i, m := range s.members {
		endpoints[i] = m.endpoint
	}
	line := "export ETCDCTL_ENDPOINTS=" + strings.Join(endpoints, ",")
	if s.user != "" {
		line += " ETCDCTL_USER=root   # asks for the password"
	}
	return line + "\n"
}

// staleReads is whether a version has etcd issue 20418.
func staleReads(version string) bool {
	v, err := semver.NewVersion(version)
	if err != nil {
		return false // not known
	}
	fixed := map[int64]int64{4: 42, 5: 28, 6: 9}
	patch, listed := fixed[v.Minor]
	return v.Major == 3 && (v.Minor < 4 || listed && v.Patch < patch)
}
