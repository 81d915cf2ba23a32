package preflight

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

var fiveBuilds = []build{{"redis", [2]int{6, 0}}, {"redis", [2]int{7, 0}}, {"redis", [2]int{8, 0}}, {"valkey", [2]int{8, 1}}, {"valkey", [2]int{9, 1}}}

// recorded are what was typed and what each build lists for it.
func recorded(t testing.TB) (typed []string, listed map[string]map[build]string) {
	t.Helper()
	text, err := os.ReadFile("testdata/acl_listed.txt")
	if err != nil {
		t.Fatal(err)
	}
	listed = map[string]map[build]string{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if rules, ok := strings.CutPrefix(line, "typed "); ok {
			typed = append(typed, rules)
			listed[rules] = map[build]string{}
			continue
		}
		for _, b := range fiveBuilds {
			if rules, ok := strings.CutPrefix(line, b.name+" "+b.String()+": "); ok && rules != "-" {
				listed[typed[len(typed)-1]][b] = rules
			}
		}
	}
	if len(typed) < 10 {
		t.Fatalf("%d rules are recorded", len(typed))
	}
	return typed, listed
}

// What was typed alike is the same rights, but where a category has lost what both
// builds have, or a user of 6.0 has no channels elsewhere. Each of these stands in
// testdata/acl_across.txt, with the commands; go test -update writes it anew.
func TestWhatWasTypedAlikeIsTheSameOnAllBuilds(t *testing.T) {
	typed, listed := recorded(t)
	var got strings.Builder
	got.WriteString("# Where what was typed alike is not the same: master, candidate, commands refused.\n")
	pairs, same := 0, 0
	for _, rules := range typed {
		fmt.Fprintf(&got, "typed %s\n", rules)
		for _, master := range fiveBuilds {
			for _, candidate := range fiveBuilds {
				before, after := listed[rules][master], listed[rules][candidate]
				if before == "" || after == "" || master == candidate {
					continue
				}
				// All but 6.0 leave a user who is given no channels without them.
				if !master.channels() {
					if ofPubSub(master, before) && acrossBuilds(master, before, candidate, after).same {
						t.Errorf("%s: %s %s to %s %s: its clients would have no channels", rules, master.name, master, candidate.name, candidate)
					}
					after = strings.Replace(after, "resetchannels", "&*", 1)
				}
				pairs++
				if a := acrossBuilds(master, before, candidate, after); a.same {
					same++
				} else {
					fmt.Fprintf(&got, "%s %s to %s %s: %s\n", master.name, master, candidate.name, candidate, strings.Join(a.lost, " "))
				}
			}
		}
	}
	const file = "testdata/acl_across.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", &got, want)
	}
	t.Logf("%d of %d pairs are the same", same, pairs)
}

func ofPubSub(b build, rules string) bool {
	r, _ := rightsOf(b, build{"redis", [2]int{7, 0}})
	allowed, _ := r.allowed(rules)
	return r.any(allowed, "pubsub")
}

// What differs stays different, whichever builds list it.
func TestUsersOfTwoBuildsThatDifferAreTold(t *testing.T) {
	for _, c := range []struct{ masters, theirs string }{
		{"on nopass ~* &* +@all", "on nopass ~* &* +@all -eval"},
		{"on nopass ~* &* +@all -eval", "on nopass ~* &* +@all"}, // more was typed
		{"on nopass ~* &* +@all", "on nopass ~app:* &* +@all"},
		{"on nopass ~* &* +@all", "off nopass ~* &* +@all"},
		{"on #1 ~* &* +@all", "on #2 ~* &* +@all"},
		{"on nopass ~* &* +@all", "on nopass ~* &* -@all (+@all ~*)"},
		{"on nopass ~* &* +@all +nothing.of.this", "on nopass ~* &* +@all"},
		{"on nopass ~* &* +@all", "on nopass ~* &* +@all +nothing.of.this"},
		{"on nopass ~* &* +@all", "on nopass ~* &* -@all +@all -@none"},
	} {
		for _, master := range fiveBuilds {
			for _, candidate := range fiveBuilds {
				if a := acrossBuilds(master, c.masters, candidate, c.theirs); a.same {
					t.Errorf("%q of %s %s and %q of %s %s are the same", c.masters, master.name, master, c.theirs, candidate.name, candidate)
				}
			}
		}
	}
	// Of builds that limit channels, by channels.
	for _, master := range fiveBuilds[1:] {
		for _, candidate := range fiveBuilds[1:] {
			if a := acrossBuilds(master, "on ~* &* +@all", candidate, "on ~* &app:* +@all"); a.same {
				t.Errorf("other channels at %s %s and %s %s are the same", master.name, master, candidate.name, candidate)
			}
		}
	}
	// A build of which nothing was recorded is never one of them.
	if acrossBuilds(build{"redis", [2]int{6, 2}}, "on ~* +@all", build{"redis", [2]int{7, 0}}, "on ~* +@all").same {
		t.Error("6.2 is known")
	}
}

