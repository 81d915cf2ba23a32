package keyspace

import (
	"fmt"
	"strconv"
	"strings"
)

// Rules by which a key has its slot.
const (
	RuleCluster = "cluster" // Redis Cluster: CRC16 modulo 16384, an empty tag is none
	RuleCodis   = "codis"   // codis: CRC32 modulo 1024, an empty tag is one
)

// Place is a slot by one of the two rules.
type Place struct {
	Rule string `json:"rule"`
	Slot int    `json:"slot"`
}

func (p Place) String() string { return p.Rule + ":" + strconv.Itoa(p.Slot) }

// ParsePlace reads "codis:359" or "cluster:12182".
func ParsePlace(text string) (Place, error) {
	rule, number, _ := strings.Cut(text, ":")
	slots := map[string]int{RuleCluster: ClusterSlots, RuleCodis: CodisSlots}[rule]
	if slots == 0 {
		return Place{}, fmt.Errorf("%q is no slot: codis:N is one of codis (0 to %d), cluster:N one of Redis Cluster (0 to %d)", text, CodisSlots-1, ClusterSlots-1)
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || n >= slots {
		return Place{}, fmt.Errorf("%q is no slot of %s: there are 0 to %d", number, rule, slots-1)
	}
	return Place{rule, n}, nil
}

// In is whether a key lies in a slot.
func (k KeptKey) In(p Place) bool {
	return p.Rule == RuleCluster && k.Cluster == p.Slot || p.Rule == RuleCodis && k.Codis == p.Slot
}

// Tag is the tag that decides the slot of a key by a rule; false: the whole name
// decides. Of a name that was hashed it is not known, and of one that was cut off
// only where the tag is in what was kept.
func Tag(name, rule string) (string, bool) {
	tag, is := codisTag([]byte(name))
	if rule == RuleCluster {
		tag, is = clusterTag([]byte(name))
	}
	if !is {
		return "", false
	}
	return string(tag), true
}
