package preflight

import (
	"slices"
	"testing"
)

func TestUsersOfCandidateAndMaster(t *testing.T) {
	app := User{Name: "app", Rules: "on #1 ~* &* -@all +get +set", Passwords: "k1:p1"}
	with := func(change func(*User)) User { u := app; change(&u); return u }
	for _, tt := range []struct {
		name            string
		master, replica []User
		want            Outcome
	}{
		{"the same", []User{app}, []User{app}, Passed},
		{"the same rights in another order", []User{app}, []User{with(func(u *User) { u.Rules = "on #1 ~* &* -@all +set +get" })}, Passed},
		{"fewer rights", []User{app}, []User{with(func(u *User) { u.Rules = "on #1 ~* &* -@all +get" })}, Failed},
		{"another password", []User{app}, []User{with(func(u *User) { u.Passwords = "k1:p2" })}, Failed},
		{"no such user", []User{app}, []User{}, Failed},
		{"digests of two keys", []User{app}, []User{with(func(u *User) { u.Passwords = "k2:p2" })}, Unknown},
		{"digests of two keys, and a user that is absent", []User{app, {Name: "zoe", Rules: "on nopass"}}, []User{with(func(u *User) { u.Passwords = "k2:p2" })}, Failed},
		{"no digest yet", []User{app}, []User{with(func(u *User) { u.Passwords = "" })}, Unknown},
		{"no digest on either side", []User{with(func(u *User) { u.Passwords = "" })}, []User{with(func(u *User) { u.Passwords = "" })}, Unknown},
		{"the watchdog's own, with fewer rights", []User{{Name: "watchdog", Rules: "on nopass +@all"}}, []User{{Name: "watchdog", Rules: "on nopass -@all"}}, Passed},
		{"the watchdog's own, with another password", []User{{Name: "watchdog", Rules: "on #1 +@all", Passwords: "k1:p1"}}, []User{{Name: "watchdog", Rules: "on #1 +@all", Passwords: "k1:p2"}}, Passed},
	} {
		f := healthy()
		for _, address := range []string{a, b} {
			node(&f, address).Watchdog.User = "watchdog"
		}
		node(&f, a).Redis.Users, node(&f, b).Redis.Users = tt.master, tt.replica
		r := Judge(DefaultPolicy(), f, b)
		i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Check == "parity_acl" && f.Node == b })
		if i < 0 {
			t.Fatalf("%s: parity_acl was not judged", tt.name)
		}
		if got := r.Findings[i]; got.Outcome != tt.want {
			t.Errorf("%s: %s (%s), want %s", tt.name, got.Outcome, got.Reason, tt.want)
		}
	}
}
