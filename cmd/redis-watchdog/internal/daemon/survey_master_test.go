package daemon

import "testing"

// A report answers one request, and every replica makes one: an answer to a
// request made after ours is as young as one to ours, any other is not.
func TestAnAnswerToALaterRequestIsAsYoung(t *testing.T) {
	s := &surveyor{since: requests{own: "ours"}, asked: make(chan struct{}, 1)}
	s.ask("before")
	for _, id := range []string{"", "before", "after"} {
		if s.asYoung(id) {
			t.Errorf("%q is as young before our own was heard", id)
		}
	}
	s.ask("ours")
	s.ask(confirmation + "after")
	s.ask("a preflight's")
	for id, want := range map[string]bool{"": false, "before": false, "ours": true, confirmation + "after": true, "a preflight's": true} {
		if got := s.asYoung(id); got != want {
			t.Errorf("%q is as young: %v, want %v", id, got, want)
		}
	}
	// Our own is not for us; the others' are, a preflight's first.
	if got := s.pending(); got != "a preflight's" {
		t.Errorf("pending: %q", got)
	}
}
