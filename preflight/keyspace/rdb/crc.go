package rdb

import (
	"encoding/binary"
	"hash/crc64"
)

// polynomial of Redis' CRC-64 (crc64.c: "jones"), reflected.
const polynomial = 0x95ac9329ac4bc9b5

// crcTables are of a byte that is so many bytes before the last.
var crcTables = func() (tables [8][256]uint64) {
	tables[0] = *crc64.MakeTable(polynomial)
	for before := 1; before < len(tables); before++ {
		for i, sum := range tables[before-1] {
			tables[before][i] = sum>>8 ^ tables[0][byte(sum)]
		}
	}
	return tables
}()

// crcBlock is how much is handed to the other processor at a time. It is summed
// in four lanes at once, so that a processor that waits for the sum of one has
// three others to go on with.
const (
	crcBlock = 1 << 18
	crcLane  = crcBlock / 4
)

// behindLane takes a sum over a lane of zeros: bit by bit what becomes of it.
// What stands behind a text changes its sum by no more than that and its own.
var behindLane = func() (bits [64]uint64) {
	for i := range bits { // behind one byte
		bits[i] = step(1 << i)
	}
	for n := 1; n < crcLane; n *= 2 {
		var twice [64]uint64
		for i := range twice {
			twice[i] = behind(&bits, bits[i])
		}
		bits = twice
	}
	return bits
}()

func step(sum uint64) uint64 { return sum>>8 ^ crcTables[0][byte(sum)] }

func behind(bits *[64]uint64, sum uint64) uint64 {
	var out uint64
	for i := 0; sum != 0; i, sum = i+1, sum>>1 {
		out ^= bits[i] & -(sum & 1)
	}
	return out
}

// eight is the sum with the next eight bytes.
func eight(sum uint64, b []byte) uint64 {
	t := &crcTables
	sum ^= binary.LittleEndian.Uint64(b)
	return t[7][byte(sum)] ^ t[6][byte(sum>>8)] ^ t[5][byte(sum>>16)] ^ t[4][byte(sum>>24)] ^
		t[3][byte(sum>>32)] ^ t[2][byte(sum>>40)] ^ t[1][byte(sum>>48)] ^ t[0][sum>>56]
}

// update is crc64 of Redis: it begins with zero and inverts nothing.
func update(sum uint64, b []byte) uint64 { return bytewise(multiplied(sum, b)) }

// bytewise is update by tables.
func bytewise(sum uint64, b []byte) uint64 {
	for ; len(b) >= crcBlock; b = b[crcBlock:] {
		b1, b2, b3 := b[crcLane:2*crcLane], b[2*crcLane:3*crcLane], b[3*crcLane:crcBlock]
		var s1, s2, s3 uint64
		for i := 0; i < crcLane; i += 8 {
			sum = eight(sum, b[i:i+8])
			s1 = eight(s1, b1[i:i+8])
			s2 = eight(s2, b2[i:i+8])
			s3 = eight(s3, b3[i:i+8])
		}
		for _, next := range [...]uint64{s1, s2, s3} {
			sum = behind(&behindLane, sum) ^ next
		}
	}
	for ; len(b) >= 8; b = b[8:] {
		sum = eight(sum, b)
	}
	for _, c := range b {
		sum = step(sum ^ uint64(c))
	}
	return sum
}

// checksum computes Redis' CRC-64 of the file: at once where the processor
// multiplies, which takes less than to hand the bytes over, and else beside the
// walk, on another processor.
type checksum struct {
	work chan []byte
	free chan []byte
	done chan uint64
	fill []byte
	over bool
	sum  uint64
}

func newChecksum() *checksum {
	const blocks = 4
	if multiplies {
		return &checksum{over: true}
	}
	c := &checksum{work: make(chan []byte, blocks), free: make(chan []byte, blocks), done: make(chan uint64, 1)}
	for range blocks {
		c.free <- make([]byte, 0, crcBlock)
	}
	c.fill = <-c.free
	go func() {
		var sum uint64
		for b := range c.work {
			sum = update(sum, b)
			c.free <- b[:0]
		}
		c.done <- sum
	}()
	return c
}

// add counts these bytes in.
func (c *checksum) add(b []byte) {
	if multiplies {
		c.sum = update(c.sum, b)
		return
	}
	for len(b) > 0 {
		n := copy(c.fill[len(c.fill):cap(c.fill)], b)
		c.fill = c.fill[:len(c.fill)+n]
		b = b[n:]
		if len(c.fill) == cap(c.fill) {
			c.work <- c.fill
			c.fill = <-c.free
		}
	}
}

// end waits for the other processor and is the sum of all that was added. It may
// be called again.
func (c *checksum) end() uint64 {
	if !c.over {
		c.over = true
		c.work <- c.fill
		close(c.work)
		c.sum = <-c.done
	}
	return c.sum
}
