package gate

import (
	"testing"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate/resp"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// FuzzRole spoils one element of ROLE. A Redis is taken for fenced only if it
// says so to the letter, and what cannot be read of a master or a replica does
// not make it another.
func FuzzRole(f *testing.F) {
	for _, word := range []string{"", "0", "-1", "slave", "master", "sentinel", "127.0.0.1", "connected", "65536", "::1"} {
		for i := range uint8(8) {
			f.Add(i, word, true)
			f.Add(i, word, false)
		}
	}
	f.Fuzz(func(t *testing.T, at uint8, word string, number bool) {
		spoilt := resp.Reply{Kind: '$', Text: word}
		if number {
			spoilt = resp.Reply{Kind: ':', Text: word, Num: int64(len(word))}
		}
		text := func(s string) resp.Reply { return resp.Reply{Kind: '$', Text: s} }
		replica := []resp.Reply{text("slave"), text("127.0.0.1"), {Kind: ':', Text: "6379", Num: 6379}, text("connected"), {Kind: ':', Text: "7", Num: 7}}
		master := []resp.Reply{text("master"), {Kind: ':', Text: "7", Num: 7}, {Kind: '*', Elems: []resp.Reply{{Kind: '*', Elems: []resp.Reply{text("10.0.0.4"), text("0"), text("0")}}}}}
		for _, elems := range [][]resp.Reply{replica, master} {
			i := int(at) % len(elems)
			was := elems[i]
			elems[i] = spoilt
			seen := watchdog.Redis{Role: watchdog.Replica}
			new(Gate).foldRole(&observation{role: resp.Reply{Kind: '*', Elems: elems}}, &seen)
			nowhere := elems[0].Text == "slave" && len(elems) >= 4 && elems[1].Text == "127.0.0.1" && elems[2].Text == "0"
			if (seen.Role == watchdog.Nowhere) != nowhere {
				t.Fatalf("%+v is %v", elems, seen.Role)
			}
			if i > 0 && elems[0].Text == "master" && seen.Role != watchdog.Master || i > 0 && elems[0].Text == "slave" && seen.Role != watchdog.Replica && !nowhere {
				t.Fatalf("%+v is %v", elems, seen.Role)
			}
			if seen.Following != "" && seen.Role != watchdog.Replica {
				t.Fatalf("%+v follows %s", elems, seen.Following)
			}
			elems[i] = was
		}
	})
}
