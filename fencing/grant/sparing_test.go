package grant

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// FuzzRecordEntries spoils one field of a record. What a decision rests on is
// read as it stands or not at all, whatever became of the fields for people; and
// what is left out is named.
func FuzzRecordEntries(f *testing.F) {
	for field := range uint8(12) {
		for _, value := range []string{`5`, `"x"`, `null`, `[]`, `[1,"a"]`, `{}`, `true`, `-1`, `"2026-01-01"`} {
			f.Add(field, []byte(value))
		}
	}
	f.Fuzz(func(t *testing.T, field uint8, value []byte) {
		if !json.Valid(value) {
			return
		}
		master := MasterRecord{Generation: 2, Epoch: 7, Address: addressA, RunID: "r", Sentinels: []string{"s1"}, Known: 3, Votes: 3,
			DecidedBy: "n", DecidedAt: time.Unix(1, 0).UTC(), DecidedCause: "failover"}
		spoil(t, master, field, value, validMaster, func(name string, got MasterRecord) bool {
			return name == "generation" || name == "epoch" || name == "address" || name == "known" ||
				got.Agreement() == master.Agreement() && got.Known == 3
		})
		holding := Holding{Holder: addressA, HolderID: "id", Node: "n", RunID: "r", BootID: "b", ClaimedAt: time.Unix(1, 0).UTC()}
		spoil(t, holding, field, value, validHolding, func(name string, got Holding) bool {
			return name == "holder" || name == "holder_id" || got.Holder == addressA && got.HolderID == "id"
		})
		order := PlannedFailoverRecord{Order: Order{By: "me", At: time.Unix(1, 0).UTC(), Reason: "why"}, ID: "i", From: addressA, To: addressB, Stop: true}
		spoil(t, order, field, value, nil, func(name string, got PlannedFailoverRecord) bool {
			return slices.Contains([]string{"id", "from", "to", "stop", "forced", "force"}, name) ||
				got.ID == "i" && got.From == addressA && got.To == addressB && got.Stop && !got.Force
		})
	})
}

// spoil puts the value into one field and has same look at what was read.
func spoil[T any](t *testing.T, v T, field uint8, value []byte, valid func(T) bool, same func(name string, got T) bool) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	names := slices.Sorted(maps.Keys(fields))
	name := names[int(field)%len(names)]
	fields[name] = value
	if text, err = json.Marshal(fields); err != nil {
		t.Fatal(err)
	}
	got, left, err := decodePart("k", text, valid)
	people := any(v).(sparing).forPeople()
	switch {
	case err != nil && slices.Contains(people, name):
		t.Fatalf("%s, which is for people, makes a record garbage: %v", name, err)
	case err == nil && !same(name, got):
		t.Fatalf("%s of %s changed what is decided on: %+v", name, text, got)
	case left != nil && !strings.Contains(left.Problem, name):
		t.Fatalf("%s was left out, and it says %q", name, left.Problem)
	}
}

// An order that cannot be read is left as it was when it could, is no other
// node's affair, and stays in the record until it is given anew.
func TestAnOrderThatCannotBeReadIsLeftOut(t *testing.T) {
	text := `{"fenced":{"a":{"by":"me","at":"yesterday"},"b":true,"c":{}},"released":{"b":[1]},"adopt":5,"newer":1}`
	c, left, err := decodePart[Control]("control", []byte(text), nil)
	if err != nil || left == nil || !left.Part {
		t.Fatalf("%v, %v", left, err)
	}
	for _, part := range []string{`fence "b"`, `release "b"`, "adopt"} {
		if !strings.Contains(left.Problem, part) {
			t.Errorf("%q does not name %s", left.Problem, part)
		}
	}
	if len(c.Fenced) != 2 || c.Fenced["a"].By != "me" || c.Released != nil {
		t.Errorf("read %+v", c)
	}
	c.carry(Control{Fenced: map[watchdog.Address]Order{"b": {By: "before"}}})
	if c.Fenced["b"].By != "before" || len(c.Released) != 0 {
		t.Errorf("after the orders of before: %+v", c)
	}

	c, _, _ = decodePart[Control]("control", []byte(text), nil)
	c.Fenced = with(c.Fenced, "d", Order{By: "you"})
	back, err := encode([]byte(text), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"b":true`, `"b":[1]`, `"adopt":5`, `"newer":1`, `"d":{"by":"you"`} {
		if !strings.Contains(back, part) {
			t.Errorf("%s lost %s", back, part)
		}
	}
}

func TestANodeThatCannotBeReadIsLeftOut(t *testing.T) {
	g, left, err := decodePart("group", []byte(`{"id":"x","nodes":["a",5,"","b"]}`), validGroup)
	if err != nil || !slices.Equal(g.Nodes, []watchdog.Address{"a", "b"}) || left == nil {
		t.Errorf("got %+v, %v, %v", g, left, err)
	}
	g, left, err = decodePart("group", []byte(`{"id":"x","nodes":{}}`), validGroup)
	if err != nil || g.ID != "x" || g.Nodes != nil || left == nil {
		t.Errorf("got %+v, %v, %v", g, left, err)
	}
}
