package keyspace

import (
	"bytes"
	"hash/crc32"
)

// ClusterSlots and CodisSlots are how many slots the two rules know.
const (
	ClusterSlots = 16384
	CodisSlots   = 1024
)

// crc16 is CRC-16/XMODEM, the one of Redis Cluster (crc16.c): of a byte that is so
// many bytes before the last.
var crc16 = func() (tables [8][256]uint16) {
	for i := range 256 {
		sum := uint16(i) << 8
		for range 8 {
			if sum&0x8000 != 0 {
				sum = sum<<1 ^ 0x1021
			} else {
				sum <<= 1
			}
		}
		tables[0][i] = sum
	}
	for before := 1; before < len(tables); before++ {
		for i, sum := range tables[before-1] {
			tables[before][i] = sum<<8 ^ tables[0][sum>>8]
		}
	}
	return tables
}()

// ClusterSlot is the key's slot in Redis Cluster: what is between the first "{"
// and the next "}" decides, and the whole key where there is nothing between
// them (cluster.c, keyHashSlot).
func ClusterSlot(key []byte) int {
	key, _ = clusterTag(key)
	var sum uint16
	for ; len(key) >= 8; key = key[8:] {
		sum = crc16[7][byte(sum>>8)^key[0]] ^ crc16[6][byte(sum)^key[1]] ^ crc16[5][key[2]] ^ crc16[4][key[3]] ^
			crc16[3][key[4]] ^ crc16[2][key[5]] ^ crc16[1][key[6]] ^ crc16[0][key[7]]
	}
	for _, b := range key {
		sum = sum<<8 ^ crc16[0][byte(sum>>8)^b]
	}
	return int(sum) % ClusterSlots
}

// CodisSlot is the key's slot in codis. Its tags differ from Redis Cluster's:
// an empty tag is a tag, so that "a{}b" is in slot 0 (codis, mapper.go, and
// slots.c of its server).
func CodisSlot(key []byte) int {
	key, _ = codisTag(key)
	return int(crc32.ChecksumIEEE(key) % CodisSlots)
}

// slotsOf is where a key is by both rules.
func slotsOf(name []byte, size uint64) inSlots {
	return inSlots{cluster: uint16(ClusterSlot(name)), codis: uint16(CodisSlot(name)), size: size}
}

// clusterTag is what of a key decides, and whether it is a tag.
func clusterTag(key []byte) ([]byte, bool) {
	if open := bytes.IndexByte(key, '{'); open >= 0 {
		if n := bytes.IndexByte(key[open+1:], '}'); n > 0 {
			return key[open+1 : open+1+n], true
		}
	}
	return key, false
}

func codisTag(key []byte) ([]byte, bool) {
	if open := bytes.IndexByte(key, '{'); open >= 0 {
		if n := bytes.IndexByte(key[open+1:], '}'); n >= 0 {
			return key[open+1 : open+1+n], true
		}
	}
	return key, false
}
