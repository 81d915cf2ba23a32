package watchdog

import (
	"testing"
)

func at(id string, offset int64) Position { return Position{ID: id, Offset: offset} }

// on is a history that went on from another at an offset.
func on(id string, offset int64, before string, until int64) Position {
	return Position{ID: id, Offset: offset, Before: before, Until: until}
}

func TestPositionHolds(t *testing.T) {
	for _, tt := range []struct {
		name           string
		p, q           Position
		holds, related bool
	}{
		{"the same", at("h1", 100), at("h1", 100), true, true},
		{"further", at("h1", 101), at("h1", 100), true, true},
		{"less far", at("h1", 99), at("h1", 100), false, true},
		{"went on from it there", on("h2", 150, "h1", 100), at("h1", 100), true, true},
		{"went on from it before", on("h2", 150, "h1", 99), at("h1", 100), false, true},
		{"the one it went on from", at("h1", 500), on("h2", 150, "h1", 100), false, true},
		{"another's", at("h9", 500), at("h1", 100), false, false},
		{"two that went on from one", on("h2", 150, "h1", 100), on("h3", 150, "h1", 100), false, false},
		{"none known", Position{}, at("h1", 1), false, false},
		{"than none known", at("h1", 1), Position{}, false, false},
		{"none of either", Position{}, Position{}, false, false},
	} {
		if got := tt.p.Holds(tt.q); got != tt.holds {
			t.Errorf("%s: holds %v, want %v", tt.name, got, tt.holds)
		}
		if got := tt.p.Related(tt.q); got != tt.related || tt.q.Related(tt.p) != got {
			t.Errorf("%s: related %v, want %v, from both sides", tt.name, got, tt.related)
		}
	}
}

func TestDisksCompare(t *testing.T) {
	rec := Record{Master: "A", Position: at("h1", 500)}
	disk := func(node Address, p Position) Disk { return Disk{Node: node, Position: p} }
	empty := func(node Address, p Position) Disk { return Disk{Node: node, Position: p, Empty: true} }
	all := []Address{"A", "B", "C"}
	for _, tt := range []struct {
		name   string
		own    Disk
		others []Disk
		want   Disks
	}{
		{"nobody says", disk("A", at("h1", 480)), nil, Disks{Missing: 2}},
		{"the best", disk("B", at("h1", 490)), []Disk{disk("A", at("h1", 480)), disk("C", at("h1", 470))}, Disks{}},
		{"as good as another", disk("B", at("h1", 490)), []Disk{disk("A", at("h1", 480)), disk("C", at("h1", 490))}, Disks{}},
		{"the last master goes before an equal one", disk("B", at("h1", 490)), []Disk{disk("A", at("h1", 490)), disk("C", at("h1", 1))}, Disks{Better: "A"}},
		{"an equal one does not go before the last master", disk("A", at("h1", 490)), []Disk{disk("B", at("h1", 490)), disk("C", at("h1", 1))}, Disks{}},
		{"another has more", disk("A", at("h1", 480)), []Disk{disk("B", at("h1", 490)), disk("C", at("h1", 470))}, Disks{Better: "B"}},
		{"empty, and another is not", empty("A", at("h5", 0)), []Disk{disk("B", at("h1", 3)), empty("C", at("h6", 0))}, Disks{Better: "B"}},
		{"all are empty: the last master", empty("A", at("h5", 0)), []Disk{empty("B", at("h6", 0)), empty("C", at("h7", 0))}, Disks{}},
		{"all are empty: not the last master", empty("B", at("h6", 0)), []Disk{empty("A", at("h5", 0)), empty("C", at("h7", 0))}, Disks{Better: "A"}},
		{"append-only files: the last master's", disk("A", at("h5", 0)), []Disk{disk("B", at("h6", 0)), disk("C", at("h7", 0))}, Disks{}},
		{"append-only files: not a replica's", disk("B", at("h6", 0)), []Disk{disk("A", at("h5", 0)), disk("C", at("h7", 0))}, Disks{Better: "A"}},
		{"two that cannot be compared", disk("B", at("h6", 0)), []Disk{empty("A", at("h5", 0)), disk("C", at("h1", 400))}, Disks{Better: "C"}},
		{"and the other way round", disk("C", at("h1", 400)), []Disk{empty("A", at("h5", 0)), disk("B", at("h6", 0))}, Disks{Better: "B"}},
		{"a stranger's word counts for nobody", disk("A", at("h1", 480)), []Disk{disk("X", at("h1", 999)), disk("B", at("h1", 1))}, Disks{Missing: 1}},
	} {
		tt.want.Of = tt.own.Position
		if got := tt.own.Compare(rec, all, tt.others); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// Whatever nodes came up with: of all that are there, who is taken lacks nothing
// that another has and that can be compared.
func FuzzDisksCompare(f *testing.F) {
	f.Add(int64(1), int64(2), int64(3), uint8(0))
	f.Add(int64(7), int64(7), int64(0), uint8(0b100101))
	f.Fuzz(func(t *testing.T, x, y, z int64, kinds uint8) {
		nodes, all := []Address{"A", "B", "C"}, []Disk{}
		for i, offset := range []int64{x, y, z} {
			d := Disk{Node: nodes[i], Position: at("h1", offset)}
			switch kinds >> (2 * i) & 3 {
			case 1:
				d.Position = at("h"+string(nodes[i]), offset)
			case 2:
				d.Position = on("h"+string(nodes[i]), offset, "h1", offset/2)
			case 3:
				d.Position, d.Empty = at("h"+string(nodes[i]), 0), true
			}
			all = append(all, d)
		}
		rec := Record{Master: "A", Position: at("h1", 500)}
		for i, own := range all {
			others := []Disk{}
			for j, o := range all {
				if i != j {
					others = append(others, o)
				}
			}
			d := own.Compare(rec, nodes, others)
			if d.Missing != 0 {
				t.Fatalf("%+v: %d missing, all are there", own, d.Missing)
			}
			if d.Better != "" {
				continue
			}
			for _, o := range others {
				if own.Empty && !o.Empty || !o.Empty && o.Holds(own.Position) && !own.Holds(o.Position) {
					t.Errorf("%+v is taken although %+v has more", own, o)
				}
			}
		}
	})
}
