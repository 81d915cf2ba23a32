package preflight

import "slices"

// Check is what a person is told about one check. Its id, its weight and whom it is
// asked of are a row of the table of its area, beside the judges; its title and its
// story are in stories/AREA.md (see Catalogue).
type Check struct {
	ID       string   `json:"id"`       // stable, snake_case
	Area     string   `json:"area"`     // one of Areas
	Severity Severity `json:"severity"` // of the group, the master and the candidate
	// Elsewhere is its severity on a replica that is neither master nor
	// candidate; empty: it is not judged there.
	Elsewhere Severity `json:"elsewhere,omitempty"`
	Title     string   `json:"title"`
	Veto      bool     `json:"veto"` // failed, it keeps a replica vetoed
	Story     Story    `json:"story"`
}

// Story is why a check exists.
type Story struct {
	Why       string `json:"why"`       // what it looks at, and why
	Otherwise string `json:"otherwise"` // what happens without it
	Fix       string `json:"fix"`
	Silence   string `json:"silence,omitempty"` // how to live with it, where that is sensible
}

// Areas in the order they are shown in.
func Areas() []string {
	var all []string
	for _, r := range rows() {
		all = append(all, r.area)
	}
	return all
}

const (
	areaMemory      = "memory"
	areaDrift       = "drift"
	areaParity      = "parity"
	areaReplication = "replication"
	areaSentinel    = "sentinel"
	areaWatchdog    = "watchdog"
	areaPersistence = "persistence"
	areaHost        = "host"
	areaKeyspace    = "keyspace"
	areaAfter       = "after" // checks after a switch
)

// where a check is asked.
type scope uint8

const (
	ofGroup     scope = 1 << iota
	ofMaster          // of the master
	ofCandidate       // of a candidate, against the master
	ofBystander       // of every other replica
	ofPair      = ofMaster | ofCandidate
	ofNodes     = ofPair | ofBystander
)

// check is one question with its answer.
type check struct {
	Check
	scope scope
	judge func(*subject) answer
}

// answer is what a check found out. The zero answer is Unknown.
type answer struct {
	outcome Outcome
	reason  string
	remedy  string
	fixes   []Fix
	// masterToo: the master fails it in the same way, so a promotion makes it
	// no worse.
	masterToo bool
	// each: the lines of the remedy are ways by themselves, or each of another
	// parameter.
	each bool
	// together: the lines of the remedy are one change of several nodes, which
	// differ for as long as only a part of it was made. It has no fixes.
	together bool
}

func passed(reason string) answer { return answer{outcome: Passed, reason: reason} }
func failed(reason, remedy string) answer {
	return answer{outcome: Failed, reason: reason, remedy: remedy}
}
func unsure(reason, remedy string) answer {
	return answer{outcome: Unknown, reason: reason, remedy: remedy}
}

// verdictOn is passed where all is well, else failed.
func verdictOn(ok bool, good, bad, remedy string) answer {
	if ok {
		return passed(good)
	}
	return failed(bad, remedy)
}

// rows are the checks of a judgement by their area, in the order they are shown in.
func rows() [9]struct {
	area   string
	checks []check
} {
	return [...]struct {
		area   string
		checks []check
	}{
		{areaMemory, memoryChecks()},
		{areaDrift, driftChecks()},
		{areaParity, parityChecks()},
		{areaReplication, replicationChecks()},
		{areaSentinel, sentinelChecks()},
		{areaWatchdog, watchdogChecks()},
		{areaPersistence, persistenceChecks()},
		{areaHost, hostChecks()},
		{areaKeyspace, keyspaceChecks()},
	}
}

// checks is every check of a judgement, in the order of the areas. It has no
// stories.
func checks() []check {
	var all []check
	for _, r := range rows() {
		for _, c := range r.checks {
			c.Area = r.area
			all = append(all, c)
		}
	}
	return all
}

// only are those of the checks that have one of these ids.
func only(all []check, ids ...string) []check {
	return slices.DeleteFunc(all, func(c check) bool { return !slices.Contains(ids, c.ID) })
}

// The checks that are named elsewhere than in their row.
const (
	idCandidate       = "candidate"
	idDriftRunning    = "drift_running"
	idKeyspaceMigrate = "keyspace_migrate"
	idLockScripts     = "lock_scripts"
)

// Catalogue is every check there is with its story, those after a switch last.
func Catalogue() []Check {
	var all []Check
	for _, c := range checks() {
		all = append(all, c.Check)
	}
	for _, c := range afterChecks() {
		c.Area = areaAfter
		all = append(all, c.Check)
	}
	told := stories()
	for i, c := range all {
		all[i].Title, all[i].Story = told[c.ID].title, told[c.ID].Story
	}
	return all
}
