package preflight

// What a judgement says.

// Severity is what a check that does not pass means for a failover.
type Severity string

const (
	Blocks  Severity = "blocks"  // it must not go ahead
	Warns   Severity = "warns"   // it may, and a person should know
	Informs Severity = "informs" // worth knowing
)

// Outcome of one check. The zero Outcome is Unknown: nothing forgotten passes.
type Outcome uint8

const (
	Unknown Outcome = iota // could not find out; with Blocks it blocks too
	Failed
	Passed
)

func (o Outcome) String() string {
	switch o {
	case Failed:
		return "failed"
	case Passed:
		return "passed"
	}
	return "unknown"
}

// MarshalText writes an Outcome as its word.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads what MarshalText wrote; any other word is Unknown.
func (o *Outcome) UnmarshalText(text []byte) error {
	*o = map[string]Outcome{"failed": Failed, "passed": Passed}[string(text)]
	return nil
}

// Finding is one check's answer about one node, or about the group.
type Finding struct {
	Check    string     `json:"check"` // its stable id, snake_case
	Severity Severity   `json:"severity"`
	Outcome  Outcome    `json:"outcome"`
	Node     string     `json:"node,omitempty"` // address; empty: the group
	Evidence []Evidence `json:"evidence"`
	Reason   string     `json:"reason"`           // one sentence, with the values
	Remedy   string     `json:"remedy,omitempty"` // a command that can be pasted, or what to do; empty where it passed
	Fixes    []Fix      `json:"fixes,omitempty"`  // what --fix offers
	// Lacks is the one answer that many checks need and that was not had, and of
	// which node ("CONFIG GET of 10.0.0.12:6379"); empty: it is not for that.
	Lacks string `json:"lacks,omitempty"`
	// MasterToo says that the master fails it in the same way: a promotion makes
	// it no worse, so it does not veto.
	MasterToo bool `json:"master_too,omitempty"`
}

// Evidence is one value a finding rests on, and where it was read.
type Evidence struct {
	What  string `json:"what"`  // "maxmemory"
	Value string `json:"value"` // "3221225472 (3.00 GiB)"
	From  string `json:"from"`  // "CONFIG GET on 10.0.0.12:6379", "redis.conf:14 of 10.0.0.12:6379"
}

// FixKind is a remedy that is safe and can be undone.
type FixKind string

const (
	FixSet     FixKind = "config_set"     // CONFIG SET Parameter Value on the running Redis
	FixRewrite FixKind = "config_rewrite" // CONFIG REWRITE: the running values become the file's
)

// Fix is one step --fix would take. Those of one finding are alternatives, the
// one that changes the least first.
type Fix struct {
	Kind      FixKind `json:"kind"`
	Node      string  `json:"node"`
	Parameter string  `json:"parameter,omitempty"`
	Value     string  `json:"value,omitempty"`
	Was       string  `json:"was,omitempty"` // the value before, to undo it
}

// Verdict of a report.
type Verdict string

const (
	MayGo   Verdict = "may_go"  // exit 0
	Blocked Verdict = "blocked" // exit 1
	Unsure  Verdict = "unknown" // exit 2: could not find out, which blocks too
)

// Report is the whole judgement.
type Report struct {
	Group      string      `json:"group"`
	Master     string      `json:"master"`
	Candidate  string      `json:"candidate"` // the one asked for, or the best; empty: there is none
	Why        string      `json:"why"`       // why that one
	Verdict    Verdict     `json:"verdict"`
	Findings   []Finding   `json:"findings"`   // of the group, the master and the candidate: blocking ones first
	Candidates []Candidate `json:"candidates"` // every replica that was judged, best first
}

// Candidate is one replica's standing.
type Candidate struct {
	Address  string    `json:"address"`
	Verdict  Verdict   `json:"verdict"`  // with those of the group and the master
	Blocking []string  `json:"blocking"` // ids of its own blocking checks that failed or are unknown
	Warnings int       `json:"warnings"` // of its own
	Offset   int64     `json:"offset"`   // slave_repl_offset; 0: not known
	Priority int       `json:"priority"` // replica-priority as the operator set it; 100 where not known
	Findings []Finding `json:"-"`
}
