package sorted

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestByIsSortStableFunc(t *testing.T) {
	type one struct{ by, place int }
	rapid.Check(t, func(t *rapid.T) {
		var all []one
		for i, by := range rapid.SliceOf(rapid.IntRange(0, 5)).Draw(t, "by") {
			all = append(all, one{by, i})
		}
		want := slices.Clone(all)
		order := func(a, b one) int { return cmp.Compare(a.by, b.by) }
		slices.SortStableFunc(want, order)
		By(all, order)
		if !slices.Equal(all, want) {
			t.Errorf("got %v, want %v", all, want)
		}
	})
}
