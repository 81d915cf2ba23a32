package watchdog

// Whether the data of the local Redis may be given to clients. What Redis reads
// from its disk at a start is a snapshot, of minutes or of months ago, and looks
// like data that was in step a moment ago: slave_repl_offset comes from the file
// too. What was in step is told by this run of Redis, and what was acknowledged
// by the record of the last master in etcd.

// Position is how far a data set goes, as INFO replication has it. Histories
// are replication ids: a new one begins with every promotion, and with every
// start of a Redis whose file names none (an AOF never does). The zero Position
// is not known.
type Position struct {
	ID     string // master_replid: the history it is of
	Offset int64  // master_repl_offset: how far it goes in it
	Before string // master_replid2: the history that ID went on from; empty: none
	Until  int64  // second_repl_offset less one: how far it has that one
}

// Holds says whether data at p has all that data at q has. Of histories that
// have nothing to do with each other it does not.
func (p Position) Holds(q Position) bool {
	if q.ID == "" {
		return false
	}
	return p.ID == q.ID && p.Offset >= q.Offset || p.Before == q.ID && p.Until >= q.Offset
}

// Related says whether one of the two histories went on from the other, or they
// are the same.
func (p Position) Related(q Position) bool {
	return p.ID != "" && q.ID != "" && (p.ID == q.ID || p.Before == q.ID || p.ID == q.Before)
}

// Record is what the Redis that served last said of its data in etcd: what it
// has acknowledged is at least that. The zero Record is none.
type Record struct {
	Master Address
	RunID  string // of that Redis
	Position
	Current bool // nobody else has served since, as far as etcd knows
}

// Disk is what a node says of the data that its Redis came up with and that has
// not been in step since.
type Disk struct {
	Node Address
	Position
	Empty bool // not one key
}

// Disks is what the Disks of the other nodes come to. The zero Disks is not known.
type Disks struct {
	Of      Position // ours, to which they were compared
	Missing int      // nodes that say nothing: they may have more
	Better  Address  // one that has more than we, or that may; empty: none
}

// Compare compares what the other nodes came up with to our own. Nodes are all
// of the group, ours too or not.
func (own Disk) Compare(rec Record, nodes []Address, others []Disk) Disks {
	d := Disks{Of: own.Position}
	for _, node := range nodes {
		if node == own.Node {
			continue
		}
		said := false
		for _, o := range others {
			if o.Node != node {
				continue
			}
			said = true
			if d.Better == "" && o.before(own, rec) {
				d.Better = o.Node
			}
		}
		if !said {
			d.Missing++
		}
	}
	return d
}

// before says whether o goes before own, when nobody can have more than these.
// Where histories cannot be compared (each AOF begins one of its own) the last
// master's own comes first; of two others neither does, so each is put behind
// the other and a person decides.
func (o Disk) before(own Disk, rec Record) bool {
	switch {
	case o.Empty != own.Empty:
		return own.Empty
	case !o.Empty && own.Holds(o.Position):
		return o.Holds(own.Position) && o.Node == rec.Master && own.Node != rec.Master
	case !o.Empty && o.Holds(own.Position):
		return true
	case own.Node == rec.Master:
		return false
	case o.Node == rec.Master:
		return true
	}
	return !o.Empty
}

// Data says why the data of our Redis may be given to clients, or why not.
type Data uint8

const (
	DataUnknown    Data = iota // not told by Redis, or etcd has not been heard
	DataBehind                 // it came from disk, and the last master had more
	DataUnrelated              // it is of a history that has nothing to do with the last master's
	DataInStep                 // it has been in step, or has served, since Redis started
	DataWhole                  // it came from disk, and holds all that the record says
	DataOwn                    // it came from the last master's own disk, which names no history
	DataBest                   // it came from disk, and so did all others: none has more
	DataUnrecorded             // there is nothing it could be behind: no record, or never another Redis
	DataAccepted               // an operator accepts what is lost
)

func (d Data) String() string {
	return [...]string{"unknown", "behind", "unrelated", "in_step", "whole", "own", "best", "unrecorded", "accepted"}[d]
}

// Good says whether clients may be given it.
func (d Data) Good() bool { return d >= DataInStep }

// FromDisk says whether it came from disk, as far as that matters: there is
// something that it could be behind.
func (d Data) FromDisk() bool {
	return d != DataUnknown && d != DataInStep && d != DataUnrecorded
}

// Rests says whether a claim for it rests on the record that it was compared with.
func (d Data) Rests() bool { return d == DataWhole || d == DataBest }

// Data is what is known of our Redis' data.
func (s State) Data() Data {
	r, m, c := s.Redis, s.Memory, s.Coordinator
	switch {
	case m.Granted != "" && m.Granted == r.RunID, m.InStep != "" && m.InStep == r.RunID:
		return DataInStep
	case c.RoundAt == 0 && r.Role == Replica && r.InStep:
		return DataInStep // as far as anybody can tell; nobody is granted without etcd
	case c.RoundAt == 0:
		return DataUnknown
	case c.Record.ID == "" || c.Record.Offset == 0 || !m.Peers && s.Sentinels.Listed == 0:
		return DataUnrecorded
	case c.Orders.Unfence:
		return DataAccepted
	case r.Role == Master && m.Promoted != r.RunID && c.Record.Master == m.Self:
		return DataOwn // it came up as the master that it was: the others have copied from it by now
	case r.Position.ID == "":
		return DataUnknown
	case r.Position.Holds(c.Record.Position):
		return DataWhole
	case c.Record.Master == m.Self && !r.Empty && !r.Position.Related(c.Record.Position):
		return DataOwn
	case c.Disks.Of.ID == r.Position.ID && c.Disks.Missing == 0 && c.Disks.Better == "":
		return DataBest
	case !r.Empty && !r.Position.Related(c.Record.Position):
		return DataUnrelated
	}
	return DataBehind
}

// inStep keeps whether this run of Redis has been in step with a master of the
// record's history, or has served. A full sync puts other data in its place: then
// it is asked anew.
//
// Every promotion begins a history, and Redis tells only the one that its own
// went on from. A master that was promoted and died before it was opened leaves
// no record: who was promoted next is two histories on from the record's. So what
// it was held against is kept: while the record is still of that history, and our
// own went on step by step, the data is what it was.
func (s State) inStep() State {
	m, r, rec := &s.Memory, s.Redis, s.Coordinator.Record
	p := r.Position
	if r.RunID == "" || p.ID == "" {
		return s
	}
	if m.InStep == r.RunID && m.History != p.ID {
		if m.History == p.Before {
			m.History = p.ID // promoted, or went on with the one that was
		} else {
			m.InStep, m.History, m.Root = "", "", ""
		}
	}
	heard := s.Coordinator.RoundAt != 0
	theirs := rec.ID == "" || !rec.Current || p.Related(rec.Position)
	switch {
	case m.InStep == r.RunID && heard && p.Related(rec.Position):
		m.Root = rec.ID
	case m.InStep == r.RunID && heard && rec.Current && m.Root != rec.ID:
		m.InStep, m.History, m.Root = "", "", ""
	case m.InStep != r.RunID && r.Role == Replica && r.InStep && heard && theirs:
		m.InStep, m.History, m.Root = r.RunID, p.ID, rec.ID
	}
	return s
}
