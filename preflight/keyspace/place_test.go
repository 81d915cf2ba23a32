package keyspace

import "testing"

func TestPlaceIsReadAsItIsWritten(t *testing.T) {
	for _, text := range []string{"codis:0", "codis:1023", "cluster:0", "cluster:16383"} {
		if p, err := ParsePlace(text); err != nil || p.String() != text {
			t.Errorf("%s: got %v, %v", text, p, err)
		}
	}
	for _, text := range []string{"", "359", "codis", "codis:", "codis:1024", "cluster:16384", "cluster:-1", "redis:1", "codis:1:2", "codis: 1", "cluster:1-2"} {
		if p, err := ParsePlace(text); err == nil {
			t.Errorf("%q: got %v", text, p)
		}
	}
}

// The two rules differ in what an empty tag is.
func TestTagsOfTheTwoRules(t *testing.T) {
	for _, c := range []struct {
		name, cluster string
		is            bool
		codis         string
		isCodis       bool
	}{
		{"a", "", false, "", false},
		{"a{b}c", "b", true, "b", true},
		{"a{}c", "", false, "", true},
		{"a{b", "", false, "", false},
		{"a}b{c}", "c", true, "c", true},
		{"{{x}}", "{x", true, "{x", true},
	} {
		if tag, is := Tag(c.name, RuleCluster); tag != c.cluster || is != c.is {
			t.Errorf("%q: cluster: %q, %v", c.name, tag, is)
		}
		if tag, is := Tag(c.name, RuleCodis); tag != c.codis || is != c.isCodis {
			t.Errorf("%q: codis: %q, %v", c.name, tag, is)
		}
	}
}
