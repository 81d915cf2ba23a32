package gather

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/preflight"
)

// clusterLines is CLUSTER NODES of Redis 7.0.15 with one open slot; a word of the
// second line is replaced where word is one of its.
func clusterLines(word int, spoilt string) string {
	id := func(c string) string { return strings.Repeat(c, 40) }
	var lines []string
	for i, c := range []string{"a", "b", "c"} {
		flags := "master"
		if i == 0 {
			flags = "myself,master"
		}
		words := []string{id(c), fmt.Sprintf("10.0.0.%d:7000@17000,host%d", i+1, i), flags, "-", "0", "1790000000000", fmt.Sprint(i), "connected",
			fmt.Sprintf("%d-%d", i*100, i*100+99), fmt.Sprint(5000 + i)}
		if i == 0 {
			words = append(words, "[93->-"+id("b")+"]", "[77-<-"+id("c")+"]")
		}
		if i == 1 && word >= 0 {
			words[word%len(words)] = spoilt
		}
		lines = append(lines, strings.Join(words, " "))
	}
	return strings.Join(append(lines, id("d")+" 10.0.0.4:7000@17000 slave "+id("a")+" 0 0 3 connected", id("e")+" :0@0 slave,noaddr "+id("a")+" 0 0 3 disconnected"), "\n") + "\n"
}

func TestClusterNodesAreRead(t *testing.T) {
	all, unread := clusterNodes(clusterLines(-1, ""), "10.0.0.1:7000")
	if len(all) != 4 || unread != nil {
		t.Fatalf("got %+v, %v", all, unread)
	}
	a, b, d := all[0], all[1], all[3]
	if !a.myself || a.address != "10.0.0.1:7000" || a.wrong != "" || !slices.Equal(a.slots, []preflight.SlotRange{{First: 0, Last: 99}, {First: 5000, Last: 5000}}) ||
		!slices.Equal(a.open, []preflight.OpenSlot{{Slot: 93, Other: b.id}, {Slot: 77, Importing: true, Other: all[2].id}}) {
		t.Errorf("got %+v", a)
	}
	if d.master != a.id || d.address != "10.0.0.4:7000" {
		t.Errorf("got %+v", d)
	}
	for word, want := range map[string]string{":7000@17000": "10.9.9.9:7000", "::1:7000@17000": "[::1]:7000", "[::1]:7000@17000": "[::1]:7000", "10.0.0.1:7000": "10.0.0.1:7000"} {
		if got, why := clusterAddress(word, "10.9.9.9:1"); got != want || why != "" {
			t.Errorf("%s: got %s, %s", word, got, why)
		}
	}
}

func FuzzClusterNodes(f *testing.F) {
	for word := range uint8(10) {
		for _, spoilt := range []string{"", "x", "-", ":", "1-", "9-1", "16384", "[1->-]", "[93->-" + strings.Repeat("b", 40), "[x-<-" + strings.Repeat("b", 40) + "]", "myself", "\n", "99999999999999999999"} {
			f.Add(word, spoilt)
		}
	}
	f.Fuzz(func(t *testing.T, word uint8, spoilt string) {
		sane, _ := clusterNodes(clusterLines(-1, ""), "10.0.0.1:7000")
		all, _ := clusterNodes(clusterLines(int(word), spoilt), "10.0.0.1:7000")
		for _, want := range []clusterLine{sane[0], sane[2], sane[3]} {
			if !slices.ContainsFunc(all, func(l clusterLine) bool {
				return l.id == want.id && l.address == want.address && slices.Equal(l.slots, want.slots) && slices.Equal(l.open, want.open)
			}) {
				t.Fatalf("%s was lost: %+v", want.id[:1], all)
			}
		}
		for _, l := range all {
			if l.address == "" || len(l.id) != 40 {
				t.Fatalf("got %+v", l)
			}
			for _, r := range l.slots {
				if r.First < 0 || r.Last >= 16384 || r.Last < r.First {
					t.Fatalf("got %+v", r)
				}
			}
		}
	})
}
