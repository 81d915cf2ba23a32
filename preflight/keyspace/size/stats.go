package size

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

var errNoBins = errors.New("lists no bins")

// FromStats are the classes that MEMORY MALLOC-STATS lists (jemalloc's
// malloc_stats_print): a line for each bin, its size and its place among all, and
// "---" for those that nothing was ever put into. So the listed ones are held
// against both sets of classes that are known, and stand for themselves only
// where none is left out.
func FromStats(text string) (*Classes, error) {
	_, table, found := strings.Cut(text, "\nbins:")
	if !found {
		return nil, errNoBins
	}
	type bin struct {
		size  uint32
		place int
	}
	var listed []bin
	complete := true
	for line := range strings.Lines(table[strings.IndexByte(table, '\n')+1:]) {
		words := strings.Fields(line)
		if len(words) == 1 && words[0] == "---" {
			complete = false
			continue
		}
		if len(words) < 3 {
			break
		}
		size, err := strconv.ParseUint(words[0], 10, 32)
		if err != nil {
			break // the table of large ones
		}
		place, err := strconv.Atoi(words[1])
		if err != nil || place < 0 {
			return nil, fmt.Errorf("a bin is at place %q", words[1])
		}
		listed = append(listed, bin{uint32(size), place})
	}
	if len(listed) == 0 {
		return nil, errNoBins
	}
	for _, known := range []*Classes{Jemalloc(16), Jemalloc(8)} {
		alike := true
		for _, b := range listed {
			alike = alike && b.place < len(known.small) && known.small[b.place] == b.size
		}
		if alike {
			return known, nil
		}
	}
	if !complete {
		return nil, errors.New("lists bins of neither quantum, and not all of them")
	}
	var bins []uint32
	for _, b := range listed {
		bins = append(bins, b.size)
	}
	return FromBins("jemalloc, bins of its own", bins), nil
}
