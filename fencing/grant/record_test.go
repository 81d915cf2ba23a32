package grant

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/authpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const readWrite = clientv3.PermissionType(authpb.READWRITE)

func prefixEnd(prefix string) string { return clientv3.GetPrefixRangeEnd(prefix) }

func TestPredecessorIsWhomTheNextHolderWaitsFor(t *testing.T) {
	none := LastHolding{}
	a := none.next(addressA, "a")
	lapsed := func(l LastHolding) LastHolding { return l }
	opened := func(l LastHolding) LastHolding { l.Opened = true; return l }
	givenUp := func(l LastHolding) LastHolding { l.GivenUp = true; return l }
	for _, test := range []struct {
		name string
		got  LastHolding
		want Predecessor
	}{
		{"nobody before", a, Predecessor{}},
		{"lapsed", lapsed(opened(a)).next(addressB, "b"), Predecessor{addressA, false}},
		{"given up", givenUp(opened(a)).next(addressB, "b"), Predecessor{addressA, true}},
		{"again itself", opened(a).next(addressA, "a"), Predecessor{}},
		{"b never opened, claims again", opened(a).next(addressB, "b").next(addressB, "b"), Predecessor{addressA, false}},
		{"b never opened and gave up: a counts", givenUp(opened(a).next(addressB, "b")).next(addressC, "c"), Predecessor{addressA, false}},
		{"b opened and gave up", givenUp(opened(opened(a).next(addressB, "b"))).next(addressC, "c"), Predecessor{addressB, true}},
		{"b never opened and lapsed", opened(a).next(addressB, "b").next(addressC, "c"), Predecessor{addressB, false}},
	} {
		if test.got.Before != test.want {
			t.Errorf("%s: got %+v, want %+v", test.name, test.got.Before, test.want)
		}
		if test.got.GivenUp {
			t.Errorf("%s: a new claim is said to be given up", test.name)
		}
	}
}

func TestStaleReadsAreThoseOfIssue20418(t *testing.T) {
	for version, want := range map[string]bool{
		"3.4.23": true, "3.4.41": true, "3.4.42": false, "3.5.0": true, "3.5.16": true, "3.5.27": true, "3.5.28": false,
		"3.6.0": true, "3.6.8": true, "3.6.9": false, "3.7.3": false, "3.3.10": true, "": false, "garbage": false, "4.4.0": false,
	} {
		if got := staleReads(version); got != want {
			t.Errorf("staleReads(%q) is %v, want %v", version, got, want)
		}
	}
}

func TestOpenReportsEveryProblemAtOnce(t *testing.T) {
	_, err := Open(Config{Endpoints: []string{"ftp://x"}, Prefix: "/x", Password: "p"})
	if err == nil {
		t.Fatal("opened")
	}
	for _, part := range []string{"ftp", "clock", "slash", "password without a username"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
}

// FuzzRecords wants no panic, no record that names nobody, and what was not
// understood kept over a change.
func FuzzRecords(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `[]`, `{"address":"a","generation":1}`, `{"generation":-1}`, `{"holder":"a","holder_id":"b"}`,
		`{"id":"x","nodes":null}`, `{"fenced":{"a":{"by":"b"}}}`, `{"address":"a","newer":{"x":[1,2]}}`, "{\"address\":\"\xff\"}", ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if g, err := decode("k", data, validGroup); err == nil && g.ID == "" {
			t.Error("a group without an id")
		}
		if h, err := decode("k", data, validHolding); err == nil && (h.Holder == "" || h.HolderID == "") {
			t.Error("a grant that nobody holds")
		}
		_, _ = decode[LastHolding]("k", data, nil)
		_, _ = decode[Control]("k", data, nil)
		m, err := decode("k", data, validMaster)
		if err == nil && m.Agreement().Master == "" {
			t.Error("an agreement on nobody")
		}
		after := MasterRecord{Generation: 7, Epoch: 8, Address: addressA, DecidedAt: time.Unix(1, 0).UTC()}
		text, err := encode(data, after)
		if err != nil {
			t.Fatalf("encode over %q: %v", data, err)
		}
		back, err := decode("k", []byte(text), validMaster)
		if err != nil || back.Agreement() != after.Agreement() {
			t.Fatalf("over %q: wrote %s, read %+v, %v", data, text, back, err)
		}
		var before, now map[string]json.RawMessage
		if json.Unmarshal(data, &before) == nil && json.Unmarshal([]byte(text), &now) == nil {
			for name := range before {
				if _, kept := now[name]; !kept {
					t.Errorf("field %q of %q was lost in %s", name, data, text)
				}
			}
		}
	})
}

func TestUnknownOrdersAreKept(t *testing.T) {
	text, err := encode([]byte(`{"fenced":{"a":{}},"newer":1}`), Control{Fenced: map[watchdog.Address]Order{}})
	if err != nil || !strings.Contains(text, `"newer":1`) || strings.Contains(text, `"a"`) {
		t.Errorf("encode: %s, %v", text, err)
	}
}
