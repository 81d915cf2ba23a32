package grant

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Fault is something that keeps the coordinator from doing its part, until it is
// gone. Its ID is one of the Fault names below.
type Fault = watchdog.Fault

// The IDs of faults.
const (
	FaultUnreachable = "etcd_unreachable" // no member answers in time
	FaultMember      = "etcd_member"      // one does not
	FaultAuth        = "etcd_auth"        // user, password or role refused
	FaultAuthOff     = "etcd_auth_off"    // a user is configured, authentication is off
	FaultTLS         = "etcd_tls"         // the handshake fails
	FaultCluster     = "etcd_cluster"     // another cluster than we knew
	FaultWentBack    = "etcd_went_back"   // restored or emptied
	FaultStaleReads  = "etcd_stale_reads" // a version with issue 20418
	FaultNoSpace     = "etcd_nospace"     // its quota is full: it takes no writes
	FaultQuota       = "etcd_quota"       // it soon will be
	FaultCorrupt     = "etcd_corrupt"     // its members differ in what they hold
	FaultReadOnly    = "etcd_read_only"   // our user may read, but not write
	FaultLearner     = "etcd_learner"     // an endpoint is a member without a vote
	FaultGarbage     = "etcd_garbage"     // a record that cannot be understood
	FaultStranger    = "group_stranger"   // another group of the same name
	FaultBehind      = "agreement_behind" // the record is older than what was agreed
	FaultIdentity    = "identity_save"    // what must outlive a restart cannot be saved
)

const (
	severityError   = watchdog.SeverityError
	severityWarning = watchdog.SeverityWarning
)

// faultBoard holds what the last round showed, for Faults.
type faultBoard struct {
	mu             sync.Mutex
	round, control error
	left           []error // what of the other records was left out
	data           error   // why the record of the data is not understood; nil: it is
	save           error
	fact           watchdog.Coordinator
	failed         int   // rounds of the streak that ends, or goes on, now
	revision, knew int64 // of a cluster that went back; zero: it did not
}

func (b *faultBoard) setRound(err error, fact watchdog.Coordinator) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.round, b.fact = err, fact
}

func (b *faultBoard) setControl(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.control = err
}

func (b *faultBoard) setLeft(all []error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = all
}

func (b *faultBoard) setData(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data = err
}

func (b *faultBoard) setSave(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.save = err
}

func (b *faultBoard) setWentBack(revision, knew int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.revision, b.knew = revision, knew
}

// streak counts failures in a row: how many there were before this round, and
// with it.
func (b *faultBoard) streak(failed bool) (before, now int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before = b.failed
	b.failed++
	if !failed {
		b.failed = 0
	}
	return before, b.failed
}

// Faults is what is wrong now, as this node sees it. It may be called from any
// goroutine.
func (k *Keeper) Faults() []Fault {
	b := &k.faults
	b.mu.Lock()
	round, control, data, save, fact, revision, knew := b.round, b.control, b.data, b.save, b.fact, b.revision, b.knew
	left := slices.Clone(b.left)
	b.mu.Unlock()
	var faults []Fault
	if round != nil && !errors.Is(round, errLost) {
		faults = append(faults, k.explain(round))
	}
	if knew != 0 {
		faults = append(faults, Fault{ID: FaultWentBack, Severity: severityError,
			Text:   fmt.Sprintf("etcd went back from revision %d to %d: it was restored or emptied", knew, revision),
			Remedy: "nothing to do: it is trusted again after one lease; find out who restored it"})
	}
	for _, err := range append(left, control) {
		if err != nil {
			faults = append(faults, explainGarbage(err))
		}
	}
	if data != nil {
		faults = append(faults, explainGarbage(data))
	}
	if save != nil {
		faults = append(faults, Fault{ID: FaultIdentity, Severity: severityError,
			Text:   fmt.Sprintf("what this node knows of etcd cannot be saved: %v", save),
			Remedy: "make the state directory writable"})
	}
	if fact.Membership == watchdog.Stranger {
		faults = append(faults, Fault{ID: FaultStranger, Severity: severityError,
			Text:   fmt.Sprintf("group %q in etcd belongs to other Redis: this node writes nothing, follows nobody and fences nobody", k.cfg.Group),
			Remedy: fmt.Sprintf("give each of the two groups a prefix of its own; if it is the same group after all: redis-watchdog adopt %s", k.cfg.Group)})
	}
	if fact.Behind && fact.Membership == watchdog.Member {
		faults = append(faults, Fault{ID: FaultBehind, Severity: severityWarning,
			Text:   fmt.Sprintf("the agreement in etcd (%v) is older than one this node has seen", fact.Agreement.Term),
			Remedy: "nothing to do: it is rewritten once a majority of the Sentinels names a master"})
	}
	for _, f := range k.store.Faults() {
		// What keeps this node's own round from its end is named already.
		if !slices.ContainsFunc(faults, func(g Fault) bool { return g.ID == f.ID && clusterWide(f.ID) }) {
			faults = append(faults, f)
		}
	}
	return faults
}

