package rdb

import "hash/crc64"

// jones is the polynomial of Redis' CRC-64 (crc64.c: "jones", reflected).
var jones = crc64.MakeTable(0x95ac9329ac4bc9b5)

// crcBlock is how much is handed to the other processor at a time.
const crcBlock = 1 << 18

// checksum computes Redis' CRC-64 of the file beside the walk, on another
// processor.
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

// update is crc64 of Redis: it begins with zero and inverts nothing, where the
// library inverts at both ends.
func update(sum uint64, b []byte) uint64 { return ^crc64.Update(^sum, jones, b) }

// add counts these bytes in.
func (c *checksum) add(b []byte) {
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
