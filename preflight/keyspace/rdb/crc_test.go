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
	for _, n := range []int{0, 1, 7, 8, 9, 63, 64, 127, 128, 129, 191, 192, 1000, crcBlock - 1, crcBlock, crcBlock + 1, 2 * crcBlock, len(text)} {
		want := ^crc64.Update(^uint64(0), table, text[:n])
		cut := r.IntN(n + 1)
		for how, sum := range map[string]func(uint64, []byte) uint64{"as the processor can": update, "by tables": bytewise} {
			if got, parts := sum(0, text[:n]), sum(sum(0, text[:cut]), text[cut:n]); got != want || parts != want {
				t.Errorf("%s, %d bytes: got %x, cut at %d %x, want %x", how, n, got, cut, parts, want)
			}
		}
	}
	// crc64.c of Redis, its own test.
	if got := update(0, []byte("123456789")); got != 0xe9c6d914c4b8d9ca {
		t.Errorf("got %x", got)
	}
}

func BenchmarkSum(b *testing.B) {
	text := make([]byte, 1<<18)
	for name, sum := range map[string]func(uint64, []byte) uint64{"processor": update, "tables": bytewise} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				sum(1, text)
			}
		})
	}
}