// FuzzUsersOfTwoBuilds: a rule that makes no sense hides no other: a right that
// the candidate takes away is lost, whatever stands beside it.
func FuzzUsersOfTwoBuilds(f *testing.F) {
	for _, s := range []string{"+@read", "-@all", "+config|get", "%R~a", "&x", "(", "+", "-", "+@", "+|", "@", "#", "RESETCHANNELS", "+@ALL"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, word string) {
		for _, master := range fiveBuilds {
			for _, candidate := range fiveBuilds {
				a := acrossBuilds(master, "on ~* "+word+" +get", candidate, "on ~* "+word+" +get -get")
				if a.same {
					t.Errorf("%q hides a right that was taken away: %s %s, %s %s", word, master.name, master, candidate.name, candidate)
				}
			}
		}
	})
}

// The check itself, 6.0 beside a later build and the other way round.
func TestUsersOfRedis60AreThoseOfLaterBuilds(t *testing.T) {
	old, later := build{"redis", [2]int{6, 0}}, build{"redis", [2]int{7, 0}}
	for _, c := range []struct {
		old, later         string
		oldMaster, oldLast bool // the same, where 6.0 is the master, and the candidate
	}{
		{"on nopass ~* +@all", "on nopass ~* &* +@all", true, true},
		{"on nopass ~* +@all -@scripting +script", "on nopass ~* &* +@all -evalsha -eval", true, true},
		{"on nopass ~app:* -@all +get", "on nopass ~app:* resetchannels -@all +get", true, true},
		{"on nopass ~* +@all", "on nopass ~* resetchannels +@all", false, true},
		{"on nopass ~* +@all", "on nopass ~* &app:* +@all", false, true},
		{"on nopass ~* +@all", "on nopass ~* &* +@all -eval", false, false},
		{"on nopass ~app:* +@all", "on nopass ~* &* +@all", false, false},
	} {
		for _, oldIsMaster := range []bool{true, false} {
			f := healthy()
			first, second, want := node(&f, a), node(&f, b), c.oldMaster
			if !oldIsMaster {
				first, second, want = second, first, c.oldLast
			}
			runs(first, old)
			runs(second, later)
			first.Redis.Users = []User{{Name: "default", Rules: c.old}}
			second.Redis.Users = []User{{Name: "default", Rules: c.later}}
			if got := findingOf(t, f, "parity_acl", b); (got.Outcome == Passed) != want {
				t.Errorf("%q of 6.0 (the master: %v) and %q of 7.0: %s, %s", c.old, oldIsMaster, c.later, got.Outcome, got.Reason)
			}
		}
	}
	f := healthy()
	runs(node(&f, a), later)
	runs(node(&f, b), old)
	node(&f, a).Redis.Users = []User{{Name: "default", Rules: "on nopass ~* &* -@all +@connection"}}
	node(&f, b).Redis.Users = []User{{Name: "default", Rules: "on nopass ~* -@all +@connection"}}
	got := findingOf(t, f, "parity_acl", b)
	if got.Outcome != Failed || !strings.Contains(fmt.Sprint(got.Evidence), "asking readonly readwrite select wait") {
		t.Errorf("@connection of 6.0 has no SELECT: %s, %v", got.Outcome, got.Evidence)
	}
}
