package watchdog

import "slices"

// What the gate sets at Redis: four parameters, by their names since Redis 5,
// and whom a fenced Redis follows. Nothing else knows these values.
const (
	ParameterLock  = "min-replicas-to-write"
	ParameterLag   = "min-replicas-max-lag"
	ParameterVeto  = "replica-priority"
	ParameterStale = "replica-serve-stale-data"

	LockValue  = "1000000" // more replicas than anybody has: no write is accepted
	LagValue   = "10"      // where it is 0, which would void the lock; Redis' default
	VetoValue  = "0"       // Sentinel never promotes it
	StaleValue = "no"      // of the fence: nothing is answered without a master

	NowhereHost = "127.0.0.1"
	NowhereElse = "127.0.0.2" // of a fence by hand, every other time
	NowherePort = "0"
	// NowhereMaster is whom a fenced Redis follows, as replicaof in redis.conf has it.
	NowhereMaster = NowhereHost + " " + NowherePort
)

// IsNowhere says whether replicaof, as redis.conf has it, is that of a fence.
func IsNowhere(replicaof string) bool {
	return replicaof == NowhereMaster || replicaof == NowhereElse+" "+NowherePort
}

// Settings are what a fenced Redis is given, by the names of the parameters. The
// lag is not among them: it is changed only where it is 0.
func Settings() map[string]string {
	return map[string]string{ParameterLock: LockValue, ParameterVeto: VetoValue, ParameterStale: StaleValue}
}

// Parameters are the four, sorted.
func Parameters() []string {
	all := []string{ParameterLock, ParameterLag, ParameterVeto, ParameterStale}
	slices.Sort(all)
	return all
}
