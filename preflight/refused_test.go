package preflight

import (
	"math/rand/v2"
	"testing"
	"time"
)

// inStep is a replica in step that has refused nothing.
func inStep() ReplicaLook {
	return ReplicaLook{RunID: "r1", Replica: true, LinkUp: true, BacklogFirst: 1, BacklogLength: 1000, BacklogSize: 1 << 20, Loaded: 5}
}

// look is inStep with an edit.
func look(edit func(*ReplicaLook)) ReplicaLook {
	l := inStep()
	edit(&l)
	return l
}

// after has a full sync begin a new backlog.
func resynced(l ReplicaLook) ReplicaLook {
	l.BacklogFirst, l.BacklogLength = l.end()+1, 0
	return l
}

func TestRefusedStandsUntilAFullSyncIsSeen(t *testing.T) {
	errors := func(n int64) ReplicaLook { return look(func(l *ReplicaLook) { l.Errors = n }) }
	for _, c := range []struct {
		name  string
		looks []ReplicaLook
		want  int64
	}{
		{"nothing", []ReplicaLook{inStep(), inStep()}, 0},
		{"one", []ReplicaLook{inStep(), errors(1)}, 1},
		{"more", []ReplicaLook{inStep(), errors(1), errors(4)}, 4},
		{"it stands", []ReplicaLook{inStep(), errors(1), errors(1), errors(1)}, 1},
		{"no reading", []ReplicaLook{inStep(), errors(1), {}}, 1},
		{"CONFIG RESETSTAT", []ReplicaLook{inStep(), errors(3), errors(0)}, 3},
		{"CONFIG RESETSTAT, and more", []ReplicaLook{inStep(), errors(3), errors(2)}, 5},
		{"another run of it", []ReplicaLook{inStep(), errors(3), look(func(l *ReplicaLook) { l.RunID = "r2" })}, 3},
		{"another run, whose backlog is new anyway", []ReplicaLook{inStep(), errors(3), resynced(look(func(l *ReplicaLook) { l.RunID = "r2" }))}, 3},
		{"refused by another run", []ReplicaLook{inStep(), look(func(l *ReplicaLook) { l.RunID, l.Errors = "r2", 2 })}, 2},
		{"the link breaks, a partial sync", []ReplicaLook{inStep(), errors(1), look(func(l *ReplicaLook) { l.LinkUp, l.Errors = false, 1 }),
			look(func(l *ReplicaLook) { l.Errors, l.BacklogLength = 1, 5000 })}, 1},
		{"so much is written that the backlog has moved on", []ReplicaLook{inStep(), errors(1),
			look(func(l *ReplicaLook) { l.Errors, l.BacklogFirst, l.BacklogLength = 1, 5<<20, 1<<20 })}, 1},
		{"the backlog is made larger, which empties it (6.0)", []ReplicaLook{inStep(), errors(1), look(func(l *ReplicaLook) {
			l.Errors, l.BacklogFirst, l.BacklogLength, l.BacklogSize = 1, 1001, 0, 2<<20
		})}, 1},

		{"a full sync is seen under way", []ReplicaLook{inStep(), errors(1), look(func(l *ReplicaLook) { l.Errors, l.LinkUp, l.Syncing = 1, false, true }), errors(1)}, 0},
		{"it is broken off, and so is the link", []ReplicaLook{inStep(), errors(1), look(func(l *ReplicaLook) { l.Errors, l.LinkUp, l.Syncing = 1, false, true }),
			look(func(l *ReplicaLook) { l.Errors, l.LinkUp = 1, false })}, 1},
		{"broken off, restarted, and what was on disk is loaded", []ReplicaLook{inStep(), errors(1),
			look(func(l *ReplicaLook) { l.Errors, l.LinkUp, l.Syncing = 1, false, true }), look(func(l *ReplicaLook) { l.RunID = "r2" })}, 1},
		{"a full sync that nobody saw", []ReplicaLook{inStep(), errors(1), resynced(errors(1))}, 0},
		{"another RDB was loaded", []ReplicaLook{inStep(), errors(1), look(func(l *ReplicaLook) { l.Errors, l.Loaded, l.BacklogFirst = 1, 6, 5<<20 })}, 0},
		{"of what was loaded nothing is told", []ReplicaLook{inStep(), errors(1), look(func(l *ReplicaLook) { l.Errors, l.Loaded = 1, -1 }), errors(1)}, 1},
		{"refused after it", []ReplicaLook{inStep(), errors(1), resynced(errors(1)), resynced(errors(2))}, 1},
		{"refused at about the same time", []ReplicaLook{inStep(), errors(1), resynced(errors(2))}, 1},
		{"promoted", []ReplicaLook{inStep(), errors(1), look(func(l *ReplicaLook) { l.Errors, l.Replica = 1, false })}, 0},
		{"promoted, and a replica again: its count goes on", []ReplicaLook{inStep(), look(func(l *ReplicaLook) { l.Errors, l.Replica = 7, false }), errors(7), errors(8)}, 1},
	} {
		var r Refused
		for _, l := range c.looks {
			r = r.Next(l, time.Unix(1e9, 0))
		}
		if r.Count != c.want || (r.Count > 0) == r.Since.IsZero() || r.Inherited {
			t.Errorf("%s: got %+v, want %d", c.name, r, c.want)
		}
	}
}

func TestWhatStoodBeforeTheFirstLookIsInherited(t *testing.T) {
	var r Refused
	if r = r.Next(look(func(l *ReplicaLook) { l.Errors = 3 }), time.Unix(1e9, 0)); r.Count != 3 || !r.Inherited {
		t.Errorf("first look: %+v", r)
	}
	if r = r.Next(look(func(l *ReplicaLook) { l.Errors = 4 }), time.Unix(1e9, 0)); r.Count != 4 || r.Inherited {
		t.Errorf("and one more: %+v", r)
	}
}

// Whatever is seen: what was refused is forgotten only when a full sync was seen
// after it, or when the data became the truth.
func TestNothingElseClearsRefused(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 3))
		r, l := Refused{}, inStep()
		r = r.Next(l, time.Unix(1e9, 0))
		began := false // a full sync, in this run
		for range 30 {
			before := r.Count
			synced := false
			switch random.IntN(9) {
			case 0:
				l.Errors += int64(random.IntN(3))
			case 1:
				l.Errors = 0
			case 2:
				l.RunID += "x"
				l.Errors, l.Syncing, began = 0, false, false
				l.BacklogFirst, l.BacklogLength = l.end()+1, 0
			case 3:
				l.LinkUp = false
			case 4: // a partial sync
				if !began {
					l.LinkUp, l.Syncing = true, false
				}
			case 5:
				l.Syncing, l.LinkUp, began = true, false, true
			case 6: // a full one
				synced, began = true, false
				l.Syncing, l.LinkUp = false, true
				l.BacklogFirst, l.BacklogLength = l.end()+1, 0
			case 7: // much is written
				l.BacklogFirst, l.BacklogLength = l.end()+int64(random.IntN(5<<20)), l.BacklogSize
			case 8:
				if l.LinkUp {
					l.BacklogLength += int64(random.IntN(2000))
				}
			}
			if r = r.Next(l, time.Unix(1e9, 0)); r.Count < before && !synced {
				t.Fatalf("seed %d: %d became %d at %+v", seed, before, r.Count, l)
			}
		}
	}
}