func (k *Keeper) explain(err error) Fault {
	if cluster := (*ClusterError)(nil); errors.As(err, &cluster) {
		return Fault{ID: FaultCluster, Severity: severityError, Text: err.Error(),
			Remedy: fmt.Sprintf("if this cluster shall be followed: redis-watchdog adopt %s --this-etcd; else correct the endpoints", k.cfg.Group)}
	}
	if garbage := (*GarbageError)(nil); errors.As(err, &garbage) {
		return explainGarbage(err)
	}
	return k.store.explainRequest(err)
}

func explainGarbage(err error) Fault {
	if part := (*GarbageError)(nil); errors.As(err, &part) && part.Part {
		return Fault{ID: FaultGarbage, Severity: severityWarning, Text: err.Error() + "; the rest of it is used",
			Remedy: "an order: give it anew, or take it back (redis-watchdog fence, release, unfence); else repair the key with etcdctl"}
	}
	return Fault{ID: FaultGarbage, Severity: severityError, Text: err.Error(), Remedy: "repair or delete the key with etcdctl; the watchdogs write it anew"}
}

func (s *Store) explainRequest(err error) Fault {
	auth, handshake := (*AuthError)(nil), (*HandshakeError)(nil)
	switch {
	case errors.Is(err, rpctypes.ErrNoSpace):
		return s.noSpace()
	case errors.Is(err, rpctypes.ErrCorrupt):
		return s.corrupt()
	case errors.Is(err, errLearner):
		return Fault{ID: FaultLearner, Severity: severityError, Text: err.Error(),
			Remedy: s.etcdctl() + "etcdctl member list   # the one that is a learner: etcdctl member promote ID, or take it out of etcd.endpoints"}
	case errors.As(err, &auth):
		return Fault{ID: FaultAuth, Severity: severityError, Text: err.Error(),
			Remedy: "check etcd.username, password_file and the role's grant on the prefix: etcdctl role get redis-watchdog"}
	case errors.As(err, &handshake), errors.As(err, new(x509.UnknownAuthorityError)), speaksOfTLS(err):
		return Fault{ID: FaultTLS, Severity: severityError, Text: err.Error(),
			Remedy: "check etcd.tls: ca, cert and key, the names in etcd's certificate (server_name), and whether the endpoint is http or https"}
	}
	return Fault{ID: FaultUnreachable, Severity: severityError, Text: err.Error(), Remedy: "check that the endpoints are right, and that etcd has a leader: etcdctl endpoint status"}
}

// speaksOfTLS finds an alert by which the server refused our certificate: it
// arrives after the handshake, and gRPC passes on its text only.
func speaksOfTLS(err error) bool { return strings.Contains(err.Error(), "remote error: tls:") }
