package preflight

import (
	"slices"
	"testing"
)

func found(check string, o Outcome) Finding {
	return Finding{Check: check, Severity: Blocks, Outcome: o, Reason: check + " " + o.String()}
}

func TestVetoIsSetUntilItsReasonIsSeenGone(t *testing.T) {
	for _, c := range []struct {
		name string
		own  [][]Finding // report after report
		want []string
	}{
		{"nothing found", [][]Finding{nil}, nil},
		{"unknown never vetoes", [][]Finding{{found("memory", Unknown)}}, nil},
		{"a warning never vetoes", [][]Finding{{{Check: "memory", Severity: Warns, Outcome: Failed}}}, nil},
		{"failed vetoes", [][]Finding{{found("memory", Failed), found("drift", Passed)}}, []string{"memory"}},
		{"unknown keeps it", [][]Finding{{found("memory", Failed)}, {found("memory", Unknown)}}, []string{"memory"}},
		{"a report that came to nothing keeps it", [][]Finding{{found("memory", Failed)}, nil}, []string{"memory"}},
		{"passed lifts it", [][]Finding{{found("memory", Failed)}, {found("memory", Unknown)}, {found("memory", Passed)}}, nil},
		{"each by itself", [][]Finding{{found("memory", Failed), found("drift", Failed)}, {found("memory", Passed), found("drift", Unknown)}}, []string{"drift"}},
		{"a check that only warns by now lifts it", [][]Finding{{found("drift", Failed)}, {{Check: "drift", Severity: Warns, Outcome: Failed}}}, nil},
		{"and though it is unknown", [][]Finding{{found("drift", Failed)}, {{Check: "drift", Severity: Warns, Outcome: Unknown}}}, nil},
		{"a check that is no more lifts it", [][]Finding{{found("gone", Failed)}, {found("memory", Passed)}}, nil},
		{"another reason", [][]Finding{{found("memory", Failed)}, {found("memory", Passed), found("drift", Failed)}}, []string{"drift"}},
	} {
		var v Veto
		for _, own := range c.own {
			v = v.Next(own)
		}
		if got := v.Checks(); !slices.Equal(got, c.want) || v.IsSet() != (len(c.want) > 0) {
			t.Errorf("%s: got %v (stands: %v), want %v", c.name, got, v.IsSet(), c.want)
		}
	}
}

func TestLastLeavesOneOfTheVetoedAndTheSameForEverybody(t *testing.T) {
	for _, c := range []struct {
		name    string
		reasons map[string][]string
		want    string
	}{
		{"one is fine", map[string][]string{"a": {"memory"}, "b": {}}, ""},
		{"the fewest reasons", map[string][]string{"a": {"memory", "drift"}, "b": {"memory"}}, "b"},
		{"the lowest address", map[string][]string{"b": {"memory"}, "a": {"drift"}}, "a"},
		{"alone", map[string][]string{"a": {"memory"}}, "a"},
		{"nobody", nil, ""},
	} {
		for _, own := range []string{"a", "b", ""} {
			if got, want := Last(own, c.reasons), own != "" && own == c.want; got != want {
				t.Errorf("%s: Last(%q) is %v, want %v", c.name, own, got, want)
			}
		}
	}
}
