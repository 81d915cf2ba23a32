package rdb

import (
	"hash/crc64"
	"math/rand/v2"
	"testing"
)

// The library's way, byte by byte and in one, however the text is cut.
func TestSumInLanesIsTheSum(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, 3*crcBlock+12345)
	for i := range text {
		text[i] = byte(r.Uint32())
	}
	table := crc64.MakeTable(0x95ac9329ac4bc9b5)
	for _, n := range []int{0, 1, 7, 8, 9, 1000, crcBlock - 1, crcBlock, crcBlock + 1, 2 * crcBlock, len(text)} {
		want := ^crc64.Update(^uint64(0), table, text[:n])
		cut := r.IntN(n + 1)
		if got, parts := update(0, text[:n]), update(update(0, text[:cut]), text[cut:n]); got != want || parts != want {
			t.Errorf("%d bytes: got %x, cut at %d %x, want %x", n, got, cut, parts, want)
		}
	}
	// crc64.c of Redis, its own test.
	if got := update(0, []byte("123456789")); got != 0xe9c6d914c4b8d9ca {
		t.Errorf("got %x", got)
	}
}

func BenchmarkSum(b *testing.B) {
	text := make([]byte, 1<<20)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		update(1, text)
	}
}
