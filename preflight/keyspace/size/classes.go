// Package size estimates the bytes of memory a key takes, as MEMORY USAGE of
// that server version accounts them, from what the walk over an RDB file knows.
package size

import (
	"math/bits"
	"slices"
	"sort"
)

// Classes are the sizes an allocator has: a request gets the next one.
type Classes struct {
	name  string
	small []uint32 // ascending, to the largest that is listed; above it there are four a doubling
	step  uint64   // zero: there are classes; else sizes are multiples of it, less slack
	slack uint64   // bytes of a block that are the allocator's own
	index []uint16 // class of every request up to len(index)-1, in small
}

// Of is how many bytes a request of n gets.
func (c *Classes) Of(n uint64) uint64 {
	if n < uint64(len(c.index)) {
		return uint64(c.small[c.index[n]])
	}
	if c.step > 0 {
		return max((n+c.slack+c.step-1)/c.step*c.step, 2*c.step) - c.slack
	}
	if i := sort.Search(len(c.small), func(i int) bool { return uint64(c.small[i]) >= n }); i < len(c.small) {
		return uint64(c.small[i])
	}
	// Four classes a doubling: the upper three bits of n-1 decide.
	delta := uint64(1) << (bits.Len64(n-1) - 3)
	return (n + delta - 1) / delta * delta
}

// Name is what the classes are called in an audit.
func (c *Classes) Name() string { return c.name }

// Jemalloc are the classes of a jemalloc whose quantum is so many bytes: 16 in
// the library that Debian links Redis with, 8 in the one that Redis' own sources
// bring along (--with-lg-quantum=3). INFO says "jemalloc-5.3.0" of both.
func Jemalloc(quantum int) *Classes {
	bins := []uint32{8}
	for n := max(quantum, 16) - 16 + quantum; n <= 64; n += quantum {
		if n > 8 {
			bins = append(bins, uint32(n))
		}
	}
	for base := uint32(64); base < 16384; base *= 2 {
		for i := uint32(1); i <= 4; i++ {
			bins = append(bins, base+i*base/4)
		}
	}
	name := "jemalloc, quantum 16"
	if quantum == 8 {
		name = "jemalloc, quantum 8"
	}
	return FromBins(name, bins)
}

// FromBins are the classes that MEMORY MALLOC-STATS of a server lists; above
// them there are four a doubling, as in every jemalloc.
func FromBins(name string, bins []uint32) *Classes {
	c := &Classes{name: name, small: slices.Compact(slices.Sorted(slices.Values(bins)))}
	c.fill()
	return c
}

// Libc are the sizes of glibc's malloc: multiples of 16, of which 8 are its own.
func Libc() *Classes { return &Classes{name: "libc", step: 16, slack: 8} }

// fill makes the table of what is asked for most.
func (c *Classes) fill() {
	const most = 1024
	if len(c.small) == 0 {
		return
	}
	c.index = make([]uint16, min(most, c.small[len(c.small)-1])+1)
	at := 0
	for n := range c.index {
		for at < len(c.small)-1 && uint64(c.small[at]) < uint64(n) {
			at++
		}
		c.index[n] = uint16(at)
	}
}
