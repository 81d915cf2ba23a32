// Package sorted sorts by one copy of the algorithm. slices.SortFunc is compiled anew
// for every type that it sorts, which is 20 kB of the binary each; what is sorted with
// every poll or renewal keeps it, for it does not allocate.
package sorted

import "sort"

// By sorts all by cmp, as slices.SortStableFunc does.
func By[E any](all []E, cmp func(a, b E) int) {
	if len(all) > 1 {
		sort.SliceStable(all, func(i, j int) bool { return cmp(all[i], all[j]) < 0 })
	}
}
