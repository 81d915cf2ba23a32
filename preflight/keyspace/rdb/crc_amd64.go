package rdb

import (
	"encoding/binary"

	"golang.org/x/sys/cpu"
)

// multiplies is whether the processor multiplies without carries, as all do
// that were made since 2011.
var multiplies = cpu.X86.HasPCLMULQDQ

// fold takes the four lanes over as many whole 64 bytes as the text has; by are
// the factors for the lower and the upper half of each.
//
//go:noescape
func fold(lanes *[64]byte, text []byte, by *[2]uint64)

// byLanes takes the halves of 16 bytes over the 64 bytes of the four lanes. A bit
// of weight x^n in the lower half, which stands first, is one of x^(n+64), and the
// product of two reflected numbers is one bit higher than theirs.
var byLanes = [2]uint64{power(512 + 64 - 1), power(512 - 1)}

// power is x^n modulo the polynomial, reflected: the bit of x^0 is the highest.
func power(n int) uint64 {
	sum := uint64(1) << 63
	for range n {
		sum = sum>>1 ^ -(sum&1)&polynomial
	}
	return sum
}

// multiplied is the sum over the first bytes of a text, by multiplications
// without carries, and the rest of it. What is left in the lanes in the end has
// the sum that all of it has ("Fast CRC Computation for Generic Polynomials Using
// PCLMULQDQ", Intel, 2009).
func multiplied(sum uint64, text []byte) (uint64, []byte) {
	var lanes [64]byte
	if !multiplies || len(text) < 2*len(lanes) {
		return sum, text
	}
	whole := len(text) / len(lanes) * len(lanes)
	copy(lanes[:], text)
	binary.LittleEndian.PutUint64(lanes[:], binary.LittleEndian.Uint64(lanes[:])^sum)
	fold(&lanes, text[len(lanes):whole], &byLanes)
	return bytewise(0, lanes[:]), text[whole:]
}
